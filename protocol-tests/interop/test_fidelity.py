"""Hundreds of documents and messages through our models and through hop-client's, and what came of them.

Each document (fidelity/*.py) must become the same dictionary, the same text and the same line of JSON, to the byte:
text and line are those of `subscribe` and `subscribe -j` in hop-client 0.4.1, the dictionary and what is sent those of
the newest. What hop-client refuses is refused. Where they are meant to differ the document says so, and why; then they
must differ.
"""

import base64
import json
import re
from concurrent.futures import ThreadPoolExecutor

import pytest
from confluent_kafka import Producer

from fidelity import circulars, payloads, voevents
from fidelity.document import AS_XML, WIRES, Message, explain
from releases.release import NEWEST, Release
from support import PATIENCE, ROOT

OLD = "0.4.1"
FILES = {"VOEVENT": voevents.documents(), "CIRCULAR": circulars.documents()}
MESSAGES = payloads.documents()

# How many of the files of each format hop-client takes, at the least.
MANY = 300

# One in so many of those that are refused.
SOME = 10

# Nothing that is printed ends with it.
DELIMITER = "<end of one>\n"


@pytest.fixture(scope="module")
def releases():
    running = {version: Release(version) for version in (OLD, NEWEST)}
    yield running
    for release in running.values():
        release.stop()


@pytest.mark.parametrize("format", FILES)
def test_files(kafka, ours, plain, releases, format, tmp_path):
    """Each is published, in every wire form, and read again."""
    documents = FILES[format]
    files = [tmp_path / f"{number:04}-{document.name}" for number, document in enumerate(documents)]
    for file, document in zip(files, documents):
        file.write_bytes(document.content)
    with ThreadPoolExecutor() as threads:
        old, new = threads.map(lambda version: releases[version].load(format, files), (OLD, NEWEST))
    theirs = [as_sent(*both) for both in zip(old, new)]
    together = [number for number, outcome in enumerate(theirs)
                if outcome["taken"] and "taken" not in documents[number].differs]
    assert len(together) >= MANY
    # All at once; one that is refused ends that, and is named.
    mine = through_kafka(kafka, ours, plain, format, [files[number] for number in together])
    if format == "VOEVENT":
        forms = [new[number]["json"].encode() for number in together]
        both = as_xml(kafka, ours, plain, releases[NEWEST], forms)
        for number, outcome, expected, made in zip(together, mine, *both, strict=True):
            theirs[number][AS_XML] = expected
            outcome[AS_XML] = made
    mine = dict(zip(together, mine, strict=True))
    refused = [number for number, outcome in enumerate(theirs)
               if not outcome["taken"] and "taken" not in documents[number].differs]
    intended = [number for number, document in enumerate(documents) if "taken" in document.differs]
    # A run for each. Of those that are refused some will do: as messages, all of them are tried below.
    alone = [*intended, *(refused if len(refused) < SOME else refused[::SOME])]
    publish = ["publish", "--dry-run", *plain.options, "-q", "-f", format, plain.url("nowhere")]
    with ThreadPoolExecutor(4) as threads:
        for number, result in zip(alone, threads.map(lambda number: ours.run(*publish, files[number]), alone)):
            assert result.code in (0, 1), result.err
            mine[number] = {"taken": result.code == 0, "why": result.err}
    assert len(mine) == len(together) + len(alone)
    compare([documents[number] for number in mine], [theirs[number] for number in mine], mine.values())


def test_messages(kafka, ours, plain, releases):
    """Of every format and of none, as their senders and others write them."""
    with ThreadPoolExecutor() as threads:
        new, old = threads.map(lambda version: releases[version].decode(MESSAGES), (NEWEST, OLD))
    theirs = [as_received(outcome) for outcome in new]
    for message, outcome, before in zip(MESSAGES, theirs, old):
        # What 0.4 read as well.
        if message.format is None and "refused" not in before:
            outcome["-j"] = before["json"]
    compare(MESSAGES, theirs, received(kafka, ours, plain, MESSAGES))


def test_malformed_voevents_as_messages(kafka, ours, plain, releases):
    """What is refused as a file is refused when somebody has put it on a topic; what is taken means the same."""
    messages = [Message(document.name, document.content, b"voevent") for document in FILES["VOEVENT"]
                if not document.differs]
    theirs = [as_received(outcome) for outcome in releases[NEWEST].decode(messages)]
    compare(messages, theirs, received(kafka, ours, plain, messages))


def test_every_difference_is_in_the_guide():
    _, _, section = (ROOT / "docs" / "guide.md").read_text(encoding="utf-8").partition("### What a message means\n")
    rows = [line.split("|")[1].strip() for line in section.partition("\n#")[0].splitlines() if line.startswith("|")]
    everything = [*MESSAGES, *(document for documents in FILES.values() for document in documents)]
    reasons = {reason.partition(":")[0] for document in everything for reason in document.differs.values()}
    assert sorted(reasons) == sorted(rows[2:])


