"""`hop top`: what comes into topics, as lines for a program and as a table on a terminal."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
from datetime import datetime

import pytest
from confluent_kafka.admin import AdminClient

from support import PATIENCE, interrupt

# What is tried here is this client's own doing, whichever Kafka it meets.
pytestmark = pytest.mark.newest_kafka

# Often enough that nothing is waited for long.
OFTEN = ["--interval", "0.2"]
OPEN = "\x1b[?1049h\x1b[?25l"
CLOSE = "\x1b[?25h\x1b[?1049l"


class Running:
    """A command that has ended when its test has."""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


class Terminal(Running):
    """A terminal of its own, in which a command runs."""

    def __init__(self, program, *arguments, lines=24, columns=80, **variables):
        self.terminal, inside = pty.openpty()
        self.resize(lines, columns)
        environment = program.environment()
        environment.pop("NO_COLOR", None)
        self.process = subprocess.Popen([program.path, *map(str, arguments)], env={**environment, **variables},
                                        stdin=inside, stdout=inside, stderr=inside)
        os.close(inside)
        self.written = ""

    def __exit__(self, *how):
        super().__exit__(*how)
        os.close(self.terminal)

    def resize(self, lines, columns):
        fcntl.ioctl(self.terminal, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def read(self):
        """Takes over what was written; whether that was the end."""
        ready, _, _ = select.select([self.terminal], [], [], PATIENCE)
        assert ready, f"nothing more is written after {self.written!r}"
        try:
            chunk = os.read(self.terminal, 65536)
        except OSError:  # What Linux says of a terminal in which nothing runs any more.
            return True
        # No character of ours is cut: what is drawn is written at once, and is less than a terminal's buffer.
        self.written += chunk.decode("utf-8", "replace")
        return not chunk

    def shows(self, holds):
        """Waits until what is shown is so."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            assert not self.read(), f"it ended: {self.written!r}"
            # Whatever is drawn over was complete.
            drawn = self.written.split("\x1b[H")[1:-1]
            if drawn and holds(lines := re.split("\r+\n", bare(drawn[-1]))):
                return lines
        raise TimeoutError(f"it shows {drawn[-1:]}")

    def ends(self, how):
        """Ends it by a signal; what is written then."""
        before = len(self.written)
        self.process.send_signal(how)
        while not self.read():
            pass
        assert self.process.wait(10) == 0, self.written
        return self.written[before:]


def bare(text):
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)


def cells(lines, topic):
    """The row of a topic; nothing if there is none."""
    return next((line.split() for line in lines if line.split()[:1] == [topic]), [])


class Lines(Running):
    """The command where it does not write to a terminal."""

    def __init__(self, program, *arguments):
        # Python keeps nothing back, so that what is there to be read can be waited for.
        self.process = program.start(*arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0)

    def have_come(self):
        return bool(select.select([self.process.stdout], [], [], 0.3)[0])

    def up_to(self, topic, messages):
        """The fields of all lines until one says that so many messages are there; all of this topic."""
        lines = []
        while not lines or int(lines[-1][2]) < messages:
            assert select.select([self.process.stdout], [], [], PATIENCE)[0], f"no line comes after {lines}"
            lines.append(self.process.stdout.readline().decode().rstrip("\n").split("\t"))
        assert int(lines[-1][2]) == messages and {line[1] for line in lines} == {topic}
        return lines

    def says(self, pattern):
        """Waits until a line like this is on standard error. Others are of a disk that kept the broker waiting."""
        while True:
            assert select.select([self.process.stderr], [], [], PATIENCE)[0], f"nothing like {pattern} is said"
            if re.fullmatch(pattern, self.process.stderr.readline().decode().rstrip("\n")):
                return

    def end(self):
        """Ends it by Ctrl-C; what it said on standard error, and nothing more on standard output."""
        interrupt(self.process)
        rest, said = self.process.communicate(timeout=10)
        assert (self.process.returncode, rest) == (0, b"")
        return said.decode().splitlines()

    def __exit__(self, *how):
        super().__exit__(*how)
        self.process.stdout.close()
        self.process.stderr.close()


