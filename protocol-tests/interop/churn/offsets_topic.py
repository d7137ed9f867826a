"""What the coordinators themselves have written down of a group, in `__consumer_offsets`: every commit that they took, in
its order, and who had which partitions when. The formats are those of Apache Kafka's `OffsetCommitKey`,
`GroupMetadataValue`, `ConsumerGroupCurrentMemberAssignmentValue` and their like."""

import struct
import time
from dataclasses import dataclass, field

from confluent_kafka import Consumer, TopicPartition

TOPIC = "__consumer_offsets"

# What a key's first number says that the record is of.
OFFSET_COMMITS = (0, 1)
CLASSIC_GROUP = 2
CONSUMER_MEMBER = 5
CONSUMER_ASSIGNMENT = 8


@dataclass
class Commit:
    at: int
    partition: int
    offset: int


@dataclass
class Share:
    """What a member has from this time on; nothing when it has left."""

    at: int
    member: str
    partitions: frozenset


@dataclass
class History:
    commits: list = field(default_factory=list)
    shares: list = field(default_factory=list)
    # Generations, or epochs of members, that were written down.
    rebalances: set = field(default_factory=set)
    committed: dict = field(default_factory=dict)
    # By member id.
    members: dict = field(default_factory=dict)


class OffsetsTopic:
    """Follows the topic for one group that reads one topic."""

    def __init__(self, bootstrap, group, topic):
        self.group = group
        self.topic = topic
        self.history = History()
        self.client_ids = {}
        self.consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "nobody", "enable.auto.commit": False,
                                  "isolation.level": "read_uncommitted"})
        partitions = self.consumer.list_topics(TOPIC, timeout=30).topics[TOPIC].partitions
        self.consumer.assign([TopicPartition(TOPIC, partition, 0) for partition in partitions])

    def close(self):
        self.consumer.close()

    def read(self, seconds):
        """Takes what there is within this time."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            for message in self.consumer.consume(1000, min(left, 0.1)):
                assert message.error() is None, message.error()
                self.take(message.timestamp()[1], Fields(message.key()), message.value())

    def owners(self):
        """Who has each partition by now, by client id."""
        owners = {}
        for member, partitions in self.history.members.items():
            for partition in partitions:
                owners.setdefault(partition, []).append(self.client_ids[member])
        return owners

    def names(self):
        """The client ids of the members by now."""
        return sorted(self.client_ids[member] for member in self.history.members)

    def take(self, at, key, value):
        kind = key.int16()
        if key.string() != self.group:
            return
        if kind in OFFSET_COMMITS:
            topic, partition = key.string(), key.int32()
            if topic == self.topic and value is not None:
                fields = Fields(value)
                fields.int16()
                offset = fields.int64()
                self.history.commits.append(Commit(at, partition, offset))
                self.history.committed[partition] = offset
        elif kind == CLASSIC_GROUP:
            self.take_classic(at, value)
        elif kind == CONSUMER_MEMBER and value is not None:
            fields = Fields(value)
            fields.int16()
            fields.compact_string()
            fields.compact_string()
            self.client_ids[key.string()] = fields.compact_string()
        elif kind == CONSUMER_ASSIGNMENT:
            member = key.string()
            if value is None:
                self.share(at, member, None)
                return
            fields = Fields(value)
            version = fields.int16()
            epoch = fields.int32()
            fields.int32()
            fields.int8()
            # What is still to be given up stands in a second list: the member is told to, and has it no more.
            self.share(at, member, fields.partitions_by_id(version))
            self.history.rebalances.add(epoch)

    def take_classic(self, at, value):
        members = {}
        if value is not None:
            fields = Fields(value)
            version = fields.int16()
            assert version <= 3, f"groups are written in version {version}"
            fields.string()
            self.history.rebalances.add(fields.int32())
            fields.string()
            fields.string()
            if version >= 2:
                fields.int64()
            for _ in range(fields.int32()):
                member = fields.string()
                if version >= 3:
                    fields.string()
                self.client_ids[member] = fields.string()
                fields.string()
                if version >= 1:
                    fields.int32()
                fields.int32()
                fields.bytes()
                members[member] = Fields(fields.bytes()).classic_assignment(self.topic)
        for member in list(self.history.members):
            if member not in members:
                self.share(at, member, None)
        for member, partitions in members.items():
            self.share(at, member, partitions)

    def share(self, at, member, partitions):
        if partitions is None:
            self.history.members.pop(member, None)
        else:
            self.history.members[member] = partitions
        self.history.shares.append(Share(at, self.client_ids.get(member, ""), frozenset(partitions or ())))


class Fields:
    """The fields of a record, one after the other."""

    def __init__(self, data):
        self.data = data
        self.at = 0

    def take(self, count):
        piece = self.data[self.at:self.at + count]
        assert len(piece) == count, "the record is shorter than its format"
        self.at += count
        return piece

    def number(self, form):
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def int8(self):
        return self.number(">b")

    def int16(self):
        return self.number(">h")

    def int32(self):
        return self.number(">i")

    def int64(self):
        return self.number(">q")

    def unsigned_varint(self):
        value = shift = 0
        while True:
            byte = self.take(1)[0]
            value |= (byte & 0x7f) << shift
            if byte < 0x80:
                return value
            shift += 7

    def string(self):
        length = self.int16()
        return None if length < 0 else self.take(length).decode()

    def bytes(self):
        length = self.int32()
        return b"" if length < 0 else self.take(length)

    def compact_string(self):
        length = self.unsigned_varint() - 1
        return None if length < 0 else self.take(length).decode()

    def partitions_by_id(self, _version):
        """Of whichever topic: the group reads one."""
        partitions = set()
        for _ in range(self.unsigned_varint() - 1):
            self.take(16)
            partitions.update(self.int32() for _ in range(self.unsigned_varint() - 1))
            self.tagged_fields()
        return partitions

    def tagged_fields(self):
        for _ in range(self.unsigned_varint()):
            self.unsigned_varint()
            self.take(self.unsigned_varint())

    def classic_assignment(self, topic):
        """What `ConsumerProtocolAssignment` says; a member without anything may have no bytes at all."""
        partitions = set()
        if self.data:
            self.int16()
            for _ in range(self.int32()):
                name = self.string()
                numbers = [self.int32() for _ in range(self.int32())]
                partitions.update(numbers if name == topic else ())
        return partitions
