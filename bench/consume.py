"""Everybody's consumers on the same topics: records and bytes a second, CPU a record, peak memory.

Each reads a whole topic in a process of its own, starting up included, and what it read is counted. In each round all
of them have their turn, so that what else the machine does hits them alike; the table has the medians of the rounds.

Topics have four partitions on one broker, in the page cache, filled by librdkafka with its default settings (batches of
up to 1 MB): alerts in JSON with the headers that hop gives them. The programs write to a pipe.
"""

import argparse
import sys
from dataclasses import dataclass, replace

from measuring import (BUILT, PEERS, ROOT, VENV, Kafka, Targets, add_common_options, hop, kcat, machine, measure,
                       median, prepare, run, version_of_kcat)

PARTITIONS = 4
CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]
SIZES = [100, 1024, 10240]
MOST_RECORDS = 4_000_000
# For whom reading more takes too long.
FEW_RECORDS = 40_000

LESS_CPU = {"none": 0.5}
LESS_CPU_COMPRESSED = 0.8
LESS_CPU_THAN_KCAT = 0.7
MOST_MEMORY_MB = 30
MEMORY_SIZE = 1024


@dataclass
class Topic:
    name: str
    records: int
    bytes: int


def main():
    arguments = parse()
    clients = {name: CLIENTS[name] for name in arguments.clients}
    prepare(["fill", "measure", *{need for client in clients.values() for need in client.needs}], arguments.realtime)
    targets = Targets()
    with Kafka(arguments.keep) as kafka:
        print(f"Kafka {kafka.version}, {arguments.rounds} rounds, {machine()}")
        if "kcat" in clients:
            print(f"kcat {version_of_kcat()}")
        for client in clients.values():
            if client.note:
                print(f"{client.label}: {client.note}")
        print(f"\n{'':14}{'client':22}{'records/s':>12}{'MB/s':>9}{'CPU µs/record':>15}{'of librdkafka':>15}"
              f"{'peak MB':>9}")
        results = {}
        for size in arguments.sizes:
            for codec in arguments.codecs:
                results[size, codec] = compare(kafka, size, codec, clients, arguments)
        print(f"\nAt the end: {machine()}")
    check(results, targets)
    targets.close()


def parse():
    parser = argparse.ArgumentParser(prog="scripts/bench consume", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=numbers, default=SIZES, help="of a value in bytes, with commas between")
    parser.add_argument("--codecs", type=chosen(CODECS), default=CODECS, help=", ".join(CODECS))
    usual = [name for name in CLIENTS if name != "subscribe-raw"]
    parser.add_argument("--clients", type=chosen(CLIENTS), default=usual, help=", ".join(CLIENTS))
    parser.add_argument("--megabytes", type=int, default=1000, help="of values in a topic, where that is not more than "
                        f"{MOST_RECORDS} records (default 1000)")
    parser.add_argument("--batch-bytes", type=int, default=1_000_000, help="librdkafka's batch.size when topics are "
                        "filled (default 1000000)")
    add_common_options(parser, 5)
    return parser.parse_args()


def numbers(text):
    return [int(part) for part in text.split(",")]


def chosen(among):
    def parse_some(text):
        parts = text.split(",")
        for part in parts:
            if part not in among:
                raise argparse.ArgumentTypeError(f"'{part}' is none of {', '.join(among)}")
        return parts
    return parse_some


# ---- Clients ---------------------------------------------------------------------------------------------------


class Client:
    """One that is measured: how to run it, and how to tell that it read everything."""

    note = None
    few_records = False

    def __init__(self, label, needs):
        self.label = label
        self.needs = needs

    def run(self, kafka, topic):
        """What it took and how many records a second it read."""
        cost = measure(*self.command(kafka, topic))
        self.verify(cost, topic)
        return cost, topic.records / cost.wall

    def verify(self, cost, topic):
        self.expect(topic, cost.last_line, f"{topic.records} {topic.bytes}")

    def expect(self, topic, read, wanted):
        if read != wanted:
            sys.exit(f"{self.label} read '{read}' of {topic.name}, not '{wanted}'")


