"""What the interop tests have in common: a real Kafka, our `hop`, the Python `hop`, and credentials for both."""

import csv
import json
import os
import random
import re
import select
import shutil
import signal
import string
import subprocess
import time
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "examples" / "data"
CIRCULAR = DATA / "circular.gcn3"
VOEVENT = DATA / "voevent.xml"

# A command that takes longer hangs; the slowest (Python's, on a busy machine) take a few seconds.
PATIENCE = 60


class Kafka:
    """A Kafka that scripts/kafka has started (starting one that runs changes nothing)."""

    def __init__(self, *options, inside=()):
        """`inside` is the command that runs another one where this Kafka is to be: in a network of its own."""
        lines = subprocess.run(
            [*inside, ROOT / "scripts" / "kafka", "start", *options],
            check=True, stdout=subprocess.PIPE, text=True,
        ).stdout.splitlines()
        settings = dict(line.split("=", 1) for line in lines)
        self.version = settings["KAFKA_VERSION"]
        self.directory = Path(settings["KAFKA_DIR"])
        self.plaintext = settings["KAFKA_PLAINTEXT"]
        self.sasl_ssl = settings["KAFKA_SASL_SSL"]
        self.proxied = settings["KAFKA_PROXIED"]
        self.session_lifetime = int(settings["KAFKA_SESSION_LIFETIME_MS"]) / 1000
        self.ca = settings["KAFKA_CA"]
        self.other_ca = settings["KAFKA_OTHER_CA"]
        self.tricky_user = settings["KAFKA_TRICKY_USER"]
        self.forbidden_topic = settings["KAFKA_FORBIDDEN_TOPIC"]
        with open(settings["KAFKA_USERS_FILE"], encoding="utf-8") as users:
            self.passwords = dict(csv.reader(users, delimiter="\t", quoting=csv.QUOTE_NONE))

    @cached_property
    def admin(self):
        return AdminClient({"bootstrap.servers": self.plaintext})

    def new_topic(self, partitions=1, name=None, **settings):
        """Creates a topic, of a name that no other test has; settings with underscores for Kafka's dots."""
        name = name or f"test-{''.join(random.choices(string.ascii_lowercase, k=10))}"
        config = {setting.replace("_", "."): str(value) for setting, value in settings.items()}
        self.admin.create_topics([NewTopic(name, partitions, config=config)])[name].result(PATIENCE)
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            known = self.admin.list_topics(timeout=PATIENCE).topics.get(name)
            if known and len(known.partitions) == partitions:
                if all(partition.leader >= 0 for partition in known.partitions.values()):
                    return name
            time.sleep(0.05)
        raise TimeoutError(f"topic {name} has no leaders")

    def produce(self, topic, values, partition=None, headers=None, timestamp=0, **settings):
        """Writes with librdkafka, which is what hop-client uses; settings in its spelling, dots as underscores."""
        producer = Producer({"bootstrap.servers": self.plaintext,
                             **{name.replace("_", "."): value for name, value in settings.items()}})
        for value in values:
            producer.produce(topic, value, headers=headers, timestamp=timestamp,
                             **({} if partition is None else {"partition": partition}))
            producer.poll(0)
        assert producer.flush(PATIENCE) == 0

    def read_all(self, topic):
        """All messages of a topic, as librdkafka reads them."""
        consumer = Consumer({"bootstrap.servers": self.plaintext, "group.id": "interop", "check.crcs": True,
                             "enable.auto.commit": False, "enable.partition.eof": False})
        try:
            ends = {}
            for partition in self.admin.list_topics(topic, timeout=PATIENCE).topics[topic].partitions:
                first, end = consumer.get_watermark_offsets(TopicPartition(topic, partition), PATIENCE)
                if end > first:
                    ends[partition] = end
            consumer.assign([TopicPartition(topic, partition, 0) for partition in ends])
            messages = []
            while ends:
                message = consumer.poll(PATIENCE)
                assert message is not None and message.error() is None, message and message.error()
                messages.append(message)
                if message.offset() + 1 >= ends[message.partition()]:
                    del ends[message.partition()]
            return messages
        finally:
            consumer.close()

    def log_file(self, topic):
        """Where the messages of partition 0 are."""
        return self.directory / "node-1" / "data" / f"{topic}-0" / f"{0:020}.log"

    def compression_of(self, topic):
        """How the largest batch of partition 0 is compressed, as its header in the log says."""
        log = self.log_file(topic).read_bytes()
        batches = []
        while log:
            length = 12 + int.from_bytes(log[8:12], "big")
            records = int.from_bytes(log[57:61], "big")
            batches.append((records, log[22] & 7))
            log = log[length:]
        return ["none", "gzip", "snappy", "lz4", "zstd"][max(batches)[1]]

    def count(self, topic):
        consumer = Consumer({"bootstrap.servers": self.plaintext, "group.id": "interop"})
        try:
            partitions = self.admin.list_topics(topic, timeout=PATIENCE).topics[topic].partitions
            marks = [consumer.get_watermark_offsets(TopicPartition(topic, p), PATIENCE) for p in partitions]
            return sum(end - first for first, end in marks)
        finally:
            consumer.close()


