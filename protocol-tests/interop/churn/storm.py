"""Members come, leave, are killed, stand still and come back while somebody writes; then things become quiet."""

import heapq
import itertools
import random
import subprocess
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from confluent_kafka import Consumer, KafkaException, TopicPartition

from support import ROOT

from .members import Member, now
from .offsets_topic import OffsetsTopic
from .producer import VerifiableProducer
from .verdict import Account, Evidence

# Well within a session that began a heartbeat ago, and well beyond one.
SHORT_PAUSE_MS = (500, 2500)
BEYOND_THE_SESSION_MS = (1500, 4000)
# How long a place stays empty, and how long nothing happens; in a long storm a group is left alone now and then, so
# that there is something to disturb.
ABSENCE = (0.2, 3)
BREATH = (0.3, 1.5)
LULL = (3, 12)
LULLS = 0.25
# In a long storm, how often a leader moves.
LEADER_MOVES = 60
# A group forms, and becomes quiet again, within this on any machine.
PATIENCE = 180
# So many stay at work whatever happens.
FEWEST_AT_WORK = 2
# For how long a coordinator is down, beside the time that it takes to stop and to start.
OUTAGE = 4
NODES = 3
RECORDS_A_SECOND = 500
KEYS = 240

DEEDS = ("leave", "kill", "pause", "pause long")