def test_json_of_others_becomes_the_xml_that_hop_client_makes_of_it(kafka, ours, plain, releases):
    """Nobody's packets, but with numbers and constants where packets have text."""
    forms = [content for name, content in payloads.EVENTS.items() if name.startswith("json")]
    theirs, mine = as_xml(kafka, ours, plain, releases[NEWEST], forms)
    assert len(mine) == len(forms) and mine == theirs


@pytest.mark.parametrize("documents", [*FILES.values(), MESSAGES], ids=[*FILES, "messages"])
def test_no_two_have_one_name(documents):
    names = [document.name for document in documents]
    assert len(set(names)) == len(names)


def as_sent(old, new):
    """What is expected of a file that both releases have loaded."""
    assert ("refused" in old) == ("refused" in new), (old, new)
    if "refused" in new:
        return {"taken": False, "why": new["refused"]}
    expected = {"taken": True, "json payload": new["json"].encode(),
                "original payload": base64.b64decode(new["payload"]),
                "envelope payload": base64.b64decode(old["payload"])}
    for wire in WIRES:
        expected |= {f"-j of {wire}": old["json"], f"text of {wire}": old["text"]}
    return expected


def as_received(outcome):
    """What is expected of a message that the newest has read."""
    if "refused" in outcome:
        return {"taken": False, "why": outcome["refused"]}
    names = {"JSONBlob": "json", "GCNCircular": "circular"}
    name = names.get(outcome["format"], outcome["format"].lower())
    expected = {"taken": True, "format": name, "json": outcome["json"]}
    if name in ("voevent", "circular"):
        expected["text"] = outcome["text"]
    return expected


def through_kafka(kafka, ours, plain, format, files):
    """What is stored and printed of each file, in every wire form."""
    outcomes = [{"taken": True} for _ in files]

    def note(aspect, values):
        for outcome, value in zip(outcomes, values, strict=True):
            outcome[aspect] = value

    for wire in WIRES:
        topic = kafka.new_topic()
        ours.run("publish", *plain.options, "-q", "-f", format, "--wire", wire, plain.url(topic), *files).ok()
        note(f"{wire} payload", [message.value() for message in kafka.read_all(topic)])
        note(f"-j of {wire}", read(ours, plain, topic, "-j").ok().text.split("\n")[:-1])
        note(f"text of {wire}", read(ours, plain, topic, "-D", DELIMITER).ok().text.split(DELIMITER)[:-1])
    return outcomes


def as_xml(kafka, ours, plain, release, forms):
    """What the release reads in the documents that it makes of JSON forms, and in those that we make: sorted, since
    hop-client leaves the order of attributes to chance."""
    files = [ours.home.path / f"form-{number:04}" for number in range(len(forms))]
    for file, form in zip(files, forms):
        file.write_bytes(form)
    topic = kafka.new_topic()
    ours.run("publish", *plain.options, "-q", "-f", "VOEVENT", "--wire", "original", plain.url(topic), *files).ok()
    theirs = [base64.b64decode(outcome["payload"]) for outcome in release.decode(as_voevents(forms))]
    for documents in (theirs, [message.value() for message in kafka.read_all(topic)]):
        outcomes = release.decode(as_voevents(documents))
        yield [json.dumps(json.loads(outcome["json"]), sort_keys=True) for outcome in outcomes]


def as_voevents(contents):
    return [Message("", content, b"voevent") for content in contents]


def received(kafka, ours, plain, messages):
    """What our program makes of messages that librdkafka puts on a topic."""
    topic = kafka.new_topic()
    producer = Producer({"bootstrap.servers": kafka.plaintext})
    for message in messages:
        name = None if message.format == "none" else message.format
        headers = None if message.format is None else [("_format", name)]
        producer.produce(topic, message.content, headers=headers)
    assert producer.flush(PATIENCE) == 0
    lines = read(ours, plain, topic, "--format", "{offset} {format} {json}")
    outcomes = [{"taken": False, "why": lines.err}] * len(messages)
    for line in lines.text.split("\n")[:-1]:
        offset, name, value = line.split(" ", 2)
        outcomes[int(offset)] = {"taken": True, "format": name, "json": value, "-j": value}
    # Each of the others was named.
    refused = {int(offset) for offset in re.findall(r"offset (\d+)", "\n".join(lines.complaint))}
    assert {offset for offset, outcome in enumerate(outcomes) if not outcome["taken"]} <= refused
    assert lines.code == (1 if not all(outcome["taken"] for outcome in outcomes) else 0)
    texts = read(ours, plain, topic, "--format", "{offset} {text}", "-D", DELIMITER).out.decode("utf-8", "replace")
    for shown in texts.split(DELIMITER)[:-1]:
        offset, _, text = shown.partition(" ")
        outcomes[int(offset)]["text"] = text
    return outcomes


def read(ours, plain, topic, *options):
    return ours.run("subscribe", *plain.options, "-q", "-s", "EARLIEST", *options, plain.url(topic))


def compare(documents, theirs, mine):
    wrong = [line for both in zip(documents, theirs, mine, strict=True) for line in explain(*both)]
    assert not wrong, f"{len(wrong)} of {len(documents)}:\n" + "\n".join(wrong)
