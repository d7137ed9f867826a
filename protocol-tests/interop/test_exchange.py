"""Every format, written by us and read by hop-client, and the other way round, on both listeners."""

import json
from pathlib import Path

import pytest
from hop.models import GCNCircular, VOEvent

from support import CIRCULAR, VOEVENT

# What a user's own JSON looks like: all types, nesting, escapes, beyond ASCII, numbers that a float would spoil.
JSON_VALUES = [
    {"alert": "GRB 270412B", "ra": 211.8883, "tags": ["optical", None, True], "nested": {"π": "α\u2028β"}},
    ["a", 1, -2.5e-3, [], {}],
    "a string with \"quotes\", a \ttab and ünïcode",
    12345678901234567890,
    None,
]


def test_voevent_from_us(kafka, ours, theirs, listener):
    topic = kafka.new_topic(3)
    ours.run("publish", *listener.options, "-f", "VOEVENT", listener.url(topic), VOEVENT).ok()
    received = theirs.run("subscribe", *listener.options, "-e", "-s", "EARLIEST", listener.url(topic)).ok()
    # hop-client prints XML, without the namespaces; what it says must be what the file said.
    assert fields(VOEvent.load(received.text)) == fields(load_voevent())


def test_voevent_from_hop_client(kafka, ours, theirs, listener):
    topic = kafka.new_topic(3)
    theirs.run("publish", *listener.options, "-f", "VOEVENT", listener.url(topic), VOEVENT).ok()
    received = read(ours, listener, topic)
    assert received.text == str(load_voevent()) + "\n"
    as_json = read(ours, listener, topic, "-j")
    assert as_json.text == json.dumps(fields(load_voevent())) + "\n"


def test_circular_from_us(kafka, ours, theirs, listener):
    topic = kafka.new_topic(3)
    ours.run("publish", *listener.options, "-f", "CIRCULAR", listener.url(topic), CIRCULAR).ok()
    received = theirs.run("subscribe", *listener.options, "-e", "-s", "EARLIEST", listener.url(topic)).ok()
    assert received.text == CIRCULAR.read_text(encoding="utf-8")


def test_circular_from_hop_client(kafka, ours, theirs, listener):
    topic = kafka.new_topic(3)
    theirs.run("publish", *listener.options, "-f", "CIRCULAR", listener.url(topic), CIRCULAR).ok()
    received = read(ours, listener, topic)
    assert received.text == CIRCULAR.read_text(encoding="utf-8")
    circular = GCNCircular.load_file(str(CIRCULAR))
    as_json = read(ours, listener, topic, "-j")
    assert as_json.text == json.dumps({"header": circular.header, "body": circular.body}) + "\n"


def test_blob_from_us(kafka, ours, theirs, listener, tmp_path):
    topic = kafka.new_topic(3)
    blob = write_blob(tmp_path)
    ours.run("publish", *listener.options, "-f", "BLOB", listener.url(topic), blob).ok()
    received = theirs.run("subscribe", *listener.options, "-e", "-s", "EARLIEST", listener.url(topic)).ok()
    assert received.out == blob.read_bytes() + b"\n"


def test_blob_from_hop_client(kafka, ours, theirs, listener, tmp_path):
    topic = kafka.new_topic(3)
    blob = write_blob(tmp_path)
    theirs.run("publish", *listener.options, "-f", "BLOB", listener.url(topic), blob).ok()
    assert read(ours, listener, topic).out == blob.read_bytes() + b"\n"


def test_json_from_us(kafka, ours, theirs, listener):
    topic = kafka.new_topic(3)
    ours.run("publish", *listener.options, listener.url(topic), stdin=json_lines(JSON_VALUES)).ok()
    received = theirs.run("subscribe", *listener.options, "-e", "-s", "EARLIEST", listener.url(topic)).ok()
    assert same_values(map(json.loads, received.lines), JSON_VALUES)


def test_json_from_hop_client(kafka, ours, theirs, listener):
    topic = kafka.new_topic(3)
    theirs.run("publish", *listener.options, "-f", "JSON", listener.url(topic), stdin=json_lines(JSON_VALUES)).ok()
    # A string is printed bare, everything else as Python spells it.
    bare = [value if isinstance(value, str) else json.dumps(value) for value in JSON_VALUES]
    assert sorted(read(ours, listener, topic).text.split("\n")) == sorted([*bare, ""])
    as_json = read(ours, listener, topic, "-j")
    assert sorted(as_json.lines) == sorted(json.dumps(value) for value in JSON_VALUES)


