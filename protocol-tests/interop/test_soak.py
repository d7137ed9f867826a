"""A subscriber that runs for long while its broker comes and goes: it skips nothing, and needs no more of anything.

`scripts/soak HOURS` lets it run for longer than the tests do.
"""

import os
import random
import socket
import subprocess
import time
from pathlib import Path

from support import publish
from watching import Feeder, Reader, wait_until

SECONDS = float(os.environ.get("SOAK_SECONDS", "90"))
# Until then buffers and tables may grow to what they need: for a backlog that is longer than any that comes later.
WARM_UP = 30
BACKLOG = 50_000
MOST_GROWTH = 2 * 1024 * 1024


class Broker:
    """A `hop broker` at one address, which is killed and started again."""

    def __init__(self, ours, directory):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{free.getsockname()[1]}"
        self.start = lambda: ours.start("broker", "-q", "--listen", self.address, "--data", str(directory),
                                        "--topic", "numbers:3", stdout=subprocess.PIPE,
                                        stderr=subprocess.DEVNULL)
        self.process = None

    def up(self):
        self.process = self.start()
        assert self.process.stdout.readline().startswith(b"listening on")

    def kill(self):
        self.process.kill()
        self.process.wait()


def resident_bytes(process):
    return int(Path(f"/proc/{process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def descriptors(process):
    return len(list(Path(f"/proc/{process.pid}/fd").iterdir()))


def numbers(reader):
    return {number for number in reader.numbers if number >= 0}


def test_a_broker_that_comes_and_goes(ours, tmp_path):
    broker = Broker(ours, tmp_path / "data")
    broker.up()
    url = f"kafka://{broker.address}/numbers"
    ours.run("publish", "--no-auth", url, stdin=b'{"number": -1}\n' * BACKLOG).ok()
    feeder = Feeder(ours, "--no-auth", url, pause=0.005)
    readers = {"alone": Reader(ours, "--no-auth", "-p", "-s", "EARLIEST", url),
               "in a group": Reader(ours, "--no-auth", "-p", "-s", "EARLIEST", "-g", "soak", url)}
    chance = random.Random(SECONDS)
    restarts = 0
    began = time.monotonic()
    grown = {}
    try:
        wait_until(lambda: all(len(reader.lines) > BACKLOG for reader in readers.values()), what="the backlog")
        while time.monotonic() < began + SECONDS:
            # A `hop broker` that is killed forgets who is in a group: a member hears of it with its next heartbeat, and
            # commits nothing that it reads until then.
            time.sleep(chance.uniform(2, 9))
            broker.kill()
            time.sleep(chance.uniform(0, 0.5))
            broker.up()
            restarts += 1
            seen = {name: len(reader.lines) for name, reader in readers.items()}
            wait_until(lambda: all(len(reader.lines) > seen[name] for name, reader in readers.items()),
                       what="reading to go on")
            if time.monotonic() > began + WARM_UP:
                for name, reader in readers.items():
                    least, most, files = grown.get(name, (2**63, 0, 0))
                    now = resident_bytes(reader.process)
                    grown[name] = (min(least, now), max(most, now), max(files, descriptors(reader.process)))
        count = feeder.stop()
        wait_until(lambda: all(numbers(reader) == set(range(count)) for reader in readers.values()),
                   what=f"all {count} numbers")
    finally:
        for process in (*readers.values(), feeder, broker):
            process.kill()
    assert len(readers["alone"].lines) == BACKLOG + count, "without a group, nothing comes twice"
    report = [f"{SECONDS:.0f} s, {restarts} restarts, {count} messages"]
    for name, (least, most, files) in grown.items():
        report.append(f"  {name:10}  {least} to {most} bytes, up to {files} descriptors")
        assert most - least <= MOST_GROWTH and files < 30, report
    publish("soak", "\n".join(report) + "\n")