class Watched:
    """A broker that nobody else uses, so that it may go away; it keeps what it has."""

    def __init__(self, ours, directory):
        self.ours = ours
        self.directory = directory
        self.address = "localhost:0"

    def start(self, *options):
        self.process = self.ours.start("broker", "--listen", self.address, "--data", self.directory, *options,
                                       stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.address = self.process.stdout.readline().decode().strip().removeprefix("listening on kafka://")

    def stop(self):
        self.process.terminate()
        self.process.send_signal(signal.SIGCONT)
        assert self.process.wait(10) == 0

    def publish(self, topic, count):
        done = self.ours.run("publish", "--no-auth", f"kafka://{self.address}/{topic}", stdin=b"{}\n" * count)
        done.ok()


@pytest.fixture
def watched(ours, tmp_path):
    broker = Watched(ours, tmp_path / "watched")
    broker.start("--topic", "first:2")
    try:
        yield broker
    finally:
        broker.stop()


def test_lines_for_a_program(kafka, ours, plain):
    topic, quiet = kafka.new_topic(2), kafka.new_topic()
    kafka.produce(topic, ["before"] * 5)
    with Lines(ours, "top", *plain.options, *OFTEN, plain.url(topic, quiet)) as top:
        sent = 5
        # Until it has seen that something came, it may not have looked at all.
        while not top.have_come():
            kafka.produce(topic, ["first"])
            sent += 1
        # These come within one interval or two.
        kafka.produce(topic, ["second"] * 40)
        lines = top.up_to(topic, sent + 40)
        before = None
        for when, _, messages, rate in lines:
            time_of, messages, rate = datetime.fromisoformat(when), int(messages), float(rate)
            assert when.endswith("Z") and rate > 0
            if before:
                # What came, by what came a second, is the time from one answer to the next.
                assert 0.01 < (messages - before) / rate < PATIENCE
            before = messages
        assert abs(time_of.timestamp() - time.time()) < PATIENCE
        assert top.end() == []


def test_it_ends_by_itself_and_says_what_is_not_there(kafka, ours, plain):
    topic = kafka.new_topic()
    done = ours.run("top", *plain.options, *OFTEN, "-n", 2, plain.url(topic, "never-made")).ok()
    assert done.out == b""
    assert done.complaint == ["hop: not there, or not for this user to see: never-made"]
    assert ours.run("top", *plain.options, "-n", 0, plain.url(topic)).code == 2
    started = time.monotonic()
    done = ours.run("top", "--no-auth", "kafka://localhost:1")
    assert done.code == 1 and "localhost:1" in done.err and time.monotonic() - started < PATIENCE


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_terminal_is_drawn_on_and_given_back(kafka, ours, secure, how):
    topic, quiet = kafka.new_topic(2), kafka.new_topic()
    kafka.produce(topic, ["before"] * 3)
    with Terminal(ours, "top", *OFTEN, secure.url(topic, quiet)) as terminal:
        lines = terminal.shows(lambda lines: cells(lines, topic))
        assert terminal.written.startswith(OPEN + "\x1b[H")
        assert lines[0].startswith(f"{secure.broker}  ") and " UTC" in lines[0]
        assert lines[1].split() == ["TOPIC", "PARTITIONS", "MESSAGES", "RATE", "LAST", "6", "s"]
        assert cells(lines, topic)[1:3] == ["2", "3"] and cells(lines, quiet)[1:3] == ["1", "0"]
        kafka.produce(topic, ["now"] * 5)
        lines = terminal.shows(lambda lines: "█" in cells(lines, topic)[-1])
        assert cells(lines, topic)[2] == "8" and set(cells(lines, quiet)[-1]) == {"▁"}
        assert lines[0].endswith("/s in all")
        # What has moved stands above what has not, whatever their names.
        assert [line.split()[0] for line in lines[2:4]] == [topic, quiet]
        assert "\x1b[32m" in terminal.written
        # A smaller terminal has room for less, and no line goes on in the next.
        terminal.resize(3, 50)
        lines = terminal.shows(lambda lines: len(lines) == 3)
        assert lines[2] == "and 2 more" and max(map(len, lines)) <= 50, lines
        assert terminal.ends(how).endswith(CLOSE)


def test_no_colour_where_none_is_wanted(kafka, ours, plain):
    topic = kafka.new_topic()
    with Terminal(ours, "top", *plain.options, *OFTEN, plain.url(topic), NO_COLOR="1") as terminal:
        terminal.shows(lambda lines: cells(lines, topic))
        terminal.ends(signal.SIGINT)
        assert not re.search(r"\x1b\[\d*m", terminal.written)


def test_nothing_is_drawn_where_nobody_can_be_asked(ours):
    with Terminal(ours, "top", "--no-auth", "kafka://localhost:1", NO_COLOR="1") as terminal:
        while not terminal.read():
            pass
        assert terminal.process.wait(10) == 1
        assert terminal.written.startswith("hop: ") and "\x1b" not in terminal.written


def test_topics_come_and_go_and_so_does_the_broker(ours, watched):
    top = ["top", "--no-auth", *OFTEN, f"kafka://{watched.address}"]
    with Lines(ours, *top) as lines, Terminal(ours, *top) as terminal:
        sent = 0
        while not lines.have_come():
            watched.publish("first", 1)
            sent += 1
        lines.up_to("first", sent)
        terminal.shows(lambda lines: cells(lines, "first")[1:3] == ["2", str(sent)])
        # A topic that is made by the first message to it.
        watched.publish("second", 3)
        terminal.shows(lambda lines: cells(lines, "second")[1:3] == ["1", "3"])
        lines.up_to("second", 3)

        watched.stop()
        away = terminal.shows(lambda lines: re.match("no answer for \\d+ s, it is asked again: ", lines[1]))
        assert cells(away, "first")[2] == str(sent) and cells(away, "second")[2] == "3"
        # Both have noticed before it comes back.
        lines.says(f"hop: {watched.address}: no answer for \\d+ s, it is asked again: .*")
        watched.start()
        watched.publish("first", 2)
        back = terminal.shows(lambda lines: cells(lines, "first")[2] == str(sent + 2))
        assert back[1].startswith("TOPIC") and cells(back, "second")[2] == "3"
        lines.says(f"hop: {watched.address} answers again after \\d+ s")
        lines.up_to("first", sent + 2)

        delete(watched.address, "second")
        gone = terminal.shows(lambda lines: not cells(lines, "second"))
        assert cells(gone, "first")
        terminal.ends(signal.SIGINT)
        lines.end()


def test_a_broker_that_is_silent_is_waited_for(ours, watched):
    top = ["top", "--no-auth", *OFTEN, f"kafka://{watched.address}/first"]
    with Lines(ours, *top) as lines, Terminal(ours, *top) as terminal:
        sent = 0
        while not lines.have_come():
            watched.publish("first", 1)
            sent += 1
        terminal.shows(lambda lines: cells(lines, "first")[2] == str(sent))
        watched.process.send_signal(signal.SIGSTOP)
        silent = terminal.shows(lambda lines: re.fullmatch("no answer for \\d+ s, it is waited for", lines[1]))
        assert cells(silent, "first")[2] == str(sent)
        watched.process.send_signal(signal.SIGCONT)
        terminal.shows(lambda lines: lines[1].startswith("TOPIC"))
        # It ends as soon while nobody answers.
        watched.process.send_signal(signal.SIGSTOP)
        terminal.ends(signal.SIGINT)
        said = lines.process.stderr.readline().decode()
        assert re.match(f"hop: {watched.address}: no answer for \\d+ s, it is waited for", said)


def delete(broker, topic):
    admin = AdminClient({"bootstrap.servers": broker})
    admin.delete_topics([topic])[topic].result(PATIENCE)
