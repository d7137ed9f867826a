"""Networks that come and go: packets that are lost without a word, a broker at another address, a NAT that has forgotten,
a laptop that slept, a cable that was pulled, a broker that is down.

A Kafka is on one host and readers are on the other (networks.py), one without a group and one in a group. Numbers are
written all the time, where nothing is cut. Each reader must notice within the wait of its fetches and 10 s, say so
once, go on by itself at the right offset, say that once, and must not try without pause meanwhile.

SILENT_SECONDS is how long no packet gets through before the broker moves: 75 if it is not set.
"""

import os
import signal
import subprocess
import time

import pytest

from networks import BROKER, Network
from support import PATIENCE, ROOT, Home, Kafka, Program, find_program, publish
from watching import Feeder, Reader, wait_until

# What is tried here is this client's own doing, whichever Kafka it meets.
pytestmark = pytest.mark.newest_kafka

FETCH_WAIT, SILENCE = 0.5, 10
# What a busy machine may take on top, and the step of the clock that ticks it.
SLACK = 4
# Of one core, while there is nothing to do but to try again. One that never waits takes all of it.
MOST_CPU = 0.02
# Of one reader: its fetches, its look for metadata, its group, each on a connection of its own, and the bootstrap list.
MOST_ATTEMPTS_A_SECOND = 2
# How often a group's reader commits, in messages: what may come again after it was thrown out.
COMMIT_INTERVAL = 5
PAUSE = 0.05
SILENT_SECONDS = float(os.environ.get("SILENT_SECONDS", "75"))


class Hosts:
    """Both hosts and what runs on them."""

    def __init__(self, folder):
        version = os.environ.get("KAFKA_VERSION", "4")
        self.options = ["--version", version, "--dir", str(ROOT / "target" / "kafka" / f"test-networks-{version}"),
                        "--host", BROKER]
        self.network = Network()
        try:
            self.kafka = Kafka(*self.options, inside=self.network.far.command)
        except BaseException:
            self.network.close()
            raise
        self.folder = folder

    def close(self):
        self.operate("stop")
        self.network.close()

    def operate(self, *arguments):
        subprocess.run([*self.network.far.command, ROOT / "scripts" / "kafka", *arguments, *self.options], check=True,
                       stdout=subprocess.DEVNULL)


@pytest.fixture(scope="module")
def hosts(tmp_path_factory):
    made = Hosts(tmp_path_factory.mktemp("hosts"))
    yield made
    made.close()


class Scene:
    """Two readers that follow a topic into which numbers are written."""

    def __init__(self, hosts, name, home):
        self.name, self.network = name, hosts.network
        topic = f"{name}-{time.time_ns()}"
        hosts.operate("topic", topic, "3")
        home.add_user(hosts.kafka)
        hop = find_program("HOP_BIN", ROOT / "target" / "release" / "hop")
        self.near = Program(hop, home, hosts.network.near.command)
        self.url = f"kafka://{hosts.kafka.sasl_ssl}/{topic}"
        self.group = f"group-of-{topic}"
        self.feeder = Feeder(Program(hop, home, hosts.network.far.command), self.url, pause=PAUSE)
        self.readers = {"alone": self.read(), "in a group": self.read("-g", self.group)}
        wait_until(lambda: all(len(reader.lines) >= 20 for reader in self.readers.values()), what="the first messages")

    def read(self, *options):
        return Reader(self.near, "-p", "-s", "EARLIEST", *options, self.url)

    def begin(self):
        """From now on the readers are to be without their broker."""
        self.cut_at = self.healed_at = time.monotonic()
        self._cpu = {name: reader.cpu_seconds() for name, reader in self.readers.items()}
        self._attempts = self.network.near.connections_opened()

    def lasts(self, seconds):
        """Until so long after the cut, it goes on; what it costs meanwhile is measured."""
        time.sleep(max(0.0, self.cut_at + seconds - time.monotonic()))
        self.seconds = time.monotonic() - self.cut_at
        self.cpu = {name: reader.cpu_seconds() - self._cpu[name] for name, reader in self.readers.items()}
        self.attempts = self.network.near.connections_opened() - self._attempts
        most = max(MOST_CPU * self.seconds, 0.2)
        assert all(used < most for used in self.cpu.values()), f"CPU seconds in {self.seconds:.0f} s: {self.cpu}"
        assert self.attempts <= len(self.readers) * MOST_ATTEMPTS_A_SECOND * self.seconds + 20, self.attempts

    def heals(self):
        """From now on the broker can be reached."""
        self.healed_at = time.monotonic()

    def goes_on(self, noticed_after=None, doubled=0):
        """Nothing is skipped, and nothing comes twice but for what a group had not committed yet; what is said."""
        noticed_after = self.cut_at if noticed_after is None else noticed_after
        wait_until(lambda: all(self.went_on(reader) for reader in self.readers.values()), what="it to go on")
        # And still does.
        here = {name: len(reader.lines) for name, reader in self.readers.items()}
        wait_until(lambda: all(len(reader.lines) > here[name] + 20 for name, reader in self.readers.items()),
                   what="it to keep going on")
        count = self.feeder.stop()
        wait_until(lambda: all(len(set(reader.numbers)) == count for reader in self.readers.values()),
                   what=f"all {count} numbers")
        # A partition without messages may be the last to come back, and is then what the all-clear waits for.
        wait_until(lambda: all(len(reader.said) >= 2 for reader in self.readers.values()), what="the all-clear")
        report = [f"{self.name}: {self.seconds:.0f} s, {self.attempts} connections tried by two readers"]
        for name, reader in self.readers.items():
            (noticed, warning), (_, all_clear) = reader.said
            assert warning.startswith("hop: warning: reading is interrupted and will go on by itself: "), warning
            assert all_clear.startswith("hop: reading goes on after "), all_clear
            assert noticed - noticed_after < FETCH_WAIT + SILENCE + SLACK, f"noticed after {noticed - noticed_after} s"
            numbers = reader.numbers
            again = len(numbers) - count
            assert set(numbers) == set(range(count))
            assert again <= (doubled if name == "in a group" else 0), f"{again} came again"
            report.append(f"  {name:10}  noticed after {noticed - noticed_after:5.1f} s, "
                          f"went on {self.went_on(reader) - self.healed_at:5.1f} s after it could, "
                          f"{self.cpu[name]:.2f} s of CPU, {again} messages again")
        # What the group has read, it has committed: whoever comes next finds nothing new.
        assert self.readers["in a group"].end(signal.SIGINT)[0] == 0
        left = self.near.run("subscribe", "-s", "EARLIEST", "-g", self.group, self.url).ok()
        assert left.out == b"" and left.complaint == []
        publish(f"networks-{self.name}-{os.environ.get('KAFKA_VERSION', '4')}", "\n".join(report) + "\n")

    def went_on(self, reader):
        """When the first message came after the first complaint and after it could come again."""
        said = reader.said
        since = max(self.healed_at, said[0][0]) if said else None
        return since and next((at for at, _ in list(reader.lines) if at > since), None)

    def close(self):
        for process in (*self.readers.values(), self.feeder):
            process.kill()


