"""How `subscribe` behaves in a shell: pipes that close, Ctrl-C, following a topic."""

import fcntl
import json
import os
import pty
import re
import select
import signal
import socket
import subprocess
import threading
import time

import pytest

from support import interrupt, read_until

SIGNALS = pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])


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


def test_a_pipe_is_made_to_hold_more_but_not_where_what_is_in_it_would_be_lost_to_a_group(kafka, ours, plain):
    topic = kafka.new_topic()
    kafka.produce(topic, [b"1"])

    def bytes_of_pipe(*options):
        reading, writing = os.pipe()
        before = fcntl.fcntl(reading, fcntl.F_GETPIPE_SZ)
        subscribe = ours.start("subscribe", *plain.options, "-s", "EARLIEST", *options, plain.url(topic), stdout=writing)
        os.close(writing)
        with open(reading, "rb") as pipe:
            assert (pipe.readline(), subscribe.wait(60)) == (b"1\n", 0)
            return before, fcntl.fcntl(pipe, fcntl.F_GETPIPE_SZ)

    assert bytes_of_pipe() == (65_536, 262_144)
    assert bytes_of_pipe("-g", topic) == (65_536, 65_536)


@SIGNALS
@pytest.mark.parametrize("group", [False, True], ids=["alone", "in-a-group"])
def test_a_signal_ends_it_with_what_was_read(kafka, ours, listener, how, group):
    topic = kafka.new_topic(3)
    values = [json.dumps({"number": number}) for number in range(300)]
    kafka.produce(topic, values, headers={"_format": "json"})
    output = ours.home.path / "out"
    with open(output, "wb") as out:
        subscribe = ours.start("subscribe", *listener.options, "-p", "-s", "EARLIEST", *(["-g", topic] if group else []),
                               listener.url(topic), stdout=out, stderr=subprocess.PIPE)
    # Messages are printed as they come, without waiting for more of them.
    wait_until(lambda: subscribe.poll() is not None or output.read_bytes().count(b"\n") == len(values))
    assert ends_within_a_second(subscribe, how) == 0
    assert sorted(output.read_text().splitlines()) == sorted(values)


@SIGNALS
@pytest.mark.parametrize("group", [False, True], ids=["alone", "in-a-group"])
def test_a_signal_ends_it_between_two_messages_while_there_is_more(kafka, ours, plain, how, group):
    topic = kafka.new_topic()
    message = json.dumps({"padding": "x" * 1000})
    kafka.produce(topic, [message] * 60_000, headers={"_format": "json"}, linger_ms=20, compression_type="lz4")
    subscribe = ours.start("subscribe", *plain.options, "-s", "EARLIEST", *(["-g", topic] if group else []),
                           plain.url(topic), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    printed = bytearray()

    def read_slowly():
        # So that it is always at work, and there is always more than it has printed.
        while piece := os.read(subscribe.stdout.fileno(), 1 << 16):
            printed.extend(piece)
            time.sleep(0.01)

    reader = threading.Thread(target=read_slowly)
    reader.start()
    wait_until(lambda: len(printed) > 1 << 20)
    assert ends_within_a_second(subscribe, how) == 0
    reader.join()
    lines = printed.decode().splitlines()
    assert set(lines) == {message} and printed.endswith(b"\n") and len(lines) < 60_000


@pytest.fixture
def stuck(kafka, ours, plain):
    """A subscriber that waits for room in a pipe which nobody reads, as in a pager."""
    topic = kafka.new_topic()
    kafka.produce(topic, ["x" * 1000] * 2000, linger_ms=20)
    subscribe = ours.start("subscribe", *plain.options, "-s", "EARLIEST", plain.url(topic),
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert next_line(subscribe)
    time.sleep(0.5)
    return subscribe


def test_ctrl_c_while_nobody_reads_the_pipe(stuck):
    ends_within_a_second(stuck)


def test_a_signal_that_comes_twice_at_once_is_one(stuck):
    # As `timeout` does it: to its child, and to the group that the child is in.
    for _ in range(2):
        stuck.send_signal(signal.SIGINT)
        wait_until(lambda: not pending_signals(stuck))
        time.sleep(0.02)
    assert stuck.poll() is None
    # Once somebody reads again, it ends with what it had printed.
    stuck.stdout.read()
    assert stuck.wait(10) == 0


def test_ctrl_c_while_connecting(kafka, ours):
    # It accepts the connection, and never says a word.
    with socket.create_server(("127.0.0.1", 0)) as silent:
        subscribe = ours.start("subscribe", "--no-auth", f"kafka://127.0.0.1:{silent.getsockname()[1]}/t",
                               stderr=subprocess.PIPE)
        time.sleep(0.5)
        ends_within_a_second(subscribe)


def test_a_line_is_published_while_the_next_is_awaited(kafka, ours, plain):
    topic = kafka.new_topic()
    publisher = ours.start("publish", *plain.options, plain.url(topic), stdin=subprocess.PIPE)
    publisher.stdin.write(b'{"first": 1}\n')
    publisher.stdin.flush()
    wait_until(lambda: kafka.count(topic) == 1)
    publisher.stdin.close()
    assert publisher.wait(20) == 0


def test_a_failure_is_said_while_the_next_line_is_awaited(kafka, ours, home):
    home.add_user(kafka, "outsider")
    url = f"kafka://{kafka.sasl_ssl}/{kafka.forbidden_topic}"
    publisher = ours.start("publish", url, stdin=subprocess.PIPE, stderr=subprocess.PIPE)
    publisher.stdin.write(b'{"first": 1}\n')
    publisher.stdin.flush()
    assert publisher.wait(20) == 1
    complaint = publisher.stderr.read().decode()
    assert "line 1" in complaint and kafka.forbidden_topic in complaint
    publisher.stdin.close()


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


def test_publishing_that_takes_long_says_on_a_terminal_how_far_it_is(kafka, ours, plain):
    topic = kafka.new_topic()
    terminal, stderr = pty.openpty()
    publish = ours.start("publish", *plain.options, plain.url(topic), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                         stderr=stderr)
    os.close(stderr)
    for number in range(3):
        publish.stdin.write(json.dumps({"number": number}).encode() + b"\n")
    publish.stdin.flush()
    shown = read_until(terminal, rb"\r3 published, \d+ a second\x1b\[K")
    publish.stdin.close()
    shown += read_until(terminal, rb"\n")
    assert publish.wait(10) == 0
    assert publish.stdout.read() == b""
    # The line is taken back before the last word.
    assert re.fullmatch(rb"(\r\d published, \d+ a second\x1b\[K)+\r\x1b\[Kpublished 3 messages\r\n", shown)
    os.close(terminal)


def ends_within_a_second(process, how=signal.SIGINT):
    """Ends it by this signal; the exit code."""
    try:
        assert process.poll() is None, f"it had already ended: {process.stderr.read()}"
        started = time.monotonic()
        process.send_signal(how)
        code = process.wait(10)
        assert time.monotonic() - started < 1
        assert b"panicked" not in process.stderr.read()
        return code
    finally:
        process.kill()


def pending_signals(process):
    with open(f"/proc/{process.pid}/status", encoding="ascii") as status:
        return any(int(line.split()[1], 16) for line in status if line.startswith(("SigPnd:", "ShdPnd:")))


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
