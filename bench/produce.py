"""Everybody's producers on topics of their own: records and bytes a second, CPU a record, peak memory, and how long
acknowledgements take.

All write the same alerts in JSON, made beforehand, without keys, with the headers that hop gives them, to a topic of four
partitions on one broker, and wait until everything is acknowledged; the topic's offsets tell whether exactly so much is
there. All have acknowledgements by all replicas and are idempotent where they can be; else their defaults, but for what
is said at the beginning.

First each writes as fast as its back-pressure lets it, in a process of its own. In each round all of them have their
turn, so that what else the machine does hits them alike; the table has the medians of the rounds. Of libraries the time
counts from the acknowledgement of a first record, since librdkafka takes half a second until it begins; CPU and memory are
those of the whole process.

Then, in rounds as well, each writes at half of the rate that the slower of hop and librdkafka had before. It is
measured and not a table's, since what is half a load depends on the machine; being the median of some rounds, of which
two digits count, it is steady. The records of a millisecond are due at its beginning, whatever became of those before,
and what counts is the time from there until the acknowledgement is seen.
"""

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from consume import CODECS, SIZES, chosen, numbers
from measuring import (BUILT, ROOT, Kafka, Targets, add_common_options, hop, kcat, machine, measure, median, prepare,
                       run, version_of_kcat)

PARTITIONS = 4
MOST_RECORDS = 2_000_000
# Of different alerts, which are written again and again.
ALERTS_BYTES = 1_000_000
# At the beginning of a run at half load: what comes while things warm up is left out.
WARM_UP_SECONDS = 3

LESS_CPU = 0.8
# What a producer may hold of records, and the rest of the program.
MOST_MEMORY_MB = 32 * 1024 ** 2 / 1e6 + 30


def main():
    arguments = parse()
    clients = {name: CLIENTS[name] for name in arguments.clients}
    prepare(["alerts", "measure", *{need for client in clients.values() for need in client.needs}], arguments.realtime)
    targets = Targets()
    (ROOT / "target" / "bench").mkdir(parents=True, exist_ok=True)
    with Kafka(arguments.keep) as kafka, TemporaryDirectory(dir=ROOT / "target" / "bench") as directory:
        print(f"Kafka {kafka.version}, {arguments.rounds} rounds, {machine()}")
        if "kcat" in clients:
            print(f"kcat {version_of_kcat()}")
        for client in clients.values():
            print(f"{client.label}: {client.note}")
        print(f"\n{'':14}{'client':22}{'records/s':>12}{'MB/s':>9}{'CPU µs/record':>15}{'of librdkafka':>15}"
              f"{'peak MB':>9}{'p50 ms':>10}{'p99 ms':>10}{'p99.9 ms':>10}")
        results = {}
        for size in arguments.sizes:
            load = Load(Path(directory), size, arguments, {client.reads_lines for client in clients.values()})
            for codec in arguments.codecs:
                results[size, codec] = compare(kafka, load, codec, clients, arguments)
            load.remove()
        print(f"\nAt the end: {machine()}")
    check(results, targets)
    targets.close()


def parse():
    parser = argparse.ArgumentParser(prog="scripts/bench produce", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=numbers, default=SIZES, help="of a value in bytes, with commas between")
    parser.add_argument("--codecs", type=chosen(CODECS), default=["none", "lz4"], help=", ".join(CODECS))
    parser.add_argument("--clients", type=chosen(CLIENTS), default=list(CLIENTS), help=", ".join(CLIENTS))
    parser.add_argument("--megabytes", type=int, default=500, help="of values, where that is not more than "
                        f"{MOST_RECORDS} records (default 500)")
    parser.add_argument("--seconds", type=int, default=10, help="of each client at half load in a round (default 10); "
                        "0: none of that")
    add_common_options(parser, 5)
    return parser.parse_args()