def test_headers_are_those_of_hop_client(kafka, ours, secure, tmp_path):
    topic = kafka.new_topic(1)
    ours.run("publish", "-f", "CIRCULAR", secure.url(topic), CIRCULAR).ok()
    ours.run("publish", "-f", "VOEVENT", secure.url(topic), VOEVENT).ok()
    ours.run("publish", secure.url(topic), write_blob(tmp_path)).ok()
    ours.run("publish", secure.url(topic), stdin=b"{}\n").ok()
    messages = kafka.read_all(topic)
    assert [dict(message.headers())["_format"] for message in messages] == [b"circular", b"voevent", b"blob", b"json"]
    for message in messages:
        headers = dict(message.headers())
        assert headers["_sender"] == b"hop"
        assert len(headers["_id"]) == 16
        assert len(headers) == len(message.headers()) == 3
        assert message.key() is None
    assert len({dict(message.headers())["_id"] for message in messages}) == 4


def test_every_partition_is_read(kafka, ours, theirs, listener):
    topic = kafka.new_topic(3)
    for partition in range(3):
        values = [json.dumps({"partition": partition, "number": number}) for number in range(50)]
        kafka.produce(topic, values, partition=partition, headers={"_format": "json"})
    received = [json.loads(line) for line in read(ours, listener, topic).lines]
    assert len(received) == 150
    for partition in range(3):
        assert [entry["number"] for entry in received if entry["partition"] == partition] == list(range(50))
    expected = theirs.run("subscribe", *listener.options, "-e", "-s", "EARLIEST", listener.url(topic)).ok()
    assert sorted(expected.lines) == sorted(json.dumps(entry) for entry in received)


def test_several_topics_in_one_url(kafka, ours, secure):
    topics = [kafka.new_topic(3), kafka.new_topic(1)]
    for topic in topics:
        kafka.produce(topic, [json.dumps(topic)], headers={"_format": "json"})
    received = ours.run("subscribe", "-s", "EARLIEST", secure.url(*topics)).ok()
    assert sorted(received.lines) == sorted(topics)


def test_latest_prints_only_what_comes_later(kafka, ours, secure):
    topic = kafka.new_topic(3)
    kafka.produce(topic, [b'"old"'], headers={"_format": "json"})
    assert ours.run("subscribe", "-s", "LATEST", secure.url(topic)).ok().out == b""
    assert ours.run("subscribe", secure.url(topic)).ok().out == b""


def test_an_empty_topic_ends_at_once(kafka, ours, secure):
    result = ours.run("subscribe", "-s", "EARLIEST", secure.url(kafka.new_topic(3))).ok()
    assert result.out == b""
    assert result.seconds < 5


@pytest.mark.parametrize("compression", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_compressed_by_librdkafka(kafka, ours, plain, compression):
    topic = kafka.new_topic(3)
    values = [json.dumps({"number": number, "padding": "alert " * 50}) for number in range(500)]
    kafka.produce(topic, values, headers={"_format": "json"}, compression_type=compression, linger_ms=50)
    assert sorted(read(ours, plain, topic).lines) == sorted(values)


@pytest.mark.parametrize("compression", ["none", "gzip", "gzip:9", "snappy", "lz4", "zstd", "zstd:19"])
def test_compressed_by_us(kafka, ours, plain, compression):
    topic = kafka.new_topic(1)
    values = [json.dumps({"number": number, "padding": "alert " * 50}) for number in range(500)]
    lines = "".join(value + "\n" for value in values).encode()
    ours.run("publish", *plain.options, "--compression", compression, plain.url(topic), stdin=lines).ok()
    # librdkafka checks the checksums and decompresses; the first batch of the log says how it was compressed.
    assert [message.value().decode() for message in kafka.read_all(topic)] == values
    assert kafka.compression_of(topic) == compression.partition(":")[0]
    assert read(ours, plain, topic).lines == values


def test_publishing_nothing_is_no_error(kafka, ours, plain):
    topic = kafka.new_topic()
    ours.run("publish", *plain.options, plain.url(topic), stdin=b"").ok()
    assert kafka.count(topic) == 0


def read(program, listener, topic, *options):
    return program.run("subscribe", *listener.options, "-s", "EARLIEST", *options, listener.url(topic)).ok()


def load_voevent():
    return VOEvent.load(Path(VOEVENT).read_bytes())


def fields(voevent):
    # hop-client turns the JSON form into XML to print it; a section that is not there becomes an empty element, which
    # reads back as null.
    return {name: {} if value is None else value for name, value in json.loads(str(voevent)).items()}


def write_blob(directory):
    # Not UTF-8, with line breaks of all kinds, and no newline at the end.
    blob = directory / "blob.bin"
    blob.write_bytes(bytes(range(256)) + b"\r\n\n\x00\xff")
    return blob


def json_lines(values):
    return "".join(json.dumps(value) + "\n" for value in values).encode()


def same_values(left, right):
    return sorted(map(json.dumps, left)) == sorted(map(json.dumps, right))
