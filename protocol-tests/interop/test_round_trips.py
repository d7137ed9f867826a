"""How often a first message makes the client wait for an ocean: three brokers, each 100 ms away, TLS and SCRAM."""

import os
import socket
import subprocess
import time

import pytest

from ocean import Ocean
from support import PATIENCE, ROOT, Kafka, publish

# What is tried here is this client's own doing, whichever Kafka it meets.
pytestmark = pytest.mark.newest_kafka

NODES = 3
# A broker's network thread that looks away finds the next request after so many seconds.
STALL = 0.3


@pytest.fixture(scope="module")
def ocean():
    ocean = Ocean(NODES)
    options = ["--version", os.environ.get("KAFKA_VERSION", "4"), "--nodes", str(NODES),
               "--dir", str(ROOT / "target" / "kafka" / "test-round-trips")]
    ocean.operate = lambda *arguments: subprocess.run(
        [ROOT / "scripts" / "kafka", *arguments, *options], check=True, stdout=subprocess.DEVNULL)
    # One that an aborted run left behind advertises the ports of proxies that are gone.
    ocean.operate("stop")
    ocean.kafka = Kafka(*options, "--proxied", ",".join(map(str, ocean.shores)))
    ocean.connect(ocean.kafka.proxied.split(","))
    yield ocean
    ocean.close()
    ocean.operate("stop")


@pytest.mark.parametrize("leader, most", [(1, 6), (2, 10)])
def test_the_first_message_takes_the_fewest_round_trips(ocean, ours, theirs, home, leader, most):
    topic = f"far-{leader}-{time.time_ns()}"
    ocean.operate("topic", topic, "1", str(NODES))
    ocean.operate("move-leader", topic, "0", str(leader))
    ocean.kafka.produce(topic, [b'"far away"'], headers={"_format": "json"})
    home.add_user(ocean.kafka)
    url = f"kafka://localhost:{ocean.shores[0]}/{topic}"

    runs = [first_message(ocean, lambda: ours.start("subscribe", "-s", "EARLIEST", url, stdout=subprocess.PIPE))
            for _ in range(3)]
    fewest = min(runs)
    # Fewer than a login takes would be a mistake of the counting.
    assert 5 < fewest.round_trips <= most, fewest.story
    # One that a busy machine holds up is no stall: that would be there each time.
    assert min(run.longest_thought for run in runs) < STALL, fewest.story

    kcat = ["kcat", "-C", "-q", "-u", "-o", "beginning", "-c", "1", "-b", f"localhost:{ocean.shores[0]}", "-t", topic,
            "-X", "security.protocol=SASL_SSL", "-X", f"ssl.ca.location={ocean.kafka.ca}",
            # Debian's librdkafka cannot log in to Kafka 4 with SCRAM, which takes one more.
            "-X", "sasl.mechanism=PLAIN", "-X", "sasl.username=admin",
            "-X", f"sasl.password={ocean.kafka.passwords['admin']}"]
    others = {
        "kcat (PLAIN)": first_message(ocean, lambda: subprocess.Popen(kcat, stdout=subprocess.PIPE)),
        "hop-client": first_message(
            ocean, lambda: theirs.start("subscribe", "-e", "-s", "EARLIEST", url, stdout=subprocess.PIPE)),
    }
    where = "the bootstrap broker leads" if leader == 1 else "another broker leads"
    lines = [f"First message, each broker 100 ms away, {where}, Kafka {ocean.kafka.version}:",
             f"  {'':24} round trips   seconds   longest thought of a broker",
             *(f"  {name:24} {run}" for name, run in {"hop subscribe": fewest, **others}.items()),
             *(f"{name}:\n{run.story}" for name, run in {"hop subscribe": fewest, **others}.items()), ""]
    publish(f"round-trips-{ocean.kafka.version}-{leader}", "\n".join(lines))


def test_a_stall_between_two_answers_of_a_flight_is_seen():
    """Where a broker stalls is behind the last token of a login: the answer to that comes at once."""
    with socket.create_server(("127.0.0.1", 0)) as broker:
        ocean = Ocean(1)
        ocean.connect([f"127.0.0.1:{broker.getsockname()[1]}"])
        with socket.create_connection(("127.0.0.1", ocean.shores[0])) as client:
            client.sendall(b"two requests")
            answering, _ = broker.accept()
            with answering:
                answering.settimeout(PATIENCE)
                answering.recv(100)
                answering.sendall(b"1")
                time.sleep(STALL)
                answering.sendall(b"2")
                client.settimeout(PATIENCE)
                while client.recv(1) != b"2":
                    pass
        ocean.close()
    # TCP's, and the flight's.
    assert ocean.round_trips == 2
    assert ocean.longest_thought >= STALL


class Run:
    """How a client came to its first message."""

    def __init__(self, ocean, seconds):
        self.round_trips, self.seconds = ocean.round_trips, seconds
        self.longest_thought, self.story = ocean.longest_thought, ocean.story()

    def __lt__(self, other):
        return (self.round_trips, self.seconds) < (other.round_trips, other.seconds)

    def __str__(self):
        return f"{self.round_trips:11} {self.seconds:9.2f} {self.longest_thought:29.3f} s"


def first_message(ocean, start):
    ocean.forget()
    started = time.monotonic()
    with start() as process:
        assert process.stdout.read(1), "it ended without a message"
        run = Run(ocean, time.monotonic() - started)
        process.stdout.read()
        process.wait(PATIENCE)
    return run
