"""`hop subscribe -p` as a service: SIGHUP and SIGTERM."""

import signal
import socket
import subprocess

import pytest

from asking import Health
from own_broker import OwnBroker
from support import PATIENCE, Home, Program
from watching import Reader, wait_until

OLD, NEW = "old", "new"


@pytest.fixture
def broker(ours, tmp_path):
    (tmp_path / "broker").mkdir()
    broker = OwnBroker(ours, tmp_path / "broker", "alerts", users=[OLD, NEW])
    yield broker
    broker.kill()


@pytest.fixture
def publisher(ours, broker, tmp_path):
    """Publishes as the user who is let in to the end."""
    home = Home(tmp_path / "publisher")
    home.path.mkdir()
    home.add(**broker.credential(NEW))

    def publish(*numbers):
        lines = "".join(f'{{"number": {number}}}\n' for number in numbers)
        Program(ours.path, home).run("publish", broker.url("alerts"), stdin=lines.encode()).ok()

    return publish


def set_credential(home, broker, user):
    home.credentials.clear()
    home.add(**broker.credential(user))


def left(ours, broker, group):
    """How many messages a group has not committed; `None` before it has committed any."""
    lag = [line.split()[-1] for line in ours.run("lag", broker.url("alerts"), group).lines if "alerts" in line]
    return int(lag[0]) if lag else None


def listens_for(process, number):
    """Whether a process has a handler for this signal."""
    with open(f"/proc/{process.pid}/status", encoding="ascii") as status:
        [caught] = [int(line.split()[1], 16) for line in status if line.startswith("SigCgt:")]
    return caught >> (number - 1) & 1


def said(reader, what):
    return [line for _, line in reader.said if what in line]


@pytest.mark.parametrize("group", [False, True], ids=["alone", "in-a-group"])
def test_sighup_has_the_next_connections_use_the_new_credential(ours, home, broker, publisher, group):
    set_credential(home, broker, OLD)
    publisher(1)
    reader = Reader(ours, "-v", "-p", "-s", "EARLIEST", *(["-g", "readers"] if group else []), broker.url("alerts"))
    try:
        wait_until(lambda: reader.lines, what="the first message")
        set_credential(home, broker, NEW)
        reader.process.send_signal(signal.SIGHUP)
        wait_until(lambda: said(reader, "received SIGHUP: the credential file was read"), what="the signal to be heard")
        # What is open stays open.
        publisher(2)
        wait_until(lambda: len(reader.lines) == 2, what="the second message")
        broker.stop()
        broker.start(NEW)
        publisher(3)
        wait_until(lambda: len(reader.lines) >= 3, what="the message behind the restart")
        assert reader.numbers[:3] == [1, 2, 3]
        if group:
            # The broker has forgotten who is in the group: there is nothing to commit before it joined again.
            wait_until(lambda: left(ours, broker, "readers") == 0, what="the commit")
        code, took = reader.end(signal.SIGTERM)
        assert code == 0 and took < 2
    finally:
        reader.kill()


def test_without_sighup_the_old_credential_is_used_and_refused(ours, home, broker, publisher):
    set_credential(home, broker, OLD)
    publisher(1)
    reader = Reader(ours, "-p", "-s", "EARLIEST", broker.url("alerts"))
    try:
        wait_until(lambda: reader.lines, what="the first message")
        set_credential(home, broker, NEW)
        broker.stop()
        broker.start(NEW)
        assert reader.process.wait(PATIENCE) == 1
        wait_until(lambda: said(reader, f"refused the credential of user '{OLD}'"), what="the reason")
    finally:
        reader.kill()


@pytest.mark.parametrize("spoil", [
    lambda home, broker: home.write("[[auth]"),
    lambda home, broker: home.auth_file.unlink(),
    lambda home, broker: home.auth_file.chmod(0o644),
    lambda home, broker: home.write('[[auth]]\nusername = "u"\npassword = "p"\nhostname = "elsewhere"\n'),
], ids=["malformed", "missing", "readable", "no-match"])
def test_a_file_without_a_credential_leaves_the_old_one(ours, home, broker, publisher, spoil):
    set_credential(home, broker, OLD)
    publisher(1)
    reader = Reader(ours, "-p", "-s", "EARLIEST", broker.url("alerts"))
    try:
        wait_until(lambda: reader.lines, what="the first message")
        spoil(home, broker)
        reader.process.send_signal(signal.SIGHUP)
        warning = "hop: warning: received SIGHUP, and go on with the credential as it was: "
        wait_until(lambda: said(reader, warning), what="the warning")
        broker.stop()
        broker.start(OLD, NEW)
        publisher(2)
        wait_until(lambda: reader.numbers == [1, 2], what="the message behind the restart")
        assert reader.end(signal.SIGTERM)[0] == 0
    finally:
        reader.kill()


def test_sighup_without_a_credential_is_passed_over(ours, tmp_path):
    (tmp_path / "broker").mkdir()
    broker = OwnBroker(ours, tmp_path / "broker", "alerts")
    try:
        ours.run("publish", "--no-auth", broker.url("alerts"), stdin=b'{"number": 1}\n').ok()
        process = ours.start("--debug", "subscribe", "--no-auth", "-p", "-s", "EARLIEST", broker.url("alerts"),
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert process.stdout.readline() == b'{"number": 1}\n'
        process.send_signal(signal.SIGHUP)
        while b"received SIGHUP: there is no credential to read again" not in (line := process.stderr.readline()):
            assert line, "it ended"
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0
    finally:
        broker.kill()


@pytest.mark.parametrize("persist", [False, True], ids=["once", "persist"])
def test_sighup_while_connecting(ours, persist):
    # It accepts the connection, and never says a word.
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"kafka://127.0.0.1:{silent.getsockname()[1]}/t"
        process = ours.start("subscribe", "--no-auth", *(["-p"] if persist else []), url, stderr=subprocess.PIPE)
        connection, _ = silent.accept()
        wait_until(lambda: listens_for(process, signal.SIGTERM), what="that it listens for signals")
        assert listens_for(process, signal.SIGHUP) == persist
        process.send_signal(signal.SIGHUP)
        if persist:
            process.send_signal(signal.SIGTERM)
            assert process.wait(PATIENCE) == 0
        else:
            assert process.wait(PATIENCE) == -signal.SIGHUP
        connection.close()
        process.stderr.close()


def test_sigterm_commits_what_was_printed_and_leaves(kafka, ours, plain):
    topic, count = kafka.new_topic(3), 300
    kafka.produce(topic, [f'{{"number": {number}}}' for number in range(count)], headers={"_format": "json"})
    options = ["-s", "EARLIEST", "-g", topic, *plain.options, plain.url(topic)]
    first = Reader(ours, "-p", "--health", "127.0.0.1:0", *options)
    try:
        wait_until(lambda: len(first.lines) == count, what="the messages")
        assert Health(first).total("hop_messages_total") == count
        code, took = first.end(signal.SIGTERM)
        assert code == 0 and took < 2
    finally:
        first.kill()
    # The next gets the partitions at once, and none of these messages again.
    assert ours.run("subscribe", *options).ok().out == b""