class Load:
    """What is written: a file of alerts, to be written in turn, and one with a line for each record."""

    def __init__(self, directory, size, arguments, wanted):
        self.size = size
        self.records = min(arguments.megabytes * 1_000_000 // size, MOST_RECORDS)
        self.alerts = directory / "alerts"
        lines = run(BUILT / "alerts", ALERTS_BYTES // size, size).splitlines(keepends=True)
        self.alerts.write_text("".join(lines))
        times, rest = divmod(self.records, len(lines))
        self.bytes = times * sum(map(len, lines)) + sum(map(len, lines[:rest])) - self.records
        self.lines = directory / "lines"
        if True in wanted:
            with self.lines.open("w") as file:
                file.writelines("".join(lines) for _ in range(times))
                file.writelines(lines[:rest])

    def remove(self):
        self.alerts.unlink()
        self.lines.unlink(missing_ok=True)


# ---- Clients ---------------------------------------------------------------------------------------------------


@dataclass
class Pace:
    """For a run at a steady rate."""

    rate: int
    records: int
    not_counted: int


class Client:
    """One that is measured: how to run it."""

    reads_lines = False
    tells_latencies = True

    def __init__(self, label, needs, note):
        self.label = label
        self.needs = needs
        self.note = note

    def write(self, kafka, topic, load, codec):
        """As fast as it goes: what it took and how many records a second it wrote."""
        cost = measure(*self.command(kafka, topic, load, codec, load.records))
        return cost, load.records / cost.wall

    def write_steadily(self, kafka, topic, load, codec, pace):
        """Three percentiles in milliseconds."""
        raise NotImplementedError


class Library(Client):
    """A library, in bench/peers."""

    def __init__(self, name, label, note, program=BUILT / "produce"):
        super().__init__(label, [program.name], note)
        self.name = name
        self.program = program

    def command(self, kafka, topic, load, codec, records, *pace):
        return ([self.program, self.name, kafka.plaintext, topic, PARTITIONS, records, codec, load.alerts, *pace],)

    def write(self, kafka, topic, load, codec):
        cost = measure(*self.command(kafka, topic, load, codec, load.records))
        records, size, seconds = cost.last_line.split()
        if (int(records), int(size)) != (load.records, load.bytes):
            sys.exit(f"{self.label} wrote '{cost.last_line}', not '{load.records} {load.bytes}'")
        # The first stands before that time.
        return cost, (load.records - 1) / float(seconds)

    def write_steadily(self, kafka, topic, load, codec, pace):
        cost = measure(*self.command(kafka, topic, load, codec, pace.records, pace.rate, pace.not_counted))
        _, _, *microseconds = cost.last_line.split()
        return [float(figure) / 1000 for figure in microseconds[:3]]


class FranzGo(Library):
    def __init__(self, label, note):
        super().__init__("produce", label, note, ROOT / "target" / "bench" / "franz-go")

    def command(self, kafka, topic, load, codec, records, *pace):
        return ([self.program, "produce", kafka.plaintext, topic, records, codec, load.alerts, *pace],)


class Lines(Client):
    """One that publishes each line of its input."""

    reads_lines = True
    tells_latencies = False


class Publish(Lines):
    def command(self, kafka, topic, load, codec, _):
        return ([hop(), "publish", "--no-auth", "--compression", codec, f"kafka://{kafka.plaintext}/{topic}"], None,
                load.lines)


class Kcat(Lines):
    def command(self, kafka, topic, load, codec, _):
        program, environment = kcat()
        return ([program, "-P", "-b", kafka.plaintext, "-t", topic, "-z", codec, "-X", "acks=all",
                 "-X", "enable.idempotence=true", "-X", "linger.ms=5", "-H", "_id=0123456789abcdef",
                 "-H", "_sender=observer-1234", "-H", "_format=json"], environment, load.lines)


class Java(Client):
    def command(self, kafka, topic, load, codec, records, throughput=-1, *more):
        # Memory and collector are those of Kafka's own scripts.
        return (["java", "-server", "-Xmx512m", "-XX:+UseG1GC", "-Djava.awt.headless=true",
                 f"-Dlog4j2.configurationFile={kafka.directory / 'tools-log4j2.properties'}",
                 "-cp", f"{kafka.libraries()}/*", "org.apache.kafka.tools.ProducerPerformance",
                 "--bootstrap-server", kafka.plaintext, "--topic", topic, "--num-records", records,
                 "--payload-file", load.alerts, "--throughput", throughput,
                 "--command-property", f"compression.type={codec}", *more],)

    def write(self, kafka, topic, load, codec):
        cost = measure(*self.command(kafka, topic, load, codec, load.records))
        # records sent, records/sec, then latencies, with commas between
        return cost, float(cost.last_line.split(", ")[1].split()[0])

    def write_steadily(self, kafka, topic, load, codec, pace):
        cost = measure(*self.command(kafka, topic, load, codec, pace.records, pace.rate,
                                     "--warmup-records", pace.not_counted))
        percentiles = {words[-1].rstrip("."): float(words[0])
                       for words in (field.split() for field in cost.last_line.split(", ")) if words[1:2] == ["ms"]}
        return [percentiles[which] for which in ("50th", "99th", "99.9th")]


CLIENTS = {
    "hop": Library("hop", "hop", "its defaults", BUILT / "produce-hop"),
    "rdkafka": Library("rdkafka", "librdkafka (rdkafka)", "acks=all, enable.idempotence=true, linger.ms=5; else its "
                       "defaults: batches of 1 MB, queues of 100,000 records and 1 GB"),
    "publish": Publish("hop publish", ["hop"], "its defaults; the alerts are the lines of its input, ids are its own; with "
                       "starting up"),
    "kcat": Kcat("kcat -P", ["venv"], "as librdkafka; the alerts are the lines of its input, all with the same id; with "
                 "starting up"),
    "franz-go": FranzGo("franz-go", "its defaults: batches of 1 MB, linger of 10 ms, 50,000 records at a time"),
    "java": Java("Java's perf-test", [], "its defaults: batches of 16 KiB, linger of 5 ms, 32 MiB of memory; any of the "
                 "alerts, without headers; records/s as it counts them, without starting up, CPU and memory of all; "
                 "latencies from sending and in whole milliseconds"),
    "rskafka": Library("rskafka", "rskafka", "not idempotent; batches of 500 kB and at most 32 MiB or 100,000 records at "
                       "a time, for which it has no defaults; linger of 5 ms"),
    "krafka": Library("krafka", "krafka", "its defaults: batches of 16 KiB, linger of 5 ms, 32 MiB of memory"),
}


# ---- Measuring -------------------------------------------------------------------------------------------------


@dataclass
class Result:
    """Medians; those of the latencies are None where the client cannot tell."""

    rate: float
    cpu: float
    peak_mb: float
    latencies: list | None = None


def compare(kafka, load, codec, clients, arguments):
    """All clients with one size and codec; prints their part of the table."""
    def on_a_topic(number, client, records, write):
        topic = f"bench-{load.size}-{codec}-{number}"
        kafka.new_topic(topic, PARTITIONS)
        outcome = write(client, topic)
        written = kafka.count(topic, PARTITIONS)
        if written != records:
            sys.exit(f"{client.label} left {written} records on the topic, not {records}")
        kafka.delete_topic(topic)
        return outcome

    def in_rounds(names, records, write):
        figures = {name: [] for name in names}
        for number in range(arguments.rounds):
            # Nobody always follows the same one.
            turn = number % len(names)
            for name in names[turn:] + names[:turn]:
                figures[name].append(on_a_topic(f"{name}-{number}", clients[name], records, write))
        return {name: list(map(median, zip(*rounds))) for name, rounds in figures.items()}

    def fast(client, topic):
        cost, rate = client.write(kafka, topic, load, codec)
        return rate, cost.cpu / load.records * 1e6, cost.peak_mb

    # So that the broker has done it all before.
    on_a_topic("warm-up", next(iter(clients.values())), load.records, fast)
    results = {name: Result(*figures) for name, figures in in_rounds(list(clients), load.records, fast).items()}
    if arguments.seconds > 0:
        pace = half_load(results, arguments.seconds)

        def steadily(client, topic):
            return client.write_steadily(kafka, topic, load, codec, pace)

        able = [name for name, client in clients.items() if client.tells_latencies]
        print(f"{load.size:>6} {codec:7}half load: {pace.rate:,} records/s", flush=True)
        for name, latencies in in_rounds(able, pace.records, steadily).items():
            results[name].latencies = latencies
    for name, result in results.items():
        print_row(load, codec, clients[name], result, results.get("rdkafka"))
    return results


def half_load(results, seconds):
    rates = [results[name].rate for name in ("hop", "rdkafka") if name in results]
    half = min(rates or [result.rate for result in results.values()]) / 2
    # Two digits count.
    rate = max(int(float(f"{half:.1e}")), 1)
    return Pace(rate, (WARM_UP_SECONDS + seconds) * rate, WARM_UP_SECONDS * rate)


def print_row(load, codec, client, result, rdkafka):
    ratio = f"{result.cpu / rdkafka.cpu:.2f}" if rdkafka else "-"
    latencies = [f"{latency:.2f}" for latency in result.latencies or []] or ["-"] * 3
    print(f"{load.size:>6} {codec:7}{client.label:22}{result.rate:12,.0f}"
          f"{result.rate * load.bytes / load.records / 1e6:9.1f}{result.cpu:15.3f}{ratio:>15}{result.peak_mb:9.1f}"
          + "".join(f"{latency:>10}" for latency in latencies), flush=True)


def check(results, targets):
    print()
    for (size, codec), clients in results.items():
        if "hop" not in clients:
            continue
        row, own, peer = f"{size} B {codec}", clients["hop"], clients.get("rdkafka")
        if peer:
            targets.check(f"{row}: hop takes {own.cpu / peer.cpu:.2f} of librdkafka's CPU, at most {LESS_CPU}",
                          own.cpu <= LESS_CPU * peer.cpu)
            targets.check(f"{row}: hop writes {own.rate / peer.rate:.2f} times as fast as librdkafka, at least 1",
                          own.rate >= peer.rate)
        if peer and own.latencies and peer.latencies:
            targets.check(f"{row}: hop's p99 is {own.latencies[1]:.2f} ms, at most librdkafka's "
                          f"{peer.latencies[1]:.2f}", own.latencies[1] <= peer.latencies[1])
        targets.check(f"{row}: hop takes {own.peak_mb:.1f} MB, at most {MOST_MEMORY_MB:.1f}: 32 MiB of records, and 30",
                      own.peak_mb <= MOST_MEMORY_MB)


if __name__ == "__main__":
    main()
