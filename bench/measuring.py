"""What the benchmarks have in common: a Kafka, the programs to be measured, and what running one took."""

import json
import os
import signal
import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
KAFKA_SCRIPT = ROOT / "scripts" / "kafka"
PEERS = ROOT / "bench" / "peers"
BUILT = Path(os.environ.get("CARGO_TARGET_DIR", PEERS / "target")) / "release"
OWN_BUILT = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release"
VENV = ROOT / "target" / "peers" / "venv" / "bin"


class Kafka:
    """One node, in a directory of the benchmarks' own."""

    def __init__(self, keep):
        self.directory = ROOT / "target" / "kafka" / "bench"
        self.keep = keep

    def __enter__(self):
        try:
            self._start()
        except BaseException:
            # It may run already.
            self.__exit__()
            raise
        return self

    def _start(self):
        lines = self._script("start").splitlines()
        settings = dict(line.split("=", 1) for line in lines)
        self.version = settings["KAFKA_VERSION"]
        self.plaintext = settings["KAFKA_PLAINTEXT"]
        self.sasl_ssl = settings["KAFKA_SASL_SSL"]
        self.ca = settings["KAFKA_CA"]
        users = Path(settings["KAFKA_USERS_FILE"]).read_text(encoding="utf-8").splitlines()
        self.passwords = dict(line.split("\t") for line in users)
        # Beside the node's data: gone when those are.
        self._filled = self.directory / "node-1" / "filled.json"
        # Not while something is measured: a fresh Kafka has no topic for the offsets of groups.
        self._topic("groups")

    def __exit__(self, *_):
        if not self.keep:
            self._script("stop")

    def new_topic(self, name, partitions):
        self._topic("create", name, partitions)

    def delete_topic(self, name):
        self._topic("delete", name)
        self.filled = {other: size for other, size in self.filled.items() if other != name}

    def count(self, name, partitions):
        """How many records were written to a topic."""
        return int(self._topic("count", name, partitions))

    @property
    def filled(self):
        """The topics that are filled, with the bytes of their values."""
        return json.loads(self._filled.read_text()) if self._filled.exists() else {}

    @filled.setter
    def filled(self, topics):
        self._filled.write_text(json.dumps(topics))

    def libraries(self):
        return self._script("fetch").strip()

    def _topic(self, *arguments):
        return run(BUILT / "topic", self.plaintext, *arguments)

    def _script(self, *arguments):
        return run(KAFKA_SCRIPT, *arguments, "--dir", self.directory)


@dataclass
class Cost:
    """What running a program took."""

    wall: float
    first_output: float
    cpu: float
    peak_mb: float
    lines: int
    bytes: int
    last_line: str


# A command that takes longer hangs.
PATIENCE = 600


def measure(command, environment=None, lines=os.devnull):
    """Runs a command to its end, its input from a file, its output into a pipe."""
    with open(lines, "rb") as standard_input:
        process = subprocess.Popen([BUILT / "measure", *map(str, command)], stdin=standard_input,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace",
                                   env={**os.environ, **(environment or {})}, start_new_session=True)
    try:
        out, complaint = process.communicate(timeout=PATIENCE)
    except BaseException:
        # With what it runs.
        os.killpg(process.pid, signal.SIGKILL)
        raise
    if process.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}: {complaint}{out}")
    figures, last_line = out.splitlines()[:2]
    wall, first_output, user, system, peak, lines, size = figures.split()
    return Cost(float(wall), float(first_output), float(user) + float(system), int(peak) * 1024 / 1e6, int(lines),
                int(size), last_line)


def run(*command, cwd=ROOT):
    """A command's standard output; its failure is the end."""
    done = subprocess.run(list(map(str, command)), stdout=subprocess.PIPE, text=True, cwd=cwd)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))} failed")
    return done.stdout


def prepare(programs, realtime):
    """Builds what is to be measured: names of programs in bench/peers, and `hop`, `franz-go`, `venv`."""
    end_in_one_line()
    programs = {"topic", *programs}
    peers = [argument for program in sorted(programs) if program not in OTHERS for argument in ("--bin", program)]
    # Its lock file follows when the product comes to depend on something else.
    run("cargo", "build", "--quiet", "--release", "--workspace", *peers, cwd=PEERS)
    for program in programs:
        OTHERS.get(program, lambda: None)()
    if realtime:
        come_first()


def end_in_one_line():
    """When it is interrupted, from the terminal or by another program; what it started ends before that."""
    for interruption in (signal.SIGINT, signal.SIGTERM):
        signal.signal(interruption, lambda number, _: sys.exit(f"ended by {signal.Signals(number).name}"))


def build_hop():
    # The user's program: with the optimisations that it is released with.
    if "HOP_BIN" not in os.environ:
        run("cargo", "build", "--quiet", "--release", "--locked")


def build_franz_go():
    run("go", "build", "-o", ROOT / "target" / "bench" / "franz-go", ".", cwd=PEERS / "franz-go")


def install_peers():
    run(ROOT / "scripts" / "peers")


OTHERS = {"hop": build_hop, "franz-go": build_franz_go, "venv": install_peers}


def hop():
    return os.environ.get("HOP_BIN", OWN_BUILT / "hop")


def kcat():
    """kcat and the environment in which it finds the librdkafka of Python's hop-client, which is newer than Debian's:
    that one doubles the client's nonce in SCRAM, which Kafka no longer takes."""
    found = list((VENV.parent / "lib").glob("python*/site-packages/confluent_kafka.libs/librdkafka*.so*"))
    if len(found) != 1:
        sys.exit(f"one librdkafka was expected in {VENV.parent}, not {found}")
    folder = ROOT / "target" / "bench" / "librdkafka"
    folder.mkdir(parents=True, exist_ok=True)
    link = folder / "librdkafka.so.1"
    link.unlink(missing_ok=True)
    link.symlink_to(found[0])
    return "kcat", {"LD_LIBRARY_PATH": str(folder)}


def version_of_kcat():
    """With that of its librdkafka."""
    program, environment = kcat()
    done = subprocess.run([program, "-V"], stdout=subprocess.PIPE, text=True, env={**os.environ, **environment})
    return next(line.split(" builtin")[0].replace("Version ", "") + ")" for line in done.stdout.splitlines()
                if line.startswith("Version "))


def median(figures):
    return statistics.median(figures)


def machine():
    """What the figures were measured on, and what else it did meanwhile."""
    load = " ".join(f"{load:.1f}" for load in os.getloadavg())
    return f"{os.cpu_count()} processors, load average {load}"


def add_common_options(parser, rounds):
    parser.add_argument("--rounds", type=int, default=rounds, help=f"default {rounds}")
    parser.add_argument("--keep", action="store_true", help="leave Kafka and its topics for the next run; then: "
                        "scripts/kafka stop --dir target/kafka/bench")
    parser.add_argument("--realtime", action="store_true", help="for a busy machine: Kafka and what is measured come "
                        "before all else that runs (wants root, and a Kafka that does not run yet)")


def come_first():
    """This process and those that it starts, Kafka among them, get a processor before all others."""
    os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))


class Targets:
    """What is aimed at: said one by one, and whether all are met."""

    def __init__(self):
        self.missed = 0

    def check(self, what, holds):
        if not holds:
            self.missed += 1
        print(f"{'met   ' if holds else 'MISSED'}  {what}")

    def close(self):
        sys.exit(1 if self.missed else 0)
