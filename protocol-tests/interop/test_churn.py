"""Groups of our members, `hop subscribe -g`, Java's and librdkafka's on three nodes, while a verifiable producer writes:
members join, leave, are killed, stand still and come back. What they must keep to is said in `churn/verdict.py`.

CHURN_SECONDS is how long each group has no peace (30 if it is not set, and 15 on an old Kafka; from 120 on there are more
members, and brokers die and leaders move, too), CHURN_SEED what chance begins with.
"""

import os
import pickle
import random
import shutil
import subprocess
import time

import pytest
from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from churn.members import Setting, Slot, build_group_member, java_command
from churn.storm import NODES, Brokers, Storm, coordinator
from churn.verdict import judge
from support import PATIENCE, ROOT, Kafka, find_program, publish

VERSION = os.environ.get("KAFKA_VERSION", "4")
SECONDS = float(os.environ.get("CHURN_SECONDS", "30" if VERSION.startswith("4") else "15"))
SEED = int(os.environ.get("CHURN_SEED") or random.randrange(2**32))
LONG = SECONDS >= 120
PARTITIONS = 12
# By default, nine heartbeats make a session; under KIP-848 a member cannot know that it is otherwise.
SESSION_MS = 6_000
HEARTBEAT_MS = 666

# How a group shares its partitions out: the protocol, and what the members of a classic group have in common.
GROUPS = {"eager": ("classic", ("range", "roundrobin")), "cooperative": ("classic", ("cooperative-sticky",))}
if VERSION.startswith("4"):
    GROUPS["consumer"] = ("consumer", ())
    if LONG:
        # A classic group that is made one of the other kind, and back, as members of the other protocol come and go.
        GROUPS["mixed"] = GROUPS["cooperative"]


@pytest.fixture(scope="module")
def cluster():
    directory = ROOT / "target" / "kafka" / "test-churn"
    options = ["--version", VERSION, "--nodes", str(NODES), "--dir", str(directory)]
    yield Kafka(*options)
    subprocess.run([ROOT / "scripts" / "kafka", "stop", *options], check=True)


@pytest.fixture(scope="module")
def programs():
    libraries = subprocess.run([ROOT / "scripts" / "kafka", "fetch", "--version", VERSION],
                               check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
    return build_group_member(), find_program("HOP_BIN", ROOT / "target" / "release" / "hop"), libraries


@pytest.mark.parametrize("kind", GROUPS)
def test_a_group_loses_nothing_and_doubles_only_what_a_crash_left_uncommitted(kind, cluster, programs):
    protocol, assignors = GROUPS[kind]
    print(f"\nCHURN_SEED={SEED} CHURN_SECONDS={SECONDS:g}")
    name = group_name(cluster, kind)
    folder = ROOT / "target" / "churn" / f"{kind}-{VERSION}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    topic = cluster.new_topic(PARTITIONS, min_insync_replicas=2)
    wait_for_leaders(cluster, topic)
    group_member, hop, libraries = programs
    setting = Setting(cluster.plaintext, topic, name, protocol, assignors, SESSION_MS, HEARTBEAT_MS,
                      group_member, hop, java_command(libraries, cluster.directory), folder)
    if kind in ("consumer", "mixed"):
        set_session(cluster, name)
    storm = Storm(setting, slots(kind), PARTITIONS, SEED,
                  Brokers(cluster) if LONG else None)
    evidence = storm.run(SECONDS)
    # To be judged again, if need be.
    (folder / "evidence.pickle").write_bytes(pickle.dumps(evidence))
    verdict = judge(evidence)
    publish(f"churn-{kind}-{VERSION}", report(kind, storm, verdict))
    assert not storm.problems, "\n".join(storm.problems)
    assert not verdict.problems, f"CHURN_SEED={SEED}, journals in {folder}\n" + "\n".join(verdict.problems)


def group_name(cluster, kind):
    """Of a group whose coordinator is not the first node, which stays: it is the one that hop is told of."""
    while True:
        name = f"churn-{kind}-{time.time_ns()}"
        if coordinator(cluster, name) != "1":
            return name


def wait_for_leaders(cluster, topic):
    """Until each node knows the topic: all of them lead some of its partitions."""
    deadline = time.monotonic() + PATIENCE
    consumer = Consumer({"bootstrap.servers": cluster.plaintext, "group.id": "nobody"})
    try:
        for partition in range(PARTITIONS):
            while not is_led(consumer, TopicPartition(topic, partition)):
                assert time.monotonic() < deadline, f"nobody leads partition {partition} of {topic}"
                time.sleep(0.1)
    finally:
        consumer.close()


def is_led(consumer, partition):
    try:
        return consumer.get_watermark_offsets(partition, 5) == (0, 0)
    except KafkaException:
        return False


def slots(kind):
    chosen = [Slot("ours-by-hand", "ours"), Slot("ours-by-itself", "ours", commits="by-itself", static=True),
              Slot("java-1", "java"), Slot("librdkafka-1", "librdkafka")]
    # hop takes what its broker has to offer: on a new one it is no member of a classic group. On an old one its session is
    # its own, and long: the group waits for all of it when it is killed, once is enough.
    if kind in ("consumer", "mixed") or (kind == "cooperative" and not VERSION.startswith("4")):
        chosen.append(Slot("hop", "hop"))
    if LONG:
        other = "consumer" if kind == "mixed" else None
        chosen += [Slot("ours-record-by-record", "ours", commits="record-by-record", protocol=other),
                   Slot("java-2", "java", protocol=other), Slot("librdkafka-2", "librdkafka", protocol=other)]
    return chosen


def set_session(cluster, group):
    """Under KIP-848 the coordinator says how long a session lasts."""
    settings = {"consumer.session.timeout.ms": SESSION_MS, "consumer.heartbeat.interval.ms": HEARTBEAT_MS}
    resource = ConfigResource(ResourceType.GROUP, group, incremental_configs=[
        ConfigEntry(name, str(value), incremental_operation=AlterConfigOpType.SET) for name, value in settings.items()])
    cluster.admin.incremental_alter_configs([resource])[resource].result(PATIENCE)


def report(kind, storm, verdict):
    lines = [f"Group '{kind}' on Kafka {VERSION}, {SECONDS:g} s of churn, seed {SEED}:"]
    lines += [f"  {name:<40} {count:>9,}" for name, count in sorted(storm.count.items())]
    lines.append(f"  {'processes':<40} {len(storm.members):>9,}")
    lines.append(f"  {'generations or epochs':<40} {len(storm.topic.history.rebalances):>9,}")
    lines += [f"  {name:<40} {count:>9,}" for name, count in sorted(verdict.figures.items())]
    return "\n".join(lines) + "\n"
