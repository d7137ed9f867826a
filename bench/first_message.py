"""How long it takes to type a command and see the one message of a topic, over SASL_SSL with SCRAM-SHA-512.

The commands take turns; the table has the medians of the seconds until the message is there and until the command has
ended, and of what it took of the processor.
"""

import argparse
import tempfile
from pathlib import Path

from measuring import (BUILT, VENV, Kafka, Targets, add_common_options, hop, kcat, machine, measure, median, prepare,
                       run, version_of_kcat)

TOPIC = "bench-first-message"
USER = "admin"
TIMES_FASTER = {"hop-client subscribe": 30, "kcat -C -e": 3}


def main():
    arguments = parse()
    prepare(["fill", "measure", "hop", "venv"], arguments.realtime)
    targets = Targets()
    with Kafka(arguments.keep) as kafka, tempfile.TemporaryDirectory() as home:
        print(f"Kafka {kafka.version}, kcat {version_of_kcat()}, {arguments.rounds} rounds, {machine()}")
        if TOPIC not in kafka.filled:
            kafka.new_topic(TOPIC, 1)
            _, size = run(BUILT / "fill", kafka.plaintext, TOPIC, 1, 1, 1024, "none", 1_000_000).split()
            kafka.filled = {**kafka.filled, TOPIC: int(size)}
        write_credential(Path(home), kafka)
        # Python holds back what it prints into a pipe, else.
        own_environment = {"XDG_CONFIG_HOME": home, "PYTHONUNBUFFERED": "1"}
        url = f"kafka://{kafka.sasl_ssl}/{TOPIC}"
        kcat_program, kcat_environment = kcat()
        commands = {
            "hop subscribe": ([hop(), "subscribe", "-s", "EARLIEST", url], own_environment),
            "hop-client subscribe": ([VENV / "hop", "subscribe", "-e", "-s", "EARLIEST", url], own_environment),
            "kcat -C -e": ([kcat_program, "-C", "-e", "-q", "-u", "-o", "beginning", "-b", kafka.sasl_ssl, "-t", TOPIC,
                            "-X", "security.protocol=SASL_SSL", "-X", f"ssl.ca.location={kafka.ca}",
                            "-X", "sasl.mechanism=SCRAM-SHA-512", "-X", f"sasl.username={USER}",
                            "-X", f"sasl.password={kafka.passwords[USER]}"], kcat_environment),
        }
        costs = {name: [] for name in commands}
        # The first round is the broker's to warm up.
        for number in range(arguments.rounds + 1):
            for name, (command, environment) in commands.items():
                cost = measure(command, environment)
                assert cost.lines == 1 and cost.last_line.endswith("null]}"), f"{name} printed {cost}"
                if number > 0:
                    costs[name].append(cost)
        print(f"\n{'seconds':24}{'first message':>15}{'end':>10}{'CPU':>10}   at the end: {machine()}")
        medians = {}
        for name, rounds in costs.items():
            figures = zip(*[(cost.first_output, cost.wall, cost.cpu) for cost in rounds])
            first, end, cpu = medians[name] = list(map(median, figures))
            print(f"{name:24}{first:15.4f}{end:10.4f}{cpu:10.4f}")
    print()
    own = medians["hop subscribe"]
    for peer, least in TIMES_FASTER.items():
        for what, mine, theirs in zip(("has the message", "has ended"), own, medians[peer]):
            targets.check(f"hop subscribe {what} {theirs / mine:.1f} times as fast as {peer}, at least {least}",
                          theirs >= least * mine)
    targets.close()


def parse():
    parser = argparse.ArgumentParser(prog="scripts/bench first-message", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    add_common_options(parser, 11)
    return parser.parse_args()


def write_credential(home, kafka):
    """For both programs called hop."""
    file = home / "hop" / "auth.toml"
    file.parent.mkdir()
    file.touch(mode=0o600)
    file.write_text(f'[[auth]]\nusername = "{USER}"\npassword = "{kafka.passwords[USER]}"\nprotocol = "SASL_SSL"\n'
                    f'mechanism = "SCRAM-SHA-512"\nssl_ca_location = "{kafka.ca}"\n', encoding="utf-8")


if __name__ == "__main__":
    main()