@pytest.fixture
def scene(hosts, tmp_path, request):
    made = Scene(hosts, request.node.originalname.removeprefix("test_"), Home(tmp_path))
    yield made
    made.close()
    hosts.network.plug_in_cable()
    hosts.network.heal()


def test_not_a_packet_for_long_and_then_the_broker_at_another_address(hosts, scene):
    scene.begin()
    hosts.network.lose_everything()
    scene.lasts(SILENT_SECONDS)
    hosts.network.move_broker()
    hosts.network.heal()
    scene.heals()
    # The group has thrown its member out long ago.
    scene.goes_on(doubled=messages_in(COMMIT_INTERVAL))


def test_packets_are_lost_for_a_while(hosts, scene):
    scene.begin()
    hosts.network.lose_everything()
    scene.lasts(25)
    hosts.network.heal()
    scene.heals()
    scene.goes_on()


def test_a_nat_that_has_forgotten(hosts, scene):
    scene.begin()
    hosts.network.forget_connections()
    scene.lasts(12)
    scene.goes_on()


def test_a_laptop_that_slept(hosts, scene):
    scene.begin()
    for reader in scene.readers.values():
        reader.process.send_signal(signal.SIGSTOP)
    hosts.network.forget_connections()
    scene.lasts(5)
    for reader in scene.readers.values():
        reader.process.send_signal(signal.SIGCONT)
    scene.heals()
    scene.goes_on(noticed_after=scene.healed_at)


def test_a_cable_that_was_pulled(hosts, scene):
    scene.begin()
    hosts.network.pull_cable()
    scene.lasts(20)
    hosts.network.plug_in_cable()
    scene.heals()
    scene.goes_on()


def test_a_broker_that_is_down_and_refuses_at_once(hosts, scene):
    scene.begin()
    hosts.operate("kill-node", "1")
    scene.lasts(15)
    hosts.operate("start-node", "1")
    scene.heals()
    # Kafka may take its time, and the group's session end meanwhile.
    scene.goes_on(doubled=messages_in(COMMIT_INTERVAL))


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_a_signal_ends_it_within_a_second(hosts, scene, how):
    scene.begin()
    hosts.network.lose_everything()
    wait_until(lambda: all(reader.said for reader in scene.readers.values()), what="the complaints")
    for name, reader in scene.readers.items():
        code, took = reader.end(how)
        assert took < 1, f"{name}: {took} s"
        assert code == 0, reader.said
        doubt = ["hop: warning: the group's coordinator does not answer: what was printed last may come again"]
        assert [text for _, text in reader.said[1:]] == (doubt if name == "in a group" else [])


def messages_in(seconds):
    return int(seconds / PAUSE * 1.5)
