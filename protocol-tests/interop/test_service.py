"""`hop subscribe -p` as a service: SIGHUP, SIGTERM, and the unit in examples/service, run as systemd would run it."""

import os
import re
import shlex
import shutil
import signal
import socket
import subprocess

import pytest

from asking import Health
from own_broker import OwnBroker
from support import PATIENCE, ROOT, Home, Program, find_program
from watching import Reader, wait_until

SERVICE = ROOT / "examples" / "service"
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
        # Under nohup it would be ignored by whoever is started.
        inherited = signal.signal(signal.SIGHUP, signal.SIG_DFL)
        process = ours.start("subscribe", "--no-auth", *(["-p"] if persist else []), url, stderr=subprocess.PIPE)
        signal.signal(signal.SIGHUP, inherited)
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


def test_systemd_takes_the_unit(ours, tmp_path):
    analyze = find_program("SYSTEMD_ANALYZE", "systemd-analyze")
    unit = tmp_path / "hop-archive.service"
    unit.write_text((SERVICE / unit.name).read_text().replace("/usr/local/bin/hop", ours.path))
    done = subprocess.run([analyze, "verify", "--man=no", unit], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and unit.name not in done.stderr, done.stderr
    # What systemd calls "OK" and better ends at 2.
    subprocess.run([analyze, "security", "--offline=yes", "--threshold=20", "--no-pager", unit], check=True,
                   stdout=subprocess.DEVNULL)


class Unit:
    """The example's unit with its commands run by a test, in directories of the test's."""

    def __init__(self, ours, scratch):
        self.etc, self.state, self.runtime, self.credentials = (
            scratch / name for name in ["etc", "state", "run", "credentials"])
        for directory in [self.etc, self.state / "hop-archive", self.runtime / "hop-archive", self.credentials]:
            directory.mkdir(parents=True)
        text = (SERVICE / "hop-archive.service").read_text()
        for there, here in [("/etc/hop", self.etc), ("/usr/local/bin/hop", ours.path), ("%t", self.runtime),
                            ("%S", self.state)]:
            assert there in text
            text = text.replace(there, str(here))
        self.settings = {}
        for line in text.splitlines():
            if line and not line.startswith(("#", "[")):
                name, value = line.split("=", 1)
                self.settings.setdefault(name, []).append(value)
        self.environment = {
            "PATH": os.environ["PATH"],
            "RUNTIME_DIRECTORY": str(self.runtime / self.settings["RuntimeDirectory"][0]),
            "CREDENTIALS_DIRECTORY": str(self.credentials),
            **dict(pair.split("=", 1) for line in self.settings["Environment"] for pair in shlex.split(line))}

    def read_environment_file(self):
        [path] = self.settings["EnvironmentFile"]
        with open(path, encoding="utf-8") as lines:
            self.environment.update(line.strip().split("=", 1) for line in lines if not line.startswith("#"))

    def load_credential(self):
        """As systemd does: where it gives the user access by a list, a group seems to have some, too."""
        [credential] = self.settings["LoadCredential"]
        name, path = credential.split(":")
        shutil.copyfile(path, self.credentials / name)
        (self.credentials / name).chmod(0o440)

    def words(self, command):
        expand = lambda word: re.sub(r"\$\{(\w+)\}|\$(\w+)", lambda name: self.environment[name[1] or name[2]], word)
        return [expand(word) for word in shlex.split(command.removeprefix("+"))]

    def run(self, setting):
        for command in self.settings[setting]:
            subprocess.run(self.words(command), env=self.environment, check=True)

    def start(self):
        self.read_environment_file()
        self.load_credential()
        self.run("ExecStartPre")
        [command] = self.settings["ExecStart"]
        process = subprocess.Popen(self.words(command), env=self.environment, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, cwd="/")
        self.environment["MAINPID"] = str(process.pid)
        return process

    def stored(self):
        return sorted(path.read_text().strip() for path in (self.state / "hop-archive").rglob("*") if path.is_file())


def test_the_unit_archives_reloads_and_stops(ours, home, broker, publisher, tmp_path):
    unit = Unit(ours, tmp_path / "unit")
    variables = (SERVICE / "archive.env").read_text()
    for name, value in [("HOP_URL", broker.url("alerts")), ("HOP_GROUP_ID", "archive"), ("HOP_HEALTH", "127.0.0.1:0")]:
        variables, count = re.subn(f"^{name}=.*$", f"{name}={value}", variables, flags=re.M)
        assert count == 1
    (unit.etc / "archive.env").write_text(variables)

    def install(user):
        set_credential(home, broker, user)
        shutil.copy(home.auth_file, unit.etc / "auth.toml")

    install(OLD)
    publisher(1)
    process = unit.start()
    try:
        announced = process.stderr.readline().decode()
        assert announced.startswith("hop: health on http://127.0.0.1:"), announced
        wait_until(lambda: unit.stored() == ['{"number": 1}'], what="the first message to be stored")
        install(NEW)
        unit.run("ExecReload")
        broker.stop()
        broker.start(NEW)
        publisher(2)
        wait_until(lambda: unit.stored() == ['{"number": 1}', '{"number": 2}'], what="the second message to be stored")
        # The broker has forgotten who is in the group: what is read now is committed once it has joined again.
        wait_until(lambda: left(ours, broker, "archive") == 0, what="the commit")
        publisher(3)
        wait_until(lambda: len(unit.stored()) == 3, what="the third message to be stored")
        process.send_signal(signal.SIGTERM)
        assert process.wait(2) == 0
    finally:
        process.kill()
        process.wait()
    # Everything was committed before it went: nothing is left to be read.
    assert left(ours, broker, "archive") == 0
    assert process.stdout.read() == b""


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