@dataclass
class Result:
    """How a command ended."""

    code: int
    out: bytes
    err: str
    seconds: float

    @property
    def text(self):
        return self.out.decode("utf-8")

    @property
    def lines(self):
        return self.text.splitlines()

    @property
    def complaint(self):
        """The lines of stderr that say something."""
        return [line for line in self.err.splitlines() if line.strip()]

    def ok(self):
        assert self.code == 0, f"exit code {self.code}: {self.err}"
        return self


@dataclass
class Home:
    """A configuration directory of one test's own, for our hop and for Python's alike."""

    path: Path
    credentials: list = field(default_factory=list)

    @property
    def auth_file(self):
        return self.path / "hop" / "auth.toml"

    def write(self, text, mode=0o600):
        self.auth_file.parent.mkdir(parents=True, exist_ok=True)
        self.auth_file.write_text(text, encoding="utf-8")
        self.auth_file.chmod(mode)

    def add(self, **credential):
        """Adds a credential; both programs read the same file."""
        self.credentials.append(credential)
        # A TOML basic string and a JSON string agree on everything that stands here.
        self.write("\n".join(
            "[[auth]]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in entry.items())
            for entry in self.credentials))
        return self

    def add_user(self, kafka, user="hop", **changes):
        return self.add(**{"username": user, "password": kafka.passwords[user], "protocol": "SASL_SSL",
                           "mechanism": "SCRAM-SHA-512", "ssl_ca_location": kafka.ca, **changes})


class Program:
    """A hop on the command line: ours, or Python's. `inside` is a command that runs it elsewhere."""

    def __init__(self, path, home, inside=()):
        self.path = str(path)
        self.inside = list(inside)
        self.home = home

    def environment(self):
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("HOP_", "RUST_"))}
        return {**kept, "XDG_CONFIG_HOME": str(self.home.path), "LC_ALL": "C.UTF-8"}

    def run(self, *arguments, stdin=b"", timeout=PATIENCE, env=None):
        started = time.monotonic()
        done = subprocess.run([*self.inside, self.path, *map(str, arguments)], input=stdin, capture_output=True,
                              timeout=timeout, env={**self.environment(), **(env or {})}, cwd=self.home.path)
        return Result(done.returncode, done.stdout, done.stderr.decode("utf-8", "replace"),
                      time.monotonic() - started)

    def start(self, *arguments, **options):
        return subprocess.Popen([*self.inside, self.path, *map(str, arguments)], env=self.environment(),
                                cwd=self.home.path, **options)


class Listener:
    """One of the two ways in: the address and what a command needs to use it."""

    def __init__(self, kafka, name):
        self.name = name
        self.broker = {"plaintext": kafka.plaintext, "sasl_ssl": kafka.sasl_ssl}[name]
        self.options = ["--no-auth"] if name == "plaintext" else []

    def url(self, *topics):
        return f"kafka://{self.broker}/{','.join(topics)}"


def find_program(variable, fallback):
    path = os.environ.get(variable) or fallback
    found = shutil.which(path)
    if not found:
        raise FileNotFoundError(f"{variable} names no program: {path}")
    return Path(found).resolve()


def publish(name, text):
    """Shows figures, now and at the end of the step."""
    print("\n" + text, end="")
    folder = ROOT / "target" / "interop"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.txt").write_text(text, encoding="utf-8")


def wait_for_lines(path, count):
    deadline = time.monotonic() + PATIENCE
    while path.read_bytes().count(b"\n") < count and time.monotonic() < deadline:
        time.sleep(0.1)


def interrupt(process):
    process.send_signal(signal.SIGINT)


def read_until(terminal, pattern):
    """What a terminal shows, until something of it looks like this."""
    shown = b""
    while not re.search(pattern, shown):
        assert select.select([terminal], [], [], 60)[0], shown
        shown += os.read(terminal, 4096)
    return shown


def write_and_follow(kafka, home, program, count, pause):
    """Writes numbers to a topic, one after each pause, and follows it: all come. The sockets of both at each of them."""
    url = Listener(kafka, "sasl_ssl").url(kafka.new_topic())
    received = home.path / "received"
    with open(received, "wb") as output:
        follower = program.start("subscribe", "-p", "-s", "EARLIEST", url, stdout=output)
        publisher = program.start("publish", url, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)
        connections = []
        for number in range(count):
            publisher.stdin.write(b"%d\n" % number)
            publisher.stdin.flush()
            wait_for_lines(received, number + 1)
            connections.append((sockets(follower), sockets(publisher)))
            time.sleep(pause)
        publisher.stdin.close()
        assert publisher.wait(PATIENCE) == 0
        interrupt(follower)
        assert follower.wait(PATIENCE) == 0
    assert received.read_text().split() == [str(number) for number in range(count)]
    return connections


def sockets(process):
    """The sockets that a process holds, by numbers that are not used again soon."""
    descriptors = Path(f"/proc/{process.pid}/fd").iterdir()
    return frozenset(name for name in map(os.readlink, descriptors) if name.startswith("socket:"))
