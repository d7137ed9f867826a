"""A member of a group on librdkafka that keeps a journal on standard output, as examples/group_member.rs does: what it
was told, what it handled, what it committed, each before the next thing is done. SIGTERM ends it in good order."""

import argparse
import json
import random
import signal
import time

from confluent_kafka import Consumer, KafkaException, TopicPartition

# What is handled is committed after so many records, or so long.
MOST_UNCOMMITTED = 20
COMMIT_INTERVAL = 0.2


def main():
    options = arguments()
    stopping = []
    signal.signal(signal.SIGTERM, lambda *_: stopping.append(True))
    note("started")
    member = Member(options)
    while not stopping:
        member.work()
    member.leave()


def arguments():
    parser = argparse.ArgumentParser()
    for name in ("bootstrap", "topic", "group", "client-id", "protocol", "session-ms", "heartbeat-ms"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--assignors")
    return parser.parse_args()


class Member:
    def __init__(self, options):
        settings = {
            "bootstrap.servers": options.bootstrap,
            "client.id": options.client_id,
            "group.id": options.group,
            "group.protocol": options.protocol,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
        }
        if options.protocol == "classic":
            settings |= {
                "partition.assignment.strategy": options.assignors,
                "session.timeout.ms": int(options.session_ms),
                "heartbeat.interval.ms": int(options.heartbeat_ms),
            }
        self.topic = options.topic
        self.consumer = Consumer(settings)
        self.consumer.subscribe([self.topic], on_assign=self.on_assign, on_revoke=self.on_revoke, on_lost=self.on_lost)
        # Of each partition, the offset behind what was handled and not committed.
        self.handled = {}
        self.count = 0
        self.committed_at = time.monotonic()

    def work(self):
        message = self.consumer.poll(0.1)
        if message is not None:
            if message.error():
                note("error", error=str(message.error()))
                return
            note("handled", partition=message.partition(), first=message.offset(), last=message.offset())
            self.handled[message.partition()] = message.offset() + 1
            self.count += 1
        if self.count >= MOST_UNCOMMITTED or time.monotonic() - self.committed_at > COMMIT_INTERVAL:
            time.sleep(random.uniform(0, 0.02))
            self.commit()

    def commit(self, partitions=None):
        chosen = [partition for partition in self.handled if partitions is None or partition in partitions]
        offsets = {partition: self.handled.pop(partition) for partition in chosen}
        self.count = 0
        self.committed_at = time.monotonic()
        if not offsets:
            return
        try:
            answers = self.consumer.commit(
                offsets=[TopicPartition(self.topic, partition, offset) for partition, offset in offsets.items()],
                asynchronous=False)
            refused = [answer.partition for answer in answers if answer.error]
            reason = "; ".join(str(answer.error) for answer in answers if answer.error)
        except KafkaException as error:
            refused, reason = list(offsets), str(error)
        if refused:
            note("refused", partitions=refused, error=reason)

    def on_assign(self, _consumer, partitions):
        note("assigned", partitions=[partition.partition for partition in partitions])

    def on_revoke(self, _consumer, partitions):
        numbers = [partition.partition for partition in partitions]
        self.commit(numbers)
        note("revoking", partitions=numbers)

    def on_lost(self, _consumer, partitions):
        numbers = [partition.partition for partition in partitions]
        for number in numbers:
            self.handled.pop(number, None)
        note("lost", partitions=numbers)

    def leave(self):
        self.commit()
        self.consumer.close()
        note("left")


def note(event, **more):
    print(json.dumps({"at": time.time_ns() // 1_000_000, "event": event, **more}), flush=True)


if __name__ == "__main__":
    main()
