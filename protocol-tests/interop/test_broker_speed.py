"""kcat on `hop broker` and on Apache Kafka, on the same machine, in turns."""

import subprocess
import time

import pytest

from hop_broker import HopBroker
from support import PATIENCE, publish

# Once is enough.
pytestmark = pytest.mark.newest_kafka

COUNT = 200_000
LINE = "x" * 1023
# A machine that does something else meanwhile shows what is true later, if it is.
FEWEST_ROUNDS, MOST_ROUNDS = 5, 20
# Without kcat's own pauses: one when its queue is full, and one before it takes the end of a log for that.
CONSUME = ["-c", str(COUNT), "-X", "queued.min.messages=1000000", "-X", "queued.max.messages.kbytes=1000000"]


@pytest.fixture(scope="module")
def ours_and_theirs(kafka):
    broker = HopBroker()
    yield broker, kafka
    broker.stop()


def timed(*arguments, stdin=None):
    started = time.monotonic()
    # Not with a time limit of Python's: it then looks for the end only every 50 ms.
    subprocess.run(["timeout", str(2 * PATIENCE), "kcat", *arguments], input=stdin, stdout=subprocess.DEVNULL, check=True)
    return time.monotonic() - started


def test_kcat_is_no_slower_on_our_broker(ours_and_theirs):
    lines = (LINE + "\n").encode() * COUNT
    best = {}
    for rounds in range(1, MOST_ROUNDS + 1):
        for name, broker in zip(("hop broker", "Kafka"), ours_and_theirs):
            topic = broker.new_topic(1)
            produced = timed("-P", "-b", broker.plaintext, "-t", topic, stdin=lines)
            consumed = timed("-C", "-b", broker.plaintext, "-t", topic, "-q", "-o", "beginning", *CONSUME)
            before = best.get(name, (produced, consumed))
            best[name] = (min(before[0], produced), min(before[1], consumed))
        # A tenth is what two runs of the same differ by.
        is_no_slower = all(ours < theirs * 1.1 for ours, theirs in zip(best["hop broker"], best["Kafka"]))
        if is_no_slower and rounds >= FEWEST_ROUNDS:
            break
    text = "".join(f"{name}: kcat -P {COUNT / produced:,.0f} messages/s, kcat -C {COUNT / consumed:,.0f} messages/s\n"
                   for name, (produced, consumed) in best.items())
    publish(f"broker-speed-{ours_and_theirs[1].version}", f"messages of 1 KiB, the best of {rounds}:\n{text}")
    assert is_no_slower, best