class Library(Client):
    """A Rust library, in bench/peers."""

    def __init__(self, name, label, program="consume"):
        super().__init__(label, [program])
        self.name = name

    def command(self, kafka, topic):
        return ([BUILT / self.needs[0], self.name, kafka.plaintext, topic.name, PARTITIONS, topic.records],)


class FranzGo(Client):
    def command(self, kafka, topic):
        return ([ROOT / "target" / "bench" / "franz-go", "consume", kafka.plaintext, topic.name, topic.records],)


class Printing(Client):
    """One that prints each alert on a line."""

    def verify(self, cost, topic):
        self.expect(topic, (cost.lines, cost.bytes), (topic.records, topic.bytes + topic.records))


class Subscribe(Printing):
    def __init__(self, label, *options):
        super().__init__(label, ["hop"])
        self.options = options

    def command(self, kafka, topic):
        return ([hop(), "subscribe", "--no-auth", "-s", "EARLIEST", *self.options,
                 f"kafka://{kafka.plaintext}/{topic.name}"],)


class Kcat(Printing):
    note = "ends after so many records (-c), since for the end of the topic (-e) it waits"

    def command(self, kafka, topic):
        program, environment = kcat()
        return ([program, "-C", "-q", "-b", kafka.plaintext, "-t", topic.name, "-o", "beginning",
                 "-c", topic.records], environment)


class Java(Client):
    note = "records/s as it counts them, without starting up and joining its group; CPU and memory of all"

    def command(self, kafka, topic):
        # Memory and collector are those of Kafka's own scripts.
        return (["java", "-server", "-Xmx512m", "-XX:+UseG1GC", "-Djava.awt.headless=true",
                 f"-Dlog4j2.configurationFile={kafka.directory / 'tools-log4j2.properties'}",
                 "-cp", f"{kafka.libraries()}/*", "org.apache.kafka.tools.ConsumerPerformance",
                 "--bootstrap-server", kafka.plaintext, "--topic", topic.name, "--num-records", topic.records,
                 "--hide-header", "--timeout", 60000],)

    def run(self, kafka, topic):
        cost = measure(*self.command(kafka, topic))
        # start, end, MB, MB/s, records, records/s, ms for joining, ms for fetching, then the same without joining.
        fields = [field.strip() for field in cost.last_line.split(",")]
        self.expect(topic, (fields[2], int(fields[4])), (f"{topic.bytes / 1024 ** 2:.4f}", topic.records))
        return cost, float(fields[9])


class Python(Client):
    note = f"reads a topic of its own with {FEW_RECORDS:,} records at most; without starting up"
    few_records = True

    def command(self, kafka, topic):
        return ([VENV / "python", PEERS / "hop_client.py", kafka.plaintext, topic.name, topic.records],)

    def run(self, kafka, topic):
        cost = measure(*self.command(kafka, topic))
        records, wall, cpu = cost.last_line.split()
        self.expect(topic, records, str(topic.records))
        return replace(cost, cpu=float(cpu)), topic.records / float(wall)


CLIENTS = {
    "batches": Library("batches", "hop, batches", "consume-hop"),
    "owned": Library("owned", "hop, owned messages", "consume-hop"),
    "rdkafka": Library("rdkafka", "librdkafka (rdkafka)"),
    "subscribe": Subscribe("hop subscribe"),
    "subscribe-raw": Subscribe("hop subscribe --raw", "--raw"),
    "kcat": Kcat("kcat -C", ["venv"]),
    "franz-go": FranzGo("franz-go", ["franz-go"]),
    "java": Java("Java's perf-test", []),
    "rskafka": Library("rskafka", "rskafka"),
    "krafka": Library("krafka", "krafka"),
    "python": Python("Python's hop-client", ["venv"]),
}


