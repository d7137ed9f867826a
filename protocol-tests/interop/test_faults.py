"""Brokers that die and leaders that move, on a cluster of three nodes: nothing is lost and nothing comes twice."""

import json
import os
import signal
import subprocess
import threading
import time

import pytest

from support import PATIENCE, ROOT, Kafka, wait_for_lines

# What is tried here is this client's own doing, whichever Kafka it meets.
pytestmark = pytest.mark.newest_kafka

MESSAGES = 40_000
NODES = 3


@pytest.fixture(scope="module")
def cluster():
    """Three nodes of their own, stopped afterwards: few machines have memory for them beside everything else."""
    directory = ROOT / "target" / "kafka" / "test-faults"
    options = ["--version", os.environ.get("KAFKA_VERSION", "4"), "--nodes", str(NODES), "--dir", str(directory)]
    started = Kafka(*options)
    started.options = options
    yield started
    operate(started, "stop")


def test_killed_brokers_and_moved_leaders_lose_and_double_nothing(cluster, ours):
    topic = f"faults-{time.time_ns()}"
    operate(cluster, "topic", topic, "6", str(NODES))
    operate(cluster, "config", topic, "min.insync.replicas=2")
    # The first node stays: it is the one that the URL names.
    first = cluster.plaintext.split(",")[0]
    url = f"kafka://{first}/{topic}"

    follower_output = ours.home.path / "followed"
    with open(follower_output, "wb") as output:
        follower = ours.start("subscribe", "--no-auth", "-p", "-s", "EARLIEST", url, stdout=output)
        publisher = ours.start("publish", "--no-auth", url, stdin=subprocess.PIPE, stderr=subprocess.PIPE)
        feeder = threading.Thread(target=feed, args=(publisher.stdin,))
        feeder.start()
        for moves in range(2):
            operate(cluster, "move-leader", topic, "0", str(moves % NODES + 1))
            operate(cluster, "kill-node", "2")
            time.sleep(1)
            operate(cluster, "start-node", "2")
            operate(cluster, "move-leader", topic, "1", str((moves + 1) % NODES + 1))
            operate(cluster, "stop-node", "3")
            operate(cluster, "start-node", "3")
        feeder.join()
        complaint = publisher.stderr.read().decode()
        assert publisher.wait(PATIENCE) == 0, complaint

        stored = ours.run("subscribe", "--no-auth", "-s", "EARLIEST", url).ok()
        assert numbers(stored.out) == list(range(MESSAGES)), complaint
        wait_for_lines(follower_output, MESSAGES)
        follower.send_signal(signal.SIGINT)
        assert follower.wait(PATIENCE) == 0
    assert numbers(follower_output.read_bytes()) == list(range(MESSAGES))


def feed(pipe):
    """Some twenty seconds of messages, so that they are under way while brokers come and go."""
    with pipe:
        for number in range(MESSAGES):
            pipe.write(b'{"number": %d, "padding": "%s"}\n' % (number, b"x" * 200))
            if number % 500 == 0:
                pipe.flush()
                time.sleep(0.25)


def numbers(lines):
    return sorted(json.loads(line)["number"] for line in lines.splitlines())


def operate(cluster, *arguments):
    subprocess.run([ROOT / "scripts" / "kafka", *arguments, *cluster.options], check=True, stdout=subprocess.DEVNULL)
