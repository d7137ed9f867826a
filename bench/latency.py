"""How long records take from being handed to a producer to being handed to the reader.

One producer, librdkafka's with linger.ms=0, sends records of 1 KiB at a steady rate; what time it was stands in each of
them. The clients read alternately, each for a while with a topic of its own, and with their default settings: all ask
for at least 1 byte and have the broker wait up to 500 ms for it.
"""

import argparse
import subprocess
import sys

from consume import CLIENTS, chosen
from measuring import BUILT, Kafka, Targets, add_common_options, machine, median, prepare

SIZE = 1024
# What comes while things warm up is left out.
WARM_UP_SECONDS = 3
ABLE = ["batches", "owned", "rdkafka", "rskafka", "krafka"]


def main():
    arguments = parse()
    prepare(["pace", *{need for name in arguments.clients for need in CLIENTS[name].needs}], arguments.realtime)
    targets = Targets()
    figures = {name: [] for name in arguments.clients}
    with Kafka(arguments.keep) as kafka:
        print(f"Kafka {kafka.version}, {arguments.rate} records a second of {SIZE} B to {arguments.partitions} "
              f"partition(s), {arguments.rounds} rounds of {arguments.seconds} s, {machine()}")
        print(f"\n{'microseconds':24}{'p50':>10}{'p99':>10}{'max':>10}   in each round")
        for number in range(arguments.rounds):
            turn = number % len(arguments.clients)
            for name in arguments.clients[turn:] + arguments.clients[:turn]:
                figures[name].append(read(kafka, name, number, arguments))
                print_row(name, figures[name][-1])
    medians = {name: tuple(map(median, zip(*rounds))) for name, rounds in figures.items()}
    print(f"\n{'medians':24}{'p50':>10}{'p99':>10}{'max':>10}   at the end: {machine()}")
    for name, result in medians.items():
        print_row(name, result)
    print()
    if "rdkafka" in medians:
        for name in [name for name in ("batches", "owned") if name in medians]:
            for what, own, peer in zip(("p50", "p99"), medians[name], medians["rdkafka"]):
                targets.check(f"{CLIENTS[name].label}: {what} is {own:.0f} µs, at most librdkafka's {peer:.0f}",
                              own <= peer)
    targets.close()


def print_row(name, figures):
    print(f"{CLIENTS[name].label:24}" + "".join(f"{figure:10.0f}" for figure in figures), flush=True)


def parse():
    parser = argparse.ArgumentParser(prog="scripts/bench latency", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=chosen(ABLE), default=["batches", "rdkafka"], help=", ".join(ABLE))
    parser.add_argument("--seconds", type=int, default=20, help="of each client in a round")
    parser.add_argument("--rate", type=int, default=1000, help="records a second")
    parser.add_argument("--partitions", type=int, default=1)
    add_common_options(parser, 5)
    return parser.parse_args()


def read(kafka, name, number, arguments):
    """One client's median, 99th percentile and greatest."""
    topic = f"latency-{number}-{name}"
    kafka.new_topic(topic, arguments.partitions)
    warm_up = WARM_UP_SECONDS * arguments.rate
    records = warm_up + arguments.seconds * arguments.rate
    reading = [BUILT / CLIENTS[name].needs[0], name, kafka.plaintext, topic, str(arguments.partitions), str(records),
               str(warm_up)]
    reader = subprocess.Popen(reading, stdout=subprocess.PIPE, text=True)
    try:
        subprocess.run([BUILT / "pace", kafka.plaintext, topic, str(arguments.partitions), str(records), str(SIZE),
                        str(arguments.rate)], check=True)
        out, _ = reader.communicate(timeout=60)
    finally:
        reader.kill()
    seen = out.split()
    if reader.returncode != 0 or seen[:2] != [str(records), str(records * SIZE)]:
        sys.exit(f"{name} read '{out.strip()}' of {records} records of {SIZE} bytes")
    kafka.delete_topic(topic)
    return tuple(map(float, seen[2:]))


if __name__ == "__main__":
    main()
