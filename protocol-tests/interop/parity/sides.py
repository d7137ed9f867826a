"""The two programs, each with a directory of its own for every case."""

import contextlib
import fcntl
import json
import os
import pty
import queue
import re
import select
import subprocess
import sys
import termios
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from confluent_kafka import Producer

from parity.case import outcome
from support import PATIENCE

WARM = Path(__file__).with_name("warm.py")
QUESTION = re.compile(rb": \Z")


class Ours:
    """A program that is started for each command line."""

    mine = True

    def __init__(self, path):
        self.path = str(path)

    def run(self, words, directory, environment, files, patience):
        with (open(files["stdin"], "rb") as stdin, open(files["stdout"], "wb") as out,
              open(files["stderr"], "wb") as err):
            try:
                return subprocess.run([self.path, *words], stdin=stdin, stdout=out, stderr=err, env=environment,
                                      cwd=directory, timeout=patience, start_new_session=True).returncode
            except subprocess.TimeoutExpired:
                return None


class Theirs(Ours):
    """Python's hop: kept warm, but for a terminal."""

    mine = False

    def __init__(self, path, count):
        super().__init__(path)
        self.processes = [subprocess.Popen([sys.executable, WARM], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                           text=True, env={**os.environ, "LC_ALL": "C.UTF-8"}) for _ in range(count)]
        self.idle = queue.SimpleQueue()
        for process in self.processes:
            self.idle.put(process)

    def run(self, words, directory, environment, files, patience):
        request = {"words": words, "directory": str(directory), "environment": environment, "patience": patience,
                   **{name: str(path) for name, path in files.items()}}
        process = self.idle.get()
        try:
            process.stdin.write(json.dumps(request) + "\n")
            process.stdin.flush()
            return json.loads(process.stdout.readline())
        finally:
            self.idle.put(process)

    def stop(self):
        for process in self.processes:
            process.stdin.close()
            assert process.wait(10) == 0


class Pair:
    """Both of them, on one broker."""

    def __init__(self, kafka, ours, theirs):
        self.kafka, self.ours, self.theirs = kafka, ours, theirs
        self.threads = ThreadPoolExecutor(2 * len(theirs.processes))

    def run(self, case, directory):
        """What became of the case in each: theirs, ours."""
        names = {"address": self.kafka.plaintext, "plain": f"kafka://{self.kafka.plaintext}",
                 "broker": self.kafka.sasl_ssl, "secure": f"kafka://{self.kafka.sasl_ssl}", "ca": self.kafka.ca,
                 "password": self.kafka.passwords["hop"], "outsider": self.kafka.passwords["outsider"],
                 "forbidden": self.kafka.forbidden_topic}
        for name, messages in [("topic", case.messages), ("other", case.others)]:
            if case.mentions(f"${name}") and not (case.stores and name == "topic"):
                names[name] = self.kafka.new_topic()
                self.fill(names[name], messages)
        sides = (self.theirs, self.ours)
        return tuple(self.threads.map(lambda side: self.run_one(case, side, directory, names), sides))

    def run_one(self, case, side, directory, names):
        directory = directory / ("ours" if side.mine else "theirs")
        names = {**names, "group": f"parity-{directory.parent.name}-{directory.name}"}
        if case.stores and case.mentions("$topic"):
            names["topic"] = self.kafka.new_topic()
            self.fill(names["topic"], case.messages)
        case.prepare(directory, names)
        words = case.words(names, side.mine)
        environment = case.environment(directory)
        codes, out, err = [], b"", b""
        for number in range(case.runs):
            files = {name: directory.with_name(f"{directory.name}-{number}.{name}")
                     for name in ("stdin", "stdout", "stderr")}
            files["stdin"].write_bytes(case.stdin)
            if case.typed:
                codes.append(at_terminal([side.path, *words], directory, environment, case.typed))
                continue
            codes.append(side.run(words, directory, environment, files, case.patience))
            out += files["stdout"].read_bytes()
            err += files["stderr"].read_bytes()
        stored = self.kafka.read_all(names["topic"]) if case.stores and "topic" in names else []
        result = outcome(case, directory, codes, out, err, stored)
        result["said"] = (out, err)
        return result

    def fill(self, topic, messages):
        producer = Producer({"bootstrap.servers": self.kafka.plaintext})
        for message in messages:
            value, headers = message if isinstance(message, tuple) else (message, None)
            producer.produce(topic, value, headers=headers)
        assert producer.flush(PATIENCE) == 0


def at_terminal(command, directory, environment, typed, patience=PATIENCE):
    """Runs a command whose three streams are a terminal, and answers its questions."""
    master, terminal = pty.openpty()
    process = subprocess.Popen(command, stdin=terminal, stdout=terminal, stderr=terminal, cwd=directory,
                               env=environment, start_new_session=True,
                               preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
    os.close(terminal)
    answers = iter(typed)
    unanswered = b""
    deadline = time.monotonic() + patience
    # The terminal is gone when the command is: that is an error to Linux.
    with contextlib.suppress(OSError):
        while select.select([master], [], [], deadline - time.monotonic())[0]:
            unanswered += os.read(master, 4096)
            if QUESTION.search(unanswered):
                os.write(master, next(answers, "").encode() + b"\n")
                unanswered = b""
    os.close(master)
    return process.wait(patience)
