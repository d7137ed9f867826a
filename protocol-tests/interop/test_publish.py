"""What hop publishes beside a message's own content, where it finds what to publish, and what a journal keeps."""

import json
import socket
import subprocess

from support import VOEVENT, interrupt
from watching import wait_until

# Nobody listens there.
NOBODY = "kafka://localhost:1/alerts"


def test_headers_key_and_partition_are_as_was_asked_for(kafka, ours, plain):
    topic = kafka.new_topic(3)
    url = plain.url(topic)
    ours.run("publish", *plain.options, "-H", "a=1", "-H", "b=x=y", "--key", "event", "--partition", "2", url,
             stdin=b'{"n": 1}\n').ok()
    ours.run("publish", *plain.options, "--key", "event", url, stdin=b'{"n": 2}\n').ok()
    messages = {json.loads(message.value())["n"]: message for message in kafka.read_all(topic)}
    first, second = messages[1], messages[2]
    assert (first.key(), first.partition()) == (b"event", 2)
    names = [name for name, _ in first.headers()]
    assert names == ["a", "b", "_id", "_format"] and dict(first.headers())["b"] == b"x=y"
    assert second.key() == b"event"
    done = ours.run("publish", *plain.options, "--partition", "7", url, stdin=b"1\n")
    assert done.code == 1 and "has no partition 7" in done.err, done.err
    for header in ["_sender=somebody", "no value", "=x"]:
        assert ours.run("publish", *plain.options, "-H", header, url, stdin=b"1\n").code == 2, header


def test_a_dry_run_shows_what_was_added(ours):
    done = ours.run("publish", "--no-auth", "--dry-run", "-H", "a=1", "--key", "k", "--partition", "0", NOBODY,
                    stdin=b"{}").ok()
    shown = json.loads(done.out)
    assert (shown["headers"], shown["key"], shown["partition"]) == ({"a": "1", "_format": "json"}, "k", 0)


def test_directories_and_patterns_stand_for_files(kafka, ours, plain, tmp_path):
    topic = kafka.new_topic()
    for name in ["2.json", "1.json", "notes.txt", ".hidden"]:
        (tmp_path / name).write_text(f'{{"name": "{name}"}}')

    def sent(*named):
        lines = ours.run("publish", "--no-auth", "--dry-run", "-f", "JSON", NOBODY, *named).ok().lines
        return len(lines)

    assert (sent(tmp_path), sent(f"{tmp_path}/*.json")) == (3, 2)
    ours.run("publish", *plain.options, "-f", "JSON", plain.url(topic), f"{tmp_path}/?.json").ok()
    assert [json.loads(message.value())["name"] for message in kafka.read_all(topic)] == ["1.json", "2.json"]
    done = ours.run("publish", "--no-auth", NOBODY, f"{tmp_path}/*.xml")
    assert done.code == 1 and "there are no files in" in done.err


def test_messages_on_standard_input_end_as_was_said(kafka, ours, plain):
    topic = kafka.new_topic()
    ours.run("publish", *plain.options, "-D", "\\0", plain.url(topic), stdin=b'{\n"n": 1}\0{"n":\n2}').ok()
    assert [json.loads(message.value())["n"] for message in kafka.read_all(topic)] == [1, 2]
    done = ours.run("publish", "--no-auth", "--dry-run", "-D", "--", NOBODY, stdin=b'1--{--2')
    assert done.code == 1 and "message 2 of standard input is not a JSON message" in done.err
    assert ours.run("publish", "--no-auth", "-D", "", NOBODY, stdin=b"1").code == 2


def broken_voevent(path):
    """The example with two mistakes, and where they are."""
    text = VOEVENT.read_text().replace("<Error2Radius>", "<Error2Radius>about ").replace('role="test"', 'role="tset"')
    path.write_text(text)

    def place(what):
        line = next(number for number, line in enumerate(text.splitlines(), 1) if what in line)
        return f"{path}:{line}:{text.splitlines()[line - 1].index(what) + 1}: "

    return [place('role="tset"') + 'role is "tset"; it must be observation, prediction, utility or test',
            place("about ") + '<Error2Radius> is "about 0.0001"; it must be a number such as 1.5e-3, or INF, -INF or NaN']


