"""100,000 messages of 1 KiB through a pipe and back, each of them once; what that and starting up costs."""

import json
import os
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass

import pytest

from support import Listener, publish

# What is tried here is this client's own doing, whichever Kafka it meets.
pytestmark = pytest.mark.newest_kafka

COUNT = 100_000
SIZE = 1024


@dataclass
class Cost:
    wall: float
    cpu: float
    peak_mib: float

    def __str__(self):
        return f"{self.wall:7.3f} s wall  {self.cpu:7.3f} s CPU  {self.peak_mib:7.1f} MiB peak"


@pytest.fixture(scope="module")
def lines(tmp_path_factory):
    path = tmp_path_factory.mktemp("volume") / "lines.json"
    with open(path, "w", encoding="ascii") as file:
        for number in range(COUNT):
            line = json.dumps({"id": number, "alert": "GRB 270412B", "flux": number / 7, "padding": ""})
            file.write(line[:-2] + "p" * (SIZE - 1 - len(line)) + '"}\n')
    assert path.stat().st_size == COUNT * SIZE
    yield path
    path.unlink()


@pytest.mark.parametrize("name", ["plaintext", "sasl_ssl"])
def test_every_message_once(kafka, home, ours, lines, name):
    home.add_user(kafka)
    listener = Listener(kafka, name)
    topic, kcat_topic = kafka.new_topic(3), kafka.new_topic(3)
    received = home.path / "received"

    costs = {}
    costs["hop publish"] = measure(ours, ["publish", *listener.options, listener.url(topic)], stdin=lines)
    assert kafka.count(topic) == COUNT
    costs["hop subscribe"] = measure(
        ours, ["subscribe", *listener.options, "-s", "EARLIEST", listener.url(topic)], stdout=received)

    seen = bytearray(COUNT)
    with open(received, encoding="utf-8") as file:
        for line in file:
            seen[json.loads(line)["id"]] += 1
    received.unlink()
    assert set(seen) == {1}, f"{seen.count(0)} lost, {COUNT - seen.count(0) - seen.count(1)} more than once"

    # For the comparison, not for the test.
    if shutil.which("kcat"):
        kcat = Kcat(kafka, home, listener)
        costs["kcat -P"] = measure(kcat, ["-P", "-t", kcat_topic], stdin=lines)
        costs["kcat -C -e"] = measure(kcat, ["-C", "-e", "-q", "-o", "beginning", "-t", kcat_topic])
    report(f"volume-{kafka.version}-{name}",
           f"{COUNT} messages of {SIZE} bytes, Kafka {kafka.version}, {name}", costs)


def test_starting_up(kafka, ours, theirs, secure):
    """What somebody waits for who types a command: `hop version`, and one message over TLS."""
    topic = kafka.new_topic()
    kafka.produce(topic, [b'"one"'], headers={"_format": "json"})
    costs = {}
    for what, program, arguments in [
        ("hop version", ours, ["version"]),
        ("hop-client version", theirs, ["version"]),
        ("hop subscribe", ours, ["subscribe", "-s", "EARLIEST", secure.url(topic)]),
        ("hop-client subscribe -e", theirs, ["subscribe", "-e", "-s", "EARLIEST", secure.url(topic)]),
    ]:
        # The best of several: this asks what the program needs, not what else the machine does.
        costs[what] = min((measure(program, arguments) for _ in range(5)), key=lambda cost: cost.wall)
    report(f"start-up-{kafka.version}", f"Best of five, Kafka {kafka.version}, sasl_ssl", costs)
    assert costs["hop subscribe"].wall < costs["hop-client subscribe -e"].wall


class Kcat:
    path = "kcat"

    def __init__(self, kafka, home, listener):
        self.home = home
        self.options = ["-b", listener.broker]
        if listener.name == "sasl_ssl":
            # Debian's librdkafka doubles the client's nonce in SCRAM, which Kafka no longer takes: PLAIN, then.
            self.options += ["-X", "security.protocol=SASL_SSL", "-X", f"ssl.ca.location={kafka.ca}",
                             "-X", "sasl.mechanism=PLAIN", "-X", "sasl.username=admin",
                             "-X", f"sasl.password={kafka.passwords['admin']}"]

    def environment(self):
        return dict(os.environ)


def measure(program, arguments, stdin=os.devnull, stdout=os.devnull):
    """Runs a command to its end; what it took by itself."""
    with open(stdin, "rb") as source, open(stdout, "wb") as target, tempfile.TemporaryFile() as complaint:
        started = time.monotonic()
        process = subprocess.Popen([program.path, *getattr(program, "options", []), *arguments], stdin=source,
                                   stdout=target, stderr=complaint, env=program.environment(),
                                   cwd=program.home.path)
        peak = 0
        while True:
            # The peak that wait4 reports begins with this process's own, from before the exec.
            peak = max(peak, high_water_mark(process.pid))
            ended, status, usage = os.wait4(process.pid, os.WNOHANG)
            if ended:
                break
            time.sleep(0.001)
        wall = time.monotonic() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        complaint.seek(0)
        assert process.returncode == 0, complaint.read().decode("utf-8", "replace")
    return Cost(wall, usage.ru_utime + usage.ru_stime, peak / 1024)


def high_water_mark(pid):
    with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as status:
        return sum(int(line.split()[1]) for line in status if line.startswith("VmHWM:"))


def report(name, title, costs):
    publish(name, f"{title}:\n" + "".join(f"  {what:24} {cost}\n" for what, cost in costs.items()))
