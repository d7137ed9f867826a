"""Other people's clients on `hop broker`: kcat, the Java tools, franz-go. (hop-client is on it in all the other files.)"""

import json
import subprocess
import time

import pytest

from support import PATIENCE, ROOT, find_program

COUNT = 1000
LINES = [str(number) for number in range(COUNT)]
FRANZ = ROOT / "target" / "peers" / "franz" / "franz"


class Client:
    """How others reach the broker: as one of its users, or as anybody."""

    def __init__(self, kafka, name, scratch):
        self.secure = name == "sasl_ssl"
        self.address = kafka.sasl_ssl if self.secure else kafka.plaintext
        self.ca, self.password = kafka.ca, kafka.passwords["hop"]
        settings = {}
        if self.secure:
            settings = {
                "security.protocol": "SASL_SSL",
                "sasl.mechanism": "SCRAM-SHA-512",
                "sasl.jaas.config": "org.apache.kafka.common.security.scram.ScramLoginModule required "
                                    f'username="hop" password="{self.password}";',
                "ssl.truststore.type": "PEM",
                "ssl.truststore.location": self.ca,
            }
        self.properties = scratch / "client.properties"
        self.properties.write_text("".join(f"{key}={value}\n" for key, value in settings.items()), encoding="utf-8")
        self.kcat_options = ["-b", self.address]
        if self.secure:
            self.kcat_options += ["-X", "security.protocol=SASL_SSL", "-X", "sasl.mechanisms=SCRAM-SHA-512",
                                  "-X", "sasl.username=hop", "-X", f"sasl.password={self.password}",
                                  "-X", f"ssl.ca.location={self.ca}"]
        self.franz_options = [self.ca, "hop", self.password] if self.secure else []

    def kcat(self, *arguments, stdin=None):
        return run(["kcat", *self.kcat_options, *arguments], stdin)

    def java(self, tool, *arguments, stdin=None):
        return run([ROOT / "scripts" / "kafka", "tool", tool, *arguments], stdin)


def run(command, stdin=None):
    done = subprocess.run(list(map(str, command)), input=stdin, capture_output=True, text=True, timeout=2 * PATIENCE)
    assert done.returncode == 0, f"{command[:3]}: exit code {done.returncode}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
    return done.stdout


@pytest.fixture(params=["plaintext", "sasl_ssl"])
def client(request, kafka, tmp_path):
    return Client(kafka, request.param, tmp_path)


def lines(text):
    return sorted(filter(None, text.splitlines()), key=int)


@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_kcat_produces_and_consumes(kafka, client, codec):
    topic = kafka.new_topic(3)
    client.kcat("-P", "-t", topic, "-z", codec, stdin="\n".join(LINES))
    assert lines(client.kcat("-C", "-t", topic, "-e", "-q")) == LINES


def test_kcat_produces_idempotently_and_consumes_as_a_group(kafka, client):
    topic = kafka.new_topic(3)
    client.kcat("-P", "-t", topic, "-X", "enable.idempotence=true", stdin="\n".join(LINES))
    # With -c it ends, commits and leaves; what follows goes on behind that.
    group = ["-G", f"kcat-{topic}", "-X", "auto.offset.reset=earliest", "-q"]
    assert lines(client.kcat(*group, "-c", COUNT, topic)) == LINES
    client.kcat("-P", "-t", topic, stdin=str(COUNT))
    assert lines(client.kcat(*group, "-c", 1, topic)) == [str(COUNT)]


def test_console_producer_and_consumer(kafka, client):
    topic = kafka.new_topic(3)
    # kafka-console-producer, kafka-console-consumer
    client.java("org.apache.kafka.tools.ConsoleProducer", "--bootstrap-server", client.address, "--topic", topic,
                "--command-config", client.properties, stdin="\n".join(LINES))
    for protocol in ("classic", "consumer"):
        read = client.java("org.apache.kafka.tools.consumer.ConsoleConsumer", "--bootstrap-server", client.address,
                           "--topic", topic, "--from-beginning", "--max-messages", COUNT, "--command-config",
                           client.properties, "--group", f"console-{protocol}-{topic}", "--command-property",
                           f"group.protocol={protocol}")
        assert lines(read) == LINES


def test_topics(kafka, client):
    topic = f"java-{time.time_ns()}"

    def topics(*arguments):
        return client.java("org.apache.kafka.tools.TopicCommand", "--bootstrap-server", client.address,
                           "--command-config", client.properties, *arguments)

    topics("--create", "--topic", topic, "--partitions", 3, "--config", "retention.ms=1000000")
    assert topic in topics("--list").splitlines()
    described = topics("--describe", "--topic", topic)
    assert "PartitionCount: 3" in described and "retention.ms=1000000" in described
    topics("--alter", "--topic", topic, "--partitions", 5)
    assert "PartitionCount: 5" in topics("--describe", "--topic", topic)
    topics("--delete", "--topic", topic)
    assert topic not in topics("--list").splitlines()


def test_consumer_groups(kafka, client):
    topic = kafka.new_topic(2)
    group = f"java-{topic}"
    client.kcat("-P", "-t", topic, "-p", "0", stdin="\n".join(LINES))
    client.kcat("-G", group, "-X", "auto.offset.reset=earliest", "-q", "-c", COUNT, topic)

    def groups(*arguments):
        return client.java("org.apache.kafka.tools.consumer.group.ConsumerGroupCommand", "--bootstrap-server",
                           client.address, "--command-config", client.properties, *arguments)

    def row():
        table = [line.split() for line in groups("--describe", "--group", group).splitlines() if topic in line]
        return next(line for line in table if line[2] == "0")

    assert group in groups("--list").splitlines()
    # Group, topic, partition, committed offset, end, lag.
    assert row()[3:6] == [str(COUNT), str(COUNT), "0"]
    groups("--group", group, "--topic", topic, "--reset-offsets", "--to-offset", "10", "--execute")
    assert row()[3:6] == ["10", str(COUNT), str(COUNT - 10)]
    groups("--delete", "--group", group)
    assert group not in groups("--list").splitlines()


def test_verifiable_producer_and_consumer(kafka, client):
    topic = kafka.new_topic(3)
    said = client.java("org.apache.kafka.tools.VerifiableProducer", "--bootstrap-server", client.address, "--topic",
                       topic, "--max-messages", COUNT, "--command-config", client.properties)
    events = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
    acknowledged = {(event["partition"], event["offset"]) for event in events if event["name"] == "producer_send_success"}
    assert len(acknowledged) == COUNT
    said = client.java("org.apache.kafka.tools.VerifiableConsumer", "--bootstrap-server", client.address, "--topic",
                       topic, "--group-id", f"verifiable-{topic}", "--max-messages", COUNT, "--reset-policy", "earliest",
                       "--verbose", "--command-config", client.properties)
    events = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
    read = [(event["partition"], event["offset"]) for event in events if event["name"] == "record_data"]
    assert len(read) == COUNT and set(read) == acknowledged
    assert any(event["name"] == "offsets_committed" and event["success"] for event in events)


def test_franz_go(kafka, client):
    topic = kafka.new_topic(3)
    said = run([find_program("FRANZ_BIN", FRANZ), client.address, topic, COUNT, *client.franz_options])
    total = sum(range(COUNT))
    assert said.splitlines() == [f"alone {COUNT} {total}", f"group {COUNT} {total}", f"again 1 {COUNT}"]
