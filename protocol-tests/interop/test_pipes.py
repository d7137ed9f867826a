"""How `subscribe` behaves in a shell: pipes that close, Ctrl-C, following a topic."""

import json
import os
import select
import subprocess
import time

import pytest

from support import interrupt


def test_a_closed_pipe_ends_it_quietly(kafka, ours, listener):
    topic = kafka.new_topic(3)
    # Far more than a pipe holds.
    kafka.produce(topic, [json.dumps({"number": number, "padding": "x" * 200}) for number in range(20_000)],
                  headers={"_format": "json"}, linger_ms=20)
    subscribe = ours.start("subscribe", *listener.options, "-s", "EARLIEST", listener.url(topic),
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    head = subprocess.run(["head", "-1"], stdin=subscribe.stdout, stdout=subprocess.PIPE, timeout=60, check=True)
    subscribe.stdout.close()
    assert "number" in json.loads(head.stdout)
    assert subscribe.stderr.read() == b""
    assert subscribe.wait(10) == 0


@pytest.mark.parametrize("persist", [True, False], ids=["persist", "to-the-end"])
def test_ctrl_c_ends_it_within_a_second_with_what_was_read(kafka, ours, listener, persist):
    topic = kafka.new_topic(3)
    values = [json.dumps({"number": number}) for number in range(300)]
    kafka.produce(topic, values, headers={"_format": "json"})
    output = ours.home.path / "out"
    with open(output, "wb") as out:
        subscribe = ours.start("subscribe", *listener.options, "-s", "EARLIEST", *(["-p"] if persist else []),
                               listener.url(topic), stdout=out, stderr=subprocess.PIPE)
    try:
        if persist:
            # Messages come without waiting for more of them.
            wait_until(lambda: output.read_bytes().count(b"\n") == len(values))
            assert subscribe.poll() is None
        started = time.monotonic()
        interrupt(subscribe)
        subscribe.wait(10)
        assert time.monotonic() - started < 1
        assert b"panicked" not in subscribe.stderr.read()
    finally:
        subscribe.kill()
    received = output.read_text().splitlines()
    if persist:
        assert sorted(received) == sorted(values)
    else:
        # Wherever it was stopped, no line is cut.
        assert set(received) <= set(values)


def test_ctrl_c_while_connecting(kafka, ours):
    # Nobody answers at an address from the range for documentation.
    subscribe = ours.start("subscribe", "--no-auth", "kafka://192.0.2.1:9092/t", stderr=subprocess.PIPE)
    try:
        time.sleep(0.5)
        started = time.monotonic()
        interrupt(subscribe)
        subscribe.wait(10)
        assert time.monotonic() - started < 1
    finally:
        subscribe.kill()


def test_persist_follows_the_topic(kafka, ours, listener):
    topic = kafka.new_topic(3)
    kafka.produce(topic, [b'"first"'], headers={"_format": "json"})
    subscribe = ours.start("subscribe", *listener.options, "-p", "-s", "EARLIEST", listener.url(topic),
                           stdout=subprocess.PIPE)
    try:
        assert next_line(subscribe) == b"first\n"
        for partition in range(3):
            kafka.produce(topic, [json.dumps(f"later {partition}")], partition=partition,
                          headers={"_format": "json"})
            # One message comes at once, though the next is not there yet.
            assert next_line(subscribe) == b"later %d\n" % partition
    finally:
        interrupt(subscribe)
        subscribe.wait(10)


def wait_until(holds, seconds=20):
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def next_line(process, seconds=20):
    line = b""
    while not line.endswith(b"\n"):
        readable, _, _ = select.select([process.stdout], [], [], seconds)
        assert readable, "no line came"
        piece = os.read(process.stdout.fileno(), 1)
        assert piece, "it ended"
        line += piece
    return line
