"""Writes the records of every shape to a topic with librdkafka: ADDRESS TOPIC CODEC TRANSACTION(yes|no|abort)."""

import sys

from confluent_kafka import Producer

address, topic, codec, transaction = sys.argv[1:]
settings = {"bootstrap.servers": address, "compression.type": codec, "linger.ms": 200, "enable.idempotence": True}
if transaction != "no":
    settings["transactional.id"] = topic
producer = Producer(settings)
if transaction != "no":
    producer.init_transactions()
    producer.begin_transaction()
for later, key, value, headers in [
    (0, b"key", b"value", None),
    (1, None, b"null key", None),
    (2, b"null value", None, None),
    (3, b"", b"", None),
    (4, b"headers", b"twice the same, one null, one that is no text",
     [("same", b"1"), ("same", b"2"), ("null", None), ("empty", b""), ("bytes", b"\xff\xfe\x00")]),
    (-1000, b"earlier", b"x" * 3000, None),
]:
    producer.produce(topic, value, key, partition=0, timestamp=1_700_000_000_000 + later, headers=headers)
assert producer.flush(60) == 0
if transaction == "yes":
    producer.commit_transaction()
elif transaction == "abort":
    producer.abort_transaction()
