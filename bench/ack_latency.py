"""How long one record takes from `send` to its acknowledgement on loopback, with one in flight.

Beside it stands what the broker takes by itself: a request with one record that was made beforehand, written to a bare
socket and answered there. Both take turns, record by record; the table has the medians of the rounds.
"""

import argparse

from measuring import BUILT, Kafka, Targets, add_common_options, machine, median, prepare, run

TOPIC = "ack-latency"
# What comes while things warm up is left out.
NOT_COUNTED = 1000
MOST_OF_BARE = 1.2


def main():
    arguments = parse()
    prepare(["acknowledge"], arguments.realtime)
    targets = Targets()
    rounds = []
    with Kafka(arguments.keep) as kafka:
        print(f"Kafka {kafka.version}, {arguments.rounds} rounds of {arguments.records} records of 1024 B, {machine()}")
        print(f"\n{'microseconds':14}{'hop p50':>12}{'p99':>10}{'bare p50':>12}{'p99':>10}{'p50 of bare':>14}")
        for number in range(arguments.rounds):
            kafka.new_topic(TOPIC, 1)
            figures = run(BUILT / "acknowledge", kafka.plaintext, TOPIC, arguments.records, NOT_COUNTED).split()
            written = kafka.count(TOPIC, 1)
            assert written == 2 * (NOT_COUNTED + arguments.records), f"{written} records are on the topic"
            kafka.delete_topic(TOPIC)
            own, own_p99, bare, bare_p99 = map(float, figures)
            rounds.append((own, own_p99, bare, bare_p99, own / bare))
            print_row(f"round {number + 1}", rounds[-1])
        medians = list(map(median, zip(*rounds)))
        print_row("medians", medians)
        print(f"\nAt the end: {machine()}\n")
    ratio = medians[-1]
    targets.check(f"send to acknowledgement takes {ratio:.2f} of a bare request's time, at most {MOST_OF_BARE}",
                  ratio <= MOST_OF_BARE)
    targets.close()


def parse():
    parser = argparse.ArgumentParser(prog="scripts/bench ack-latency", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=5000, help="of each kind in a round (default 5000)")
    add_common_options(parser, 5)
    return parser.parse_args()


def print_row(name, figures):
    own, own_p99, bare, bare_p99, ratio = figures
    print(f"{name:14}{own:12.1f}{own_p99:10.1f}{bare:12.1f}{bare_p99:10.1f}{ratio:14.2f}", flush=True)


if __name__ == "__main__":
    main()