# ---- Measuring -------------------------------------------------------------------------------------------------


@dataclass
class Result:
    """Medians."""

    rate: float
    cpu: float
    peak_mb: float


def compare(kafka, size, codec, clients, arguments):
    """All clients on one topic; prints their part of the table."""
    records = min(arguments.megabytes * 1_000_000 // size, MOST_RECORDS)
    topics = {few: fill(kafka, size, codec, min(records, FEW_RECORDS) if few else records, arguments.batch_bytes)
              for few in {client.few_records for client in clients.values()}}
    figures = {name: [] for name in clients}
    names = list(clients)
    # So that the broker has done it all before.
    clients[names[0]].run(kafka, topics[clients[names[0]].few_records])
    for number in range(arguments.rounds):
        # Nobody always follows the same one.
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            topic = topics[clients[name].few_records]
            cost, rate = clients[name].run(kafka, topic)
            figures[name].append((rate, cost.cpu / topic.records * 1e6, cost.peak_mb))
    results = {name: Result(*map(median, zip(*rounds))) for name, rounds in figures.items()}
    for name, result in results.items():
        topic = topics[clients[name].few_records]
        rdkafka = results.get("rdkafka")
        ratio = f"{result.cpu / rdkafka.cpu:.2f}" if rdkafka else "-"
        print(f"{size:>6} {codec:7}{clients[name].label:22}{result.rate:12,.0f}"
              f"{result.rate * topic.bytes / topic.records / 1e6:9.1f}{result.cpu:15.3f}{ratio:>15}"
              f"{result.peak_mb:9.1f}", flush=True)
    if not arguments.keep:
        # A small one serves those who read few records, too.
        for name in {topic.name for topic in topics.values()}:
            kafka.delete_topic(name)
    return results


def fill(kafka, size, codec, records, batch_bytes):
    name = f"bench-{size}-{codec}-{records}-{batch_bytes}"
    if name not in kafka.filled:
        kafka.new_topic(name, PARTITIONS)
        written, total = map(int, run(BUILT / "fill", kafka.plaintext, name, PARTITIONS, records, size, codec,
                                      batch_bytes).split())
        assert written == records
        kafka.filled = {**kafka.filled, name: total}
    return Topic(name, records, kafka.filled[name])


def check(results, targets):
    print()
    for (size, codec), clients in results.items():
        def both(own, peer):
            return (clients[own], clients[peer]) if own in clients and peer in clients else None
        if pair := both("batches", "rdkafka"):
            own, peer = pair
            most = LESS_CPU.get(codec, LESS_CPU_COMPRESSED)
            targets.check(f"{size} B {codec}: batches take {own.cpu / peer.cpu:.2f} of librdkafka's CPU, "
                          f"at most {most}", own.cpu <= most * peer.cpu)
            targets.check(f"{size} B {codec}: batches are read {own.rate / peer.rate:.2f} times as fast as by "
                          "librdkafka, at least 1", own.rate >= peer.rate)
        if pair := both("subscribe", "kcat"):
            own, peer = pair
            targets.check(f"{size} B {codec}: hop subscribe takes {own.cpu / peer.cpu:.2f} of kcat's CPU, "
                          f"at most {LESS_CPU_THAN_KCAT}", own.cpu <= LESS_CPU_THAN_KCAT * peer.cpu)
            targets.check(f"{size} B {codec}: hop subscribe is {own.rate / peer.rate:.2f} times as fast as kcat, "
                          "at least 1", own.rate >= peer.rate)
        if "batches" in clients and size == MEMORY_SIZE:
            peak = clients["batches"].peak_mb
            targets.check(f"{size} B {codec}: batches take {peak:.1f} MB, at most {MOST_MEMORY_MB}",
                          peak <= MOST_MEMORY_MB)


if __name__ == "__main__":
    main()
