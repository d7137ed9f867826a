"""The journal that keeps messages until they are sent: what hop-client left is taken over, and the other way round."""

import json
import re
import subprocess
from pathlib import Path

import pytest
from hop.robust_publisher import PublicationJournal, RobustProducer

from support import ROOT, Program

HEADERS = [("_id", bytes(range(16))), ("_format", b"json"), ("note", "α".encode())]
# Nobody listens there, so messages stay in the journal.
NOBODY = "localhost:1"


@pytest.fixture(scope="session")
def publisher_path():
    """examples/robust_publisher.rs, built if need be; cargo says where it is."""
    built = subprocess.run(
        ["cargo", "build", "--locked", "-p", "hop-client", "--example", "robust_publisher",
         "--message-format", "json-render-diagnostics"],
        cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    found = re.findall(r'"executable":"([^"]*/robust_publisher)"', built)
    assert found, "cargo built no robust_publisher"
    return Path(found[-1])


@pytest.fixture
def publisher(publisher_path, home):
    return Program(publisher_path, home)


def test_from_hop_client(kafka, secure, publisher, tmp_path):
    topic = kafka.new_topic(1)
    path = tmp_path / "publisher.journal"
    journal = PublicationJournal(str(path))
    journal.queue_message(b'"sent"', topic, HEADERS)
    journal.queue_message(b'"unsent"', topic, HEADERS, "key")
    journal.queue_message(b'"without anything"', topic)
    journal.mark_message_sent(journal.get_next_message_to_send()[0])
    journal.journal.close()
    # As if hop-client had been killed while it wrote another; hop-client itself would not start with it.
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:100])
    with pytest.raises(RuntimeError, match="Journal corrupted"):
        PublicationJournal(str(path))

    publisher.run(secure.url(topic), path, stdin=b'"of today"\n').ok()
    assert path.read_bytes() == b""
    first, second, third = kafka.read_all(topic)
    assert (first.key(), first.value(), first.headers()) == (
        b"key", b'"unsent"', [(name, value) for name, value in HEADERS])
    assert (second.key(), second.value(), second.headers()) == (None, b'"without anything"', None)
    assert third.value() == b'"of today"'


def test_to_hop_client(kafka, home, secure, publisher, tmp_path, monkeypatch):
    topic = kafka.new_topic(1)
    path = tmp_path / "publisher.journal"
    values = [b'{"flux": 1.5}', '"α"'.encode(), b"[]"]
    process = publisher.start(f"kafka://{NOBODY}/{topic}", path, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    for value in values:
        process.stdin.write(value + b"\n")
        process.stdin.flush()
        assert process.stdout.readline() == b"accepted\n"
    process.kill()
    process.wait()
    process.stdin.close()
    process.stdout.close()
    ids = [dict(entry[2])["_id"] for entry in PublicationJournal(str(path)).messages_to_send.data.values()]
    assert len({*ids}) == len(values)

    monkeypatch.setenv("XDG_CONFIG_HOME", str(home.path))
    with RobustProducer(secure.url(topic), journal_path=str(path)):
        pass
    assert path.read_bytes() == b""
    received = kafka.read_all(topic)
    # As JSON: hop spells it as Python does.
    assert [json.loads(message.value()) for message in received] == [json.loads(value) for value in values]
    assert [dict(message.headers())["_id"] for message in received] == ids
    assert {dict(message.headers())["_sender"] for message in received} == {b"hop"}