def test_a_voevent_that_breaks_the_schema_is_sent_with_a_warning(kafka, ours, plain, tmp_path):
    topic = kafka.new_topic()
    broken = tmp_path / "broken.xml"
    problems = broken_voevent(broken)
    done = ours.run("publish", *plain.options, "-f", "VOEVENT", plain.url(topic), broken, VOEVENT).ok()
    assert [line for line in done.err.splitlines() if "warning" in line] == [f"hop: warning: {it}" for it in problems]
    assert len(kafka.read_all(topic)) == 2
    done = ours.run("publish", *plain.options, "-q", "-f", "voevent", plain.url(topic), broken).ok()
    assert done.err == ""


def test_a_voevent_that_breaks_the_schema_is_refused_when_asked(kafka, ours, plain, tmp_path):
    topic = kafka.new_topic()
    broken = tmp_path / "broken.xml"
    problems = broken_voevent(broken)
    other = tmp_path / "other.xml"
    other.write_text("<VOEvent>\n<Who>")
    problems.append(f"{other}:2:6: not valid XML: the document ends before </Who>")
    publish = ["publish", *plain.options, "-f", "VOEVENT", plain.url(topic), VOEVENT, broken, other]
    complaint = ["hop: nothing was sent, since the schema of VOEvents does not allow this (--strict):", *problems]
    for options, settings in [(["--strict"], {}), (["--strict", "--dry-run"], {}), ([], {"HOP_STRICT": "yes"}),
                              (["--strict", "--journal", tmp_path / "journal"], {})]:
        done = ours.run(*publish, *options, env=settings)
        assert (done.code, done.out, done.err.splitlines()) == (1, b"", complaint), options
    assert kafka.count(topic) == 0 and not (tmp_path / "journal").exists()

    # What keeps to it goes, and so does what has no schema.
    as_json = tmp_path / "event.json"
    as_json.write_text('{"ivorn": "no such identifier", "What": {"Whom": 1}}')
    for form, path in [("VOEVENT", VOEVENT), ("VOEVENT", as_json), ("BLOB", broken)]:
        done = ours.run("publish", *plain.options, "--strict", "-f", form, plain.url(topic), path).ok()
        assert "warning" not in done.err
    assert kafka.count(topic) == 3


def test_a_journal_keeps_what_no_broker_took_for_the_next_run(ours, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"kafka://127.0.0.1:{port}/alerts"
    publish = ["publish", "--no-auth", "--journal", tmp_path, "--key", "k", "-H", "a=1", url]
    journal = tmp_path / f"127.0.0.1_{port}-alerts.journal"

    done = ours.run(*publish, "--timeout", "0.5", stdin=b'{"n": 1}\n{"n": 2}\n')
    assert done.code == 1, done.err
    assert f"no broker took the rest within 500ms\n2 messages in {journal}: the next run" in done.err
    # What is wrong now leaves what was kept alone.
    done = ours.run(*publish, "--timeout", "0.5", stdin=b"not JSON")
    assert done.code == 1 and "line 1 of standard input is not a JSON message" in done.err
    assert f"2 messages of an earlier run in {journal}" in done.err and f"2 messages in {journal}: the" in done.err

    broker = ours.start("broker", "--listen", f"127.0.0.1:{port}", stdout=subprocess.DEVNULL)
    try:
        ours.run(*publish, stdin=b'{"n": 3}\n').ok()
        assert journal.read_bytes() == b""
        done = ours.run("subscribe", "--no-auth", "-s", "EARLIEST", "-f", "ndjson", url).ok()
    finally:
        broker.kill()
        broker.wait()
    messages = [json.loads(line) for line in done.lines]
    assert [message["message"]["n"] for message in messages] == [1, 2, 3]
    assert all(message["key"] == "k" and message["headers"][0] == ["a", "1"] for message in messages)
    assert len({message["id"] for message in messages}) == 3


def test_an_interrupt_leaves_the_journal_as_it_is(ours, tmp_path):
    command = ["publish", "--no-auth", "--journal", tmp_path, NOBODY]
    publisher = ours.start(*map(str, command), stdin=subprocess.PIPE, stderr=subprocess.PIPE)
    publisher.stdin.write(b'{"n": 1}\n')
    publisher.stdin.flush()
    journal = tmp_path / "localhost_1-alerts.journal"
    wait_until(lambda: journal.exists() and journal.read_bytes())
    interrupt(publisher)
    _, said = publisher.communicate(timeout=30)
    assert publisher.returncode == 1 and f"interrupted\n1 message in {journal}".encode() in said
