"""Avro: what fastavro writes, alone and in hop-client, `hop` reads to the same values, and the other way round.

Schemas and values come by chance (`avro_data.py`), with AVRO_SEED and AVRO_CASES for others and more of them.
"""

import base64
import io
import json
import os
import random
import re
import subprocess
from functools import cache
from pathlib import Path

import fastavro
import pytest
from hop.models import AvroBlob

from avro_data import CODECS, container, printed
from support import ROOT

SEED = int(os.environ.get("AVRO_SEED", "20261127"))
CASES = int(os.environ.get("AVRO_CASES", "300"))
CONTENTS = [
    {"a": 1}, {"a": 1, "b": 2}, {}, [1, 2], [1, "a"], "s", 5, None, 2.5, True, [], [[1], []], {"a": [{"b": 1}, {"b": 2}]},
    {"name": "Bob", "age": 40, "height": 2.05}, {"x": {"p": 1, "q": "r"}, "y": {"p": 2, "q": "s"}},
    [{"n": 1, "s": "x"}, {"n": 2, "t": "y"}, {"n": 3, "s": "z"}], {"a": {"b": {"c": [None, 1, "x", {"d": 1.5}]}}, "e": "é"},
    {"with spaces": 1, "": "x", "9": None}, [1.5, 2, True, None, "x"], [float("inf"), -0.0, 1e300],
]


