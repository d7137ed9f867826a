"""Where librdkafka writes keys, and the keys themselves.

partitions.py keys                              prints the keys, a line each, in hexadecimal, or none, or empty
partitions.py ADDRESS PREFIX PARTITIONER COUNT...
        writes each key of standard input to topics PREFIX-COUNT of so many partitions, and prints where it went
"""

import random
import sys

# A key that does not decide shows as one by going to several.
ATTEMPTS = 16


def keys():
    chance = random.Random(794)
    yield "none"
    yield "empty"
    for byte in (0x00, 0x20, 0x41, 0x7f, 0x80, 0xc3, 0xfe, 0xff):
        yield from (bytes([byte] * length).hex() for length in (1, 2, 3, 4, 5, 7, 8))
    for length in range(1, 21):
        yield from (chance.randbytes(length).hex() for _ in range(8))
    for text in ("GRB 270412B", "gcn.circular", "k", "key", "123456789", "sternwarte-königstuhl", "γ-ray burst",
                 "超新星", "🔭", "a\u0308", "\ufeff", "M 31\n", "null", "-1"):
        yield text.encode().hex()
    for length in (31, 32, 33, 63, 64, 65, 127, 128, 255, 256, 257, 1000, 1001, 1002, 1003):
        yield chance.randbytes(length).hex()


def places(producer, topic, keys):
    seen = [set() for _ in keys]
    for row, key in enumerate(keys):
        data = {"none": None, "empty": b""}.get(key)
        if data is None and key != "none":
            data = bytes.fromhex(key)
        for _ in range(1 if data else ATTEMPTS):
            def delivered(error, message, row=row):
                assert error is None, error
                seen[row].add(message.partition())
            producer.produce(topic, None, data, on_delivery=delivered)
            producer.poll(0)
    assert producer.flush(60) == 0
    return [str(one.pop()) if len(one) == 1 else "any" for one in seen]


def main():
    from confluent_kafka import Producer

    address, prefix, partitioner, *counts = sys.argv[1:]
    producer = Producer({"bootstrap.servers": address, "partitioner": partitioner,
                         # Another partition for each record without a key.
                         "sticky.partitioning.linger.ms": 0})
    keys = sys.stdin.read().split()
    columns = [places(producer, f"{prefix}-{count}", keys) for count in counts]
    print("key", *counts)
    for row in zip(keys, *columns):
        print(*row)


if sys.argv[1:] == ["keys"]:
    print("\n".join(keys()))
else:
    main()