class Storm:
    """One group's life."""

    def __init__(self, setting, slots, partitions, seed, operate=None):
        self.setting = setting
        self.slots = slots
        self.partitions = partitions
        self.rng = random.Random(seed)
        # What to do to brokers; nothing where there is none.
        self.operate = operate
        self.members = []
        self.present = {}
        self.due = []
        self.numbers = itertools.count()
        self.count = Counter()
        self.outages = []
        # What is done to brokers meanwhile, one thing at a time.
        self.pool = ThreadPoolExecutor(1)
        self.aside = []
        self.problems = []
        self.ends = {}

    def run(self, seconds):
        """Gives back the evidence."""
        self.topic = OffsetsTopic(self.setting.bootstrap, self.setting.group, self.setting.topic)
        producer = VerifiableProducer(self.setting, RECORDS_A_SECOND, KEYS)
        try:
            for slot in self.slots:
                self.start(slot)
            self.wait(self.is_complete, "the group to form")
            self.rage(seconds)
            self.calm_down()
            producer.stop()
            self.ends = self.end_offsets()
            self.wait(self.is_quiet, "the group to come to rest with nothing left to read")
            self.bid_farewell()
            self.topic.read(2)
            return self.evidence(producer)
        finally:
            producer.process.kill()
            for member in self.members:
                if member.process.poll() is None:
                    member.process.kill()
                    member.ended()
            self.topic.close()
            self.pool.shutdown()

    # ---- What happens -------------------------------------------------------------------------------------------

    def start(self, slot):
        member = Member(slot, f"{slot.name}-{sum(member.slot == slot for member in self.members) + 1}", self.setting)
        member.start()
        self.members.append(member)
        self.present[slot] = member

    def rage(self, seconds):
        until = time.monotonic() + seconds
        # Each of ours meets everything, and everybody else something; then chance rules.
        deck = [(deed, slot) for slot in self.slots for deed in DEEDS if slot.is_ours or deed in ("leave", "kill")]
        self.rng.shuffle(deck)
        if self.operate:
            self.trouble_brokers(seconds)
        while time.monotonic() < until:
            self.look_aside()
            if deck:
                deed, slot = deck.pop()
                if not self.reads(slot) or not self.do(deed, slot):
                    deck.insert(0, (deed, slot))
            else:
                self.do(self.rng.choice(DEEDS), self.rng.choice(self.slots))
            lull = self.operate and self.rng.random() < LULLS
            self.pass_time(self.rng.uniform(*(LULL if lull else BREATH)))

    def do(self, deed, slot):
        """Returns whether that could be done now."""
        member = self.present.get(slot)
        at_work = [other for other in self.present.values() if not other.is_paused]
        if member is None or member.is_paused or len(at_work) <= FEWEST_AT_WORK:
            # Who stands still may be killed, too.
            if not (member and member.is_paused and deed == "kill"):
                return False
        assert member.process.poll() is None, f"{member.name} ended by itself: {member.complaint()}"
        if deed == "leave" and not member.is_up():
            return False
        self.count[f"{deed}, {slot.kind}"] += 1
        if deed in ("leave", "kill"):
            del self.present[slot]
            if deed == "kill":
                member.kill()
            else:
                member.leave()
            self.later(self.rng.uniform(*ABSENCE), lambda: self.come_back(member))
            return True
        shortest, longest = SHORT_PAUSE_MS if deed == "pause" else (
            self.setting.session_ms + more for more in BEYOND_THE_SESSION_MS)
        member.pause()
        self.later(self.rng.uniform(shortest, longest) / 1000, lambda: self.resume(member))
        return True

    def reads(self, slot):
        """Whether there is somebody in this place who has partitions."""
        member = self.present.get(slot)
        return member is not None and member.is_up() and any(
            member.client_id in names for names in self.topic.owners().values())

    def come_back(self, member):
        """The next takes the place; of a static member, after the last has gone."""
        if member.process.poll() is None and member.slot.static:
            self.later(0.1, lambda: self.come_back(member))
        else:
            self.start(member.slot)

    def resume(self, member):
        if member.process.poll() is None and member.is_paused:
            member.resume()

    def trouble_brokers(self, seconds):
        """Leaders move all the time; the coordinator is killed once, and once stopped in good order."""
        for number in range(1, int(seconds / LEADER_MOVES)):
            self.later(number * LEADER_MOVES, lambda: self.do_aside(self.move_leader))
        self.later(seconds / 3, lambda: self.do_aside(lambda: self.down("kill-node")))
        self.later(seconds * 2 / 3, lambda: self.do_aside(lambda: self.down("stop-node")))

    def down(self, how):
        node = coordinator(self.operate.cluster, self.setting.group)
        if node == "1":
            # hop is told of this one only.
            return
        outage = [now(), None]
        self.outages.append(outage)
        try:
            self.operate.script(how, node)
            time.sleep(OUTAGE)
        finally:
            # On a busy machine it may take longer than the script waits.
            while not self.operate.tries("start-node", node):
                pass
            outage[1] = now()
        self.count[f"coordinators, {how}"] += 1

    def move_leader(self):
        """Which fails where the broker is not in step yet."""
        partition, node = random.randrange(self.partitions), random.randint(1, NODES)
        moved = self.operate.tries("move-leader", self.setting.topic, str(partition), str(node))
        self.count["leaders, moved" if moved else "leaders, stayed"] += 1

    def do_aside(self, deed):
        """What takes its time must not hold up those who are to go on after a short pause."""
        self.aside.append(self.pool.submit(deed))

    def look_aside(self):
        """Whether all that is done; what failed is said at once."""
        for deed in self.aside:
            if deed.done():
                deed.result()
        return all(deed.done() for deed in self.aside)

    def calm_down(self):
        """Nobody is disturbed any more, and all places are taken."""
        while self.due or not self.look_aside():
            self.pass_time(0.1)
        self.wait(self.is_complete, "all members to be there")

    def bid_farewell(self):
        """All leave at once, in good order."""
        for member in self.present.values():
            member.leave()

    # ---- Waiting ------------------------------------------------------------------------------------------------

    def later(self, seconds, deed):
        heapq.heappush(self.due, (time.monotonic() + seconds, next(self.numbers), deed))

    def pass_time(self, seconds):
        """Reads what the coordinators write, and does what is due meanwhile."""
        until = time.monotonic() + seconds
        while True:
            self.do_what_is_due()
            left = until - time.monotonic()
            if left <= 0:
                return
            self.topic.read(min(left, 0.1))

    def do_what_is_due(self):
        while self.due and self.due[0][0] <= time.monotonic():
            heapq.heappop(self.due)[-1]()

    def wait(self, condition, what):
        deadline = time.monotonic() + PATIENCE
        while not condition():
            for member in self.present.values():
                assert member.process.poll() is None, f"{member.name} ended by itself: {member.complaint()}"
            assert time.monotonic() < deadline, f"waited in vain for {what}: {self.state()}"
            self.pass_time(0.5)

    def is_complete(self):
        """Whether those present, and nobody else, are members of the group, and each partition is one's."""
        expected = sorted(member.client_id for member in self.present.values())
        known = self.topic.names()
        owners = self.topic.owners()
        return known == expected and sorted(owners) == list(range(self.partitions)) \
            and all(len(names) == 1 for names in owners.values())

    def is_quiet(self):
        return self.is_complete() and self.topic.history.committed == self.ends and self.views_agree()

    def views_agree(self):
        """Whether each member that says what it has, has what the coordinator says."""
        owners = self.topic.owners()
        for member in self.present.values():
            if tells(member.slot):
                given = {partition for partition, names in owners.items() if member.client_id in names}
                if owned(member.events()) != given:
                    return False
        return True

    def state(self):
        return (f"present {[member.name for member in self.present.values()]}, members {self.topic.names()}, "
                f"owners {self.topic.owners()}, committed {self.topic.history.committed}, ends {self.ends}, "
                f"views { {member.name: sorted(owned(member.events())) for member in self.present.values()} }")

    # ---- What is known afterwards -------------------------------------------------------------------------------

    def end_offsets(self):
        consumer = Consumer({"bootstrap.servers": self.setting.bootstrap, "group.id": "nobody"})
        try:
            marks = {partition: consumer.get_watermark_offsets(TopicPartition(self.setting.topic, partition), 30)
                     for partition in range(self.partitions)}
        finally:
            consumer.close()
        assert all(first == 0 for first, _ in marks.values())
        # A partition without a record is not committed.
        return {partition: end for partition, (_, end) in marks.items() if end > 0}

    def evidence(self, producer):
        acknowledged = producer.acknowledged()
        accounts = [self.account(member, acknowledged) for member in self.members]
        return Evidence(
            ends=self.ends,
            acknowledged=set(acknowledged.values()),
            accounts=accounts,
            commits=self.topic.history.commits,
            shares=self.topic.history.shares,
            cooperative=self.setting.protocol == "consumer" or "cooperative-sticky" in self.setting.assignors,
            long_pause=self.setting.session_ms - 2 * self.setting.heartbeat_ms,
            outages=[(since, until) for since, until in self.outages],
        )

    def account(self, member, acknowledged):
        code = member.ended()
        killed = member.killed
        if not killed:
            self.check_end(member, code)
            # hop leaves in a hurry: where that takes too long, it is as if it had been killed.
            if member.slot.kind == "hop" and code != 0:
                killed = member.told_to_leave
                self.count["hop in a hurry"] += 1
        events = member.events()
        if member.slot.kind == "hop":
            events = [{"at": event["at"], "event": "handled", "partition": at[0], "first": at[1], "last": at[1]}
                      for event in events for at in [acknowledged[event["value"]]]]
        return Account(member.name, member.client_id, member.slot.kind, events, member.started, killed, member.pauses,
                       tells(member.slot), member.slot.kind != "hop")

    def check_end(self, member, code):
        """Who was asked to leave left in good order."""
        expected = {"java": (0, 143), "hop": (0, 130, -15)}.get(member.slot.kind, (0,))
        if code not in expected:
            self.problems.append(f"{member.name} ended with {code}: {member.complaint()}")
        if member.slot.kind != "hop" and not any(event["event"] == "left" for event in member.events()):
            self.problems.append(f"{member.name} did not leave in good order: {member.complaint()}")


def tells(slot):
    """Whether its journal says what the group gives and takes."""
    return slot.kind != "hop" and slot.commits != "record-by-record"


def owned(events):
    own = set()
    for event in events:
        if event["event"] == "assigned":
            own.update(event["partitions"])
        elif event["event"] in ("revoking", "lost"):
            own.difference_update(event["partitions"])
    return own


class Brokers:
    """What may be done to the brokers of a cluster of `scripts/kafka`."""

    def __init__(self, cluster):
        self.cluster = cluster

    def tries(self, *arguments):
        """Whether that worked."""
        command = [ROOT / "scripts" / "kafka", *arguments, "--dir", str(self.cluster.directory)]
        return subprocess.run(command, stdout=subprocess.DEVNULL).returncode == 0

    def script(self, *arguments):
        assert self.tries(*arguments), f"{' '.join(arguments)} failed"


def coordinator(cluster, group):
    """The node that coordinates a group; whoever asks has the coordinators' topic made."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return str(cluster.admin.describe_consumer_groups([group])[group].result(30).coordinator.id)
        except (KafkaException, TimeoutError):
            assert time.monotonic() < deadline, f"group {group} has no coordinator"
            time.sleep(0.2)
