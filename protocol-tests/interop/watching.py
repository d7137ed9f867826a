"""Programs that are watched while they run: what they say and when, and what they cost."""

import json
import os
import subprocess
import threading
import time
from pathlib import Path

from support import PATIENCE


class Reader:
    """A `hop subscribe` in the making; its lines are (time, text)."""

    def __init__(self, program, *arguments):
        self.process = program.start("subscribe", *arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.lines, self.said = [], []
        self._threads = [threading.Thread(target=note, args=pair, daemon=True)
                         for pair in ((self.process.stdout, self.lines), (self.process.stderr, self.said))]
        for thread in self._threads:
            thread.start()

    @property
    def numbers(self):
        return [json.loads(text)["number"] for _, text in list(self.lines)]

    def cpu_seconds(self):
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def end(self, how):
        """Ends it by this signal; the code and how long it took."""
        asked = time.monotonic()
        self.process.send_signal(how)
        code = self.process.wait(PATIENCE)
        took = time.monotonic() - asked
        for thread in self._threads:
            thread.join()
        return code, took

    def kill(self):
        self.process.kill()
        self.process.wait()


class Feeder:
    """A `hop publish` that sends numbers, one after the other, until it is told to stop."""

    def __init__(self, program, *arguments, pause=0.05):
        self.process = program.start("publish", *arguments, stdin=subprocess.PIPE, stderr=subprocess.PIPE)
        self.count, self._pause, self._stop = 0, pause, threading.Event()
        self._thread = threading.Thread(target=self._feed, daemon=True)
        self._thread.start()

    def stop(self):
        """How many it sent, every one of them acknowledged."""
        self._stop.set()
        self._thread.join()
        complaint = self.process.communicate(timeout=PATIENCE)[1].decode()
        assert self.process.returncode == 0, complaint
        return self.count

    def kill(self):
        self._stop.set()
        self.process.kill()
        self.process.wait()

    def _feed(self):
        while not self._stop.wait(self._pause):
            self.process.stdin.write(b'{"number": %d}\n' % self.count)
            self.process.stdin.flush()
            self.count += 1


def note(pipe, into):
    for line in pipe:
        into.append((time.monotonic(), line.decode("utf-8", "replace").rstrip("\n")))


def wait_until(holds, seconds=PATIENCE, what="it"):
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"waited in vain: {what}"
        time.sleep(0.05)