@pytest.mark.parametrize("codec", CODECS)
def test_what_fastavro_writes_is_printed(kafka, ours, plain, codec):
    chance = random.Random(f"{SEED} {codec}")
    topic = kafka.new_topic()
    containers = [container(chance, chance.choice([0, 1, 1, 2, 7]), codec) for _ in range(CASES // len(CODECS))]
    kafka.produce(topic, containers, headers={"_format": "avro"})
    received = ours.run("subscribe", *plain.options, "-s", "EARLIEST", "-j", plain.url(topic)).ok()
    wanted = [printed(content_of(container)) for container in containers]
    assert received.lines == wanted, f"AVRO_SEED={SEED}"


def test_what_is_published_of_files_means_the_same(kafka, ours, plain, tmp_path):
    chance = random.Random(SEED)
    topic = kafka.new_topic()
    containers = [container(chance, 1, chance.choice(CODECS)) for _ in range(CASES // 4)]
    for number, bytes in enumerate(containers):
        (tmp_path / f"{number:04}.avro").write_bytes(bytes)
    ours.run("publish", *plain.options, "-f", "AVRO", plain.url(topic), f"{tmp_path}/*.avro").ok()
    messages = kafka.read_all(topic)
    assert len(messages) == len(containers)
    for message, sent in zip(messages, containers):
        assert dict(message.headers())["_format"] == b"avro"
        received, original = fastavro.reader(io.BytesIO(message.value())), fastavro.reader(io.BytesIO(sent))
        assert received.codec == "null"
        assert received.metadata["note"] == "kept"
        assert received.writer_schema == original.writer_schema
        assert printed(AvroBlob.deserialize(message.value()).content) == printed(next(original))


def test_from_us_to_hop_client(kafka, ours, theirs, listener, tmp_path):
    topic = kafka.new_topic()
    file = tmp_path / "alert.avro"
    sent = AvroBlob({"name": "GRB 270412B", "ra": 211.8883, "stamp": b"\xff\0", "tags": ["optical", None]})
    file.write_bytes(bytes(sent))
    ours.run("publish", *listener.options, "-f", "AVRO", listener.url(topic), file).ok()
    # hop-client prints the container.
    received = theirs.run("subscribe", *listener.options, "-q", "-e", "-s", "EARLIEST", "-D", "", listener.url(topic)).ok()
    assert AvroBlob.deserialize(received.out) == sent


def test_from_hop_client_to_us(kafka, ours, theirs, listener, tmp_path):
    topic = kafka.new_topic()
    file = tmp_path / "alert.avro"
    content = {"name": "GRB 270412B", "ra": 211.8883, "stamp": b"\xff\0", "tags": ["optical", None]}
    file.write_bytes(bytes(AvroBlob(content)))
    theirs.run("publish", *listener.options, "-f", "AVRO", listener.url(topic), file).ok()
    for options in [], ["-j"]:
        received = ours.run("subscribe", *listener.options, *options, "-s", "EARLIEST", listener.url(topic)).ok()
        assert received.text == printed(content) + "\n"


def test_several_records_are_one_message_and_hop_client_is_thought_of(kafka, ours, plain, tmp_path):
    topic = kafka.new_topic()
    file = tmp_path / "several.avro"
    file.write_bytes(bytes(AvroBlob([1, 2, 3], single_record=False)))
    done = ours.run("publish", *plain.options, "-f", "AVRO", plain.url(topic), file).ok()
    assert "several.avro" in done.err and "3 records" in done.err, done.err
    assert ours.run("subscribe", *plain.options, "-s", "EARLIEST", plain.url(topic)).ok().text == "[1, 2, 3]\n"
    message, = kafka.read_all(topic)
    assert AvroBlob.deserialize(message.value(), single_record=False).content == [1, 2, 3]


def test_schemas_are_made_up_as_hop_client_does():
    answers = written([[content, None, True] for content in CONTENTS])
    for content, answer in zip(CONTENTS, answers):
        received, theirs = AvroBlob.deserialize(answer), AvroBlob.deserialize(bytes(AvroBlob(content)))
        assert printed(received.content) == json.dumps(content)
        assert unordered(received.schema) == unordered(theirs.schema), content
    several, = written([[CONTENTS, None, False]])
    assert json.dumps(AvroBlob.deserialize(several, single_record=False).content) == json.dumps(CONTENTS)


def test_what_is_written_in_a_schema_is_what_fastavro_reads():
    chance = random.Random(SEED)
    wanted, asked = [], []
    while len(asked) < CASES:
        blob = AvroBlob.deserialize(container(chance))
        # Only what JSON tells apart can be told to the program.
        if json.dumps(blob.content, default=lambda other: {}) == printed(blob.content):
            asked.append([blob.content, blob.schema, True])
            wanted.append(printed(blob.content))
    for answer, (content, schema, _), want in zip(written(asked), asked, wanted):
        received = AvroBlob.deserialize(answer)
        assert printed(received.content) == want, schema
        assert received.schema == schema


def content_of(container):
    records = list(fastavro.reader(io.BytesIO(container)))
    return records[0] if len(records) == 1 else records


def unordered(schema):
    """A schema without the order of its unions, which hop-client leaves to chance."""
    if isinstance(schema, list):
        return sorted(map(unordered, schema), key=json.dumps)
    if isinstance(schema, dict):
        parts = ["type", "items", "values", "name", "size", "symbols"]
        plain = {part: unordered(schema[part]) for part in parts if part in schema}
        return plain | {"fields": [[field["name"], unordered(field["type"])] for field in schema.get("fields", [])]}
    return schema


def written(lines):
    """What the library writes of each of these: `examples/avro_of_json.rs`."""
    text = "".join(json.dumps(line) + "\n" for line in lines)
    done = subprocess.run([avro_of_json()], input=text.encode(), check=True, stdout=subprocess.PIPE)
    answers = done.stdout.splitlines()
    assert len(answers) == len(lines)
    assert not [answer for answer in answers if answer.startswith(b"!")], done.stdout
    return [base64.b64decode(answer) for answer in answers]


@cache
def avro_of_json():
    """The program of ours, built if need be; cargo says where it is."""
    built = subprocess.run(
        ["cargo", "build", "--locked", "-p", "protocol-tests", "--example", "avro_of_json",
         "--message-format", "json-render-diagnostics"],
        cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    found = re.findall(r'"executable":"([^"]*/avro_of_json)"', built)
    assert found, "cargo built no avro_of_json"
    return Path(found[-1])
