"""Members of a group as processes: ours, `hop subscribe -g`, Java's and librdkafka's. Each leaves a journal of what it
handled and was told, and remembers what was done to it."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from support import ROOT

LIBRDKAFKA_MEMBER = Path(__file__).with_name("librdkafka_member.py")
JAVA_ASSIGNORS = {
    "range": "org.apache.kafka.clients.consumer.RangeAssignor",
    "roundrobin": "org.apache.kafka.clients.consumer.RoundRobinAssignor",
    "cooperative-sticky": "org.apache.kafka.clients.consumer.CooperativeStickyAssignor",
}
# How long an orderly end may take on a busy machine.
PATIENCE = 60


def now():
    """Milliseconds since 1970, as the journals have them."""
    return time.time_ns() // 1_000_000


@dataclass(frozen=True)
class Setting:
    """What all members of a group have in common."""

    bootstrap: str
    topic: str
    group: str
    # classic or consumer.
    protocol: str
    assignors: tuple
    session_ms: int
    heartbeat_ms: int
    # The programs.
    group_member: Path
    hop: Path
    java: tuple
    folder: Path


@dataclass(frozen=True)
class Slot:
    """A place in the group that is filled by one process after the other."""

    name: str
    kind: str
    # Of ours: how it commits; by-hand, by-itself, record-by-record.
    commits: str = "by-hand"
    static: bool = False
    # Where it does not speak what the group does by default.
    protocol: str = None

    @property
    def is_ours(self):
        return self.kind in ("ours", "hop")


@dataclass
class Member:
    """One process, and what was done to it."""

    slot: Slot
    name: str
    setting: Setting
    process: subprocess.Popen = None
    started: int = 0
    # When it was told to leave, and when it was killed.
    told_to_leave: int = None
    killed: int = None
    # Pairs of milliseconds; the last is open while it is paused.
    pauses: list = field(default_factory=list)
    reader: threading.Thread = None

    @property
    def protocol(self):
        return self.slot.protocol or self.setting.protocol

    @property
    def client_id(self):
        """As the group knows it: a static member that comes back is the same to it."""
        return self.slot.name if self.slot.static else "hop" if self.slot.kind == "hop" else self.name

    @property
    def journal(self):
        return self.setting.folder / f"{self.name}.jsonl"

    @property
    def is_paused(self):
        return bool(self.pauses) and self.pauses[-1][1] is None

    def start(self):
        command = {"ours": ours, "hop": hop, "java": java, "librdkafka": librdkafka}[self.slot.kind](self)
        self.started = now()
        errors = open(self.setting.folder / f"{self.name}.log", "ab")
        journal = open(self.journal, "ab")
        # hop prints what it reads and nothing else: whoever reads that keeps the journal.
        prints = self.slot.kind == "hop"
        with errors, journal:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=errors,
                                            stdout=subprocess.PIPE if prints else journal, env=self.environment())
        if prints:
            self.reader = threading.Thread(target=self.keep_journal)
            self.reader.start()

    def environment(self):
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("HOP_", "RUST_"))}
        return {**kept, "XDG_CONFIG_HOME": str(self.setting.folder), "LC_ALL": "C.UTF-8"}

    def keep_journal(self):
        with open(self.journal, "a", encoding="utf-8") as journal:
            for line in self.process.stdout:
                print(json.dumps({"at": now(), "event": "printed", "value": line.decode().strip()}),
                      file=journal, flush=True)

    def leave(self):
        self.told_to_leave = now()
        self.process.send_signal(signal.SIGTERM)

    def kill(self):
        self.process.kill()
        self.ended()
        self.killed = now()
        if self.is_paused:
            self.pauses[-1][1] = self.killed

    def pause(self):
        self.pauses.append([now(), None])
        self.process.send_signal(signal.SIGSTOP)

    def resume(self):
        self.process.send_signal(signal.SIGCONT)
        self.pauses[-1][1] = now()

    def ended(self):
        """Waits for the end of a process that was told to; gives back its exit code."""
        code = self.process.wait(PATIENCE)
        if self.reader:
            self.reader.join()
        return code

    def is_up(self):
        """Whether it hears signals; hop does at once, and says nothing."""
        return self.slot.kind == "hop" or b'"start' in self.journal.read_bytes()[:500]

    def complaint(self):
        """The last it said on stderr."""
        return (self.setting.folder / f"{self.name}.log").read_text(encoding="utf-8", errors="replace")[-3000:]

    def events(self):
        """The journal, a line a dictionary, in the words of `examples/group_member.rs`."""
        lines = self.journal.read_text(encoding="utf-8").splitlines()
        # A process that was killed may have been in the middle of a line.
        entries = [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]
        if self.slot.kind == "java":
            return [event for entry in entries for event in from_java(entry)]
        return entries


def options(member):
    setting = member.setting
    words = ["--bootstrap", setting.bootstrap, "--topic", setting.topic, "--group", setting.group,
             "--client-id", member.client_id, "--protocol", member.protocol,
             "--session-ms", str(setting.session_ms), "--heartbeat-ms", str(setting.heartbeat_ms)]
    return words + (["--assignors", ",".join(setting.assignors)] if member.protocol == "classic" else [])


def ours(member):
    words = [member.setting.group_member, *options(member), "--commits", member.slot.commits]
    return words + (["--instance-id", member.slot.name] if member.slot.static else [])


def hop(member):
    setting = member.setting
    return [setting.hop, "subscribe", "--no-auth", "--raw", "-p", "-s", "EARLIEST", "-g", setting.group,
            f"kafka://{setting.bootstrap.split(',')[0]}/{setting.topic}"]


def librdkafka(member):
    return [sys.executable, LIBRDKAFKA_MEMBER, *options(member)]


def java(member):
    setting = member.setting
    properties = {"client.id": member.client_id}
    words = ["--bootstrap-server", setting.bootstrap, "--topic", setting.topic, "--group-id", setting.group,
             "--group-protocol", member.protocol.upper()]
    if member.protocol == "classic":
        properties["heartbeat.interval.ms"] = setting.heartbeat_ms
        words += ["--session-timeout", str(setting.session_ms),
                  "--assignment-strategy", ",".join(JAVA_ASSIGNORS[name] for name in setting.assignors)]
    file = setting.folder / f"{member.name}.properties"
    file.write_text("".join(f"{name}={value}\n" for name, value in properties.items()), encoding="utf-8")
    return [*setting.java, "org.apache.kafka.tools.VerifiableConsumer", *words, "--consumer.config", file]


def from_java(entry):
    """What VerifiableConsumer says. It does not tell what is lost from what is revoked."""
    at = entry["timestamp"]
    numbers = sorted(partition["partition"] for partition in entry.get("partitions", ()))
    match entry["name"]:
        case "records_consumed":
            for partition in entry["partitions"]:
                first, last = partition["minOffset"], partition["maxOffset"]
                assert partition["count"] == last - first + 1, f"a gap in {partition}"
                yield {"at": at, "event": "handled", "partition": partition["partition"], "first": first, "last": last}
        case "startup_complete":
            yield {"at": at, "event": "started"}
        case "partitions_assigned":
            yield {"at": at, "event": "assigned", "partitions": numbers}
        case "partitions_revoked":
            yield {"at": at, "event": "revoking", "partitions": numbers}
        case "offsets_committed" if not entry["success"]:
            refused = sorted(offset["partition"] for offset in entry["offsets"])
            yield {"at": at, "event": "refused", "partitions": refused, "error": entry.get("error")}
        case "shutdown_complete":
            yield {"at": at, "event": "left"}


def java_command(libraries, logging):
    """How to run one of Kafka's tools, with as little of the machine as it can do with."""
    return ("java", "-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
            f"-Dlog4j.configuration=file:{logging}/tools-log4j.properties",
            f"-Dlog4j2.configurationFile={logging}/tools-log4j2.properties",
            "-cp", f"{libraries}/*")


def build_group_member():
    """The program of ours, built if need be; cargo says where it is."""
    built = subprocess.run(
        ["cargo", "build", "--locked", "-p", "protocol-tests", "--example", "group_member",
         "--message-format", "json-render-diagnostics"],
        cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    found = re.findall(r'"executable":"([^"]*/group_member)"', built)
    assert found, "cargo built no group_member"
    return Path(found[-1])
