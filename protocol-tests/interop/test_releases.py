"""Every format, between our program and releases of hop-client from 0.4.0 to the newest: what one writes the other
reads.

The releases are themselves, with their own streams, credentials and models, on one confluent-kafka, the newest's: all
of them run on it, 0.4.0 with the adc-streaming of its time (scripts/peers), and none is taken apart for its models.
They write and read on the listener with TLS and SCRAM; Apache Kafka sees the newest of them, our broker all.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest
from hop.models import AvroBlob

from fidelity import circulars, payloads, voevents
from releases.release import NEWEST, Release
from support import CIRCULAR, ROOT, VOEVENT, Home, Listener, Program, find_program

OLDER = ["0.4.0", "0.5.0", "0.6.0", "0.9.0", "0.12.1"] if os.environ.get("KAFKA_VERSION") == "hop" else []
VERSIONS = [*OLDER, NEWEST]

pytestmark = pytest.mark.newest_kafka


@dataclass(frozen=True)
class Format:
    """A format, and files of it."""

    name: str
    files: list[bytes]
    # The first release that has it.
    since: str
    # The forms in which we write it, each with the first release that reads that.
    wires: dict[str, str]
    # Which of the files the envelope of releases before 0.6 can hold.
    fits_envelope: Callable = lambda content: True

    def files_in(self, wire):
        return [content for content in self.files if wire != "envelope" or self.fits_envelope(content)]


def some(documents):
    """Every so many of those that are what they say."""
    sound = [document.content for document in documents if not document.differs and "malformed" not in document.name]
    return sound[::29]


def is_plain_text(content):
    """An envelope holds JSON, and those releases read a file as a text with one kind of line ends."""
    return content.isascii() and b"\r" not in content


def avro(*values):
    """A container for each value, as the newest release writes it."""
    return [AvroBlob(value).serialize()["content"] for value in values]


FORMATS = [
    Format("VOEVENT", [VOEVENT.read_bytes(), *some(voevents.documents())], "0.4.0",
           {"envelope": "0.4.0", "json": "0.6.0", "original": "0.12.0"}),
    Format("CIRCULAR", [CIRCULAR.read_bytes(), *some(circulars.documents())], "0.4.0",
           {"envelope": "0.4.0", "json": "0.6.0", "original": "0.6.0"}),
    Format("BLOB", [b"words\n", b"{}", b"a\r\nb", bytes(range(256)), b""], "0.4.0",
           {"envelope": "0.4.0", "json": "0.6.0"}, is_plain_text),
    # What a blob was before there was a format of that name.
    Format("JSON", list(payloads.JSON.values()), "0.4.0", {"envelope": "0.4.0", "json": "0.6.0"}),
    Format("AVRO", avro({"name": "M31", "flux": [1.5, 2.0], "seen": True}, [1, None, "é"], "words", -(1 << 62)), "0.6.0",
           {"json": "0.6.0", "original": "0.6.0"}),
    Format("GCNTEXTNOTICE", list(payloads.NOTICES.values()), "0.10.0", {"json": "0.10.0"}),
]


@pytest.fixture(scope="module")
def exchanges(kafka, tmp_path_factory):
    """What came of it with each release: a future, since they do it side by side."""
    home = Home(tmp_path_factory.mktemp("releases")).add_user(kafka)
    ours = Program(find_program("HOP_BIN", ROOT / "target" / "release" / "hop"), home)
    running = [Release(version, home) for version in VERSIONS]
    with ThreadPoolExecutor(len(running)) as threads:
        yield {release.version: threads.submit(Exchange, kafka, ours, release) for release in running}
    for release in running:
        release.stop()


@pytest.mark.parametrize("version", VERSIONS)
def test_what_hop_client_writes_we_read(exchanges, version):
    exchange = exchanges[version].result()
    assert exchange.written.keys() == {format.name for format in FORMATS if is_in(version, format.since)}
    assert exchange.we_read == sum(exchange.written.values(), [])


@pytest.mark.parametrize("version", VERSIONS)
def test_what_we_write_hop_client_reads(exchanges, version):
    exchange = exchanges[version].result()
    assert exchange.they_read == sum(exchange.published.values(), [])


class Exchange:
    """What one release and we have written for each other, in lines of JSON, and what became of it."""

    def __init__(self, kafka, ours, release):
        self.ours, self.release, self.listener = ours, release, Listener(kafka, "sasl_ssl")
        self.formats = [format for format in FORMATS if is_in(release.version, format.since)]
        # By format, what the release makes of the files that it has written; by format and form, of those that we have.
        self.written, self.published = {}, {}
        self.we_read = self.from_hop_client(kafka.new_topic())
        self.they_read = self.from_us(kafka.new_topic())

    def from_hop_client(self, topic):
        for format in self.formats:
            files = self.files(format, "json" if is_in(self.release.version, "0.6.0") else "envelope")
            self.release.write(format.name, files, self.listener.url(topic))
            self.written[format.name] = self.loaded(format, files)
        return self.ours.run("subscribe", "-q", "-s", "EARLIEST", "-j", self.listener.url(topic)).ok().lines

    def from_us(self, topic):
        for format in self.formats:
            for wire in [wire for wire, since in format.wires.items() if is_in(self.release.version, since)]:
                files = self.files(format, wire)
                self.ours.run("publish", "-q", "-f", format.name, "--wire", wire, self.listener.url(topic), *files).ok()
                self.published[format.name, wire] = self.loaded(format, files)
        return [message["json"] for message in self.release.read(self.listener.url(topic))]

    def loaded(self, format, files):
        outcomes = self.release.load(format.name, files)
        assert all("json" in outcome for outcome in outcomes), outcomes
        return [outcome["json"] for outcome in outcomes]

    def files(self, format, wire):
        directory = self.ours.home.path / f"{self.release.version}-{format.name}-{wire}"
        if not directory.exists():
            directory.mkdir()
            for number, content in enumerate(format.files_in(wire)):
                (directory / f"{number:03}").write_bytes(content)
        return sorted(directory.iterdir())


def is_in(version, since):
    number = lambda version: tuple(map(int, version.split(".")))
    return number(version) >= number(since)
