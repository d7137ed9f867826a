"""Whether a group did what it must, by the journals of its members and what the coordinator has written down.

- Every acknowledged record was handled.
- No commit was beyond what had been handled by then, and none went back.
- Whoever began to read a partition began where the group had committed to: nothing is read again but what lies behind
  the last commit, and nothing is left out.
- A record was handled again only where the one who had handled it before crashed: was killed, or stood still for longer
  than its session. Of our members the journal must say that the partition was lost, and that only after a crash. Java's
  and librdkafka's may have had a commit refused (what they handle while a group rebalances they cannot always commit),
  or be caught in the death of a broker; and when they go on after standing still they may hand over all that they had
  fetched before, which ours must not, but for the batch in hand.
- Our members handle nothing of a partition before it is assigned or after it is taken away, and in a cooperative group
  are told to give up only what the coordinator gave to nobody or to another.
"""

from bisect import bisect_right
from collections import Counter
from dataclasses import dataclass, field

# What a busy machine may need from a fact to the line in a journal that is kept by somebody else.
LATE = 2_000
# After a pause, or a broker's death, members need this long to notice what they lost, and to have it back.
AFTERMATH = 20_000


@dataclass
class Account:
    """All that is known of one member."""

    name: str
    # As the coordinator knows it.
    client_id: str
    # ours, hop, java or librdkafka.
    kind: str
    # As in the journal.
    events: list
    started: int
    killed: int = None
    pauses: list = field(default_factory=list)
    # Whether the journal tells what the group gave and took; and whether it was kept by the member itself.
    tells: bool = True
    keeps_time: bool = True


@dataclass
class Evidence:
    # By partition, the offset behind its last record.
    ends: dict
    # Pairs of partition and offset.
    acknowledged: set
    accounts: list
    # As `offsets_topic` has them, in their order.
    commits: list
    shares: list
    # Whether members keep what they do not lose.
    cooperative: bool
    # What may be taken for a pause that ends a session.
    long_pause: int
    # When brokers were down: pairs of milliseconds.
    outages: list = field(default_factory=list)


@dataclass
class Verdict:
    problems: list = field(default_factory=list)
    figures: Counter = field(default_factory=Counter)

    def problem(self, rule, text):
        self.figures[f"problems: {rule}"] += 1
        if self.figures[f"problems: {rule}"] <= 10:
            self.problems.append(f"{rule}: {text}")


@dataclass
class Handling:
    at: int
    account: Account
    partition: int
    first: int
    last: int


def judge(evidence):
    verdict = Verdict()
    handlings = sorted((handling for account in evidence.accounts for handling in handled(account)),
                       key=lambda handling: handling.at)
    all_is_handled(evidence, handlings, verdict)
    commits_follow_handling(evidence, handlings, verdict)
    reading_begins_at_the_commit(evidence, verdict)
    what_comes_twice_was_not_committed_in_a_crash(evidence, handlings, verdict)
    for account in evidence.accounts:
        if account.kind == "ours" and account.tells:
            keeps_to_its_share(account, verdict)
            loses_only_by_a_crash(account, evidence, verdict)
            if evidence.cooperative:
                gives_up_only_what_it_must(account, evidence, verdict)
    return verdict


def handled(account):
    return [Handling(event["at"], account, event["partition"], event["first"], event["last"])
            for event in account.events if event["event"] == "handled"]


def all_is_handled(evidence, handlings, verdict):
    seen = {partition: bytearray(end) for partition, end in evidence.ends.items()}
    for handling in handlings:
        seen[handling.partition][handling.first:handling.last + 1] = b"\1" * (handling.last + 1 - handling.first)
    verdict.figures["records"] = len(evidence.acknowledged)
    verdict.figures["records not vouched for"] = sum(evidence.ends.values()) - len(evidence.acknowledged)
    for partition, offset in sorted(evidence.acknowledged):
        if offset >= len(seen[partition]) or not seen[partition][offset]:
            verdict.problem("skipped", f"partition {partition} offset {offset} was acknowledged and never handled")


def commits_follow_handling(evidence, handlings, verdict):
    """Goes through both in the order of time."""
    verdict.figures["commits"] = len(evidence.commits)
    # Whose journal is kept by another says too late when something was handled: it is believed from the beginning.
    prompt = sorted(((handling.at if handling.account.keeps_time else 0, handling) for handling in handlings),
                    key=lambda pair: pair[0])
    seen = {partition: bytearray(end) for partition, end in evidence.ends.items()}
    done = dict.fromkeys(evidence.ends, 0)
    last = dict.fromkeys(evidence.ends, 0)
    next_handling = 0
    # A commit's time is that of its record, and those of several coordinators come in no order.
    for commit in sorted(evidence.commits, key=lambda commit: commit.at):
        while next_handling < len(prompt) and prompt[next_handling][0] <= commit.at:
            handling = prompt[next_handling][1]
            seen[handling.partition][handling.first:handling.last + 1] = b"\1" * (handling.last + 1 - handling.first)
            next_handling += 1
        reached = seen[commit.partition].find(b"\0", done[commit.partition])
        done[commit.partition] = evidence.ends[commit.partition] if reached < 0 else reached
        if commit.offset > done[commit.partition]:
            verdict.problem("committed ahead", f"partition {commit.partition} was committed up to {commit.offset} at "
                                               f"{commit.at}, but handled only up to {done[commit.partition]}")
        if commit.offset < last[commit.partition]:
            verdict.problem("commit went back", f"partition {commit.partition} from {last[commit.partition]} to "
                                                f"{commit.offset} at {commit.at}")
        last[commit.partition] = commit.offset


def reading_begins_at_the_commit(evidence, verdict):
    commits = {partition: [] for partition in evidence.ends}
    for commit in sorted(evidence.commits, key=lambda commit: commit.at):
        commits[commit.partition].append(commit)
    times = {partition: [commit.at for commit in found] for partition, found in commits.items()}
    for account in evidence.accounts:
        # Of each partition, how far it was read and when.
        reached = {}
        for handling in handled(account):
            offset, since = reached.get(handling.partition, (None, account.started))
            if handling.first != offset:
                slack = 0 if account.keeps_time else LATE
                found, at = commits[handling.partition], times[handling.partition]
                earliest = bisect_right(at, since - slack)
                in_force = {commit.offset for commit in found[max(earliest - 1, 0):bisect_right(at, handling.at)]}
                if earliest == 0:
                    in_force.add(0)
                verdict.figures["beginnings"] += 1
                if handling.first not in in_force:
                    verdict.problem("began elsewhere", f"{account.name} read partition {handling.partition} from "
                                    f"{handling.first} at {handling.at}; committed was one of {sorted(in_force)}")
            reached[handling.partition] = (handling.last + 1, handling.at)


def what_comes_twice_was_not_committed_in_a_crash(evidence, handlings, verdict):
    by_offset = {partition: [None] * end for partition, end in evidence.ends.items()}
    for handling in handlings:
        row = by_offset[handling.partition]
        for offset in range(handling.first, handling.last + 1):
            before = row[offset]
            row[offset] = handling
            if before is None:
                continue
            verdict.figures["handled again"] += 1
            excuse = excused(before, handling, evidence) or excused_late(handling, evidence)
            if excuse is None and not (before.account.keeps_time and handling.account.keeps_time) \
                    and handling.at - before.at < LATE:
                # Which of the two came first is not sure.
                excuse = excused(handling, before, evidence)
            if excuse:
                verdict.figures[f"handled again, {excuse}"] += 1
            else:
                verdict.problem("handled again", f"partition {handling.partition} offset {offset} by "
                                f"{handling.account.name} at {handling.at}, before by {before.account.name} at "
                                f"{before.at}, which did not crash")


def excused(before, after, evidence):
    """Why what was handled before could not be committed."""
    account, partition = before.account, before.partition
    if account.killed and before.at <= account.killed + LATE and account.killed <= after.at + LATE:
        return "killed"
    if account.kind == "ours" and account.tells:
        for event in account.events:
            if event["at"] >= before.at and partition in event.get("partitions", ()):
                if event["event"] == "lost":
                    return "lost"
                if event["event"] in ("assigned", "revoking"):
                    return None
        return None
    for since, until in account.pauses:
        if until - since >= evidence.long_pause and since <= after.at and before.at <= until + LATE:
            return "paused"
    if any(since - LATE <= before.at <= until + AFTERMATH for since, until in evidence.outages):
        return "outage"
    for event in account.events:
        if event["at"] >= before.at and event["event"] in ("refused", "lost") and partition in event["partitions"]:
            return f"{event['event']} ({account.kind})"
    return None


def excused_late(after, evidence):
    """Whether this was handled by one who stood still for so long that others had it meanwhile."""
    account = after.account
    for since, until in account.pauses:
        if until - since >= evidence.long_pause and until - LATE <= after.at <= until + LATE:
            if account.kind != "ours":
                return f"late ({account.kind})"
            # It was in the middle of something; what else it had fetched it keeps to itself.
            in_hand = next((event for event in account.events if event["event"] == "handled" and event["at"] >= until),
                           None)
            if in_hand and (in_hand["partition"], in_hand["first"]) == (after.partition, after.first):
                return "in hand"
    return None


def keeps_to_its_share(account, verdict):
    own = set()
    for event in account.events:
        match event["event"]:
            case "assigned":
                own.update(event["partitions"])
            case "revoking" | "lost":
                missing = set(event["partitions"]) - own
                if missing:
                    verdict.problem("not its own", f"{account.name} was to give up {sorted(missing)} at {event['at']}")
                own.difference_update(event["partitions"])
                verdict.figures[f"partitions {event['event']}, ours"] += len(event["partitions"])
            case "handled" if event["partition"] not in own:
                verdict.problem("not its own", f"{account.name} handled {event}, and had {sorted(own)}")


def loses_only_by_a_crash(account, evidence, verdict):
    causes = [pause for pause in account.pauses if pause[1] - pause[0] >= evidence.long_pause] + evidence.outages
    for event in account.events:
        if event["event"] == "lost" and not any(
                since <= event["at"] <= until + AFTERMATH for since, until in causes):
            verdict.problem("lost", f"{account.name} lost {event['partitions']} at {event['at']} without a crash")


def gives_up_only_what_it_must(account, evidence, verdict):
    shares = [share for share in evidence.shares if share.member == account.client_id]
    for event in account.events:
        if event["event"] == "revoking":
            share = next((share for share in reversed(shares) if share.at <= event["at"]), None)
            kept = share.partitions.intersection(event["partitions"]) if share else ()
            if kept:
                verdict.problem("interrupted", f"{account.name} was to give up {sorted(kept)} at {event['at']}, "
                                               f"which the coordinator had left it at {share.at}")
