"""A release of hop-client, running."""

import base64
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

from support import PATIENCE, ROOT

CODE = ROOT / "target" / "peers" / "hop-client"
NEWEST = "0.13.0"


class Release:
    """The speaker of one release, with the credentials of a home. It is asked from one thread at a time."""

    def __init__(self, version, home=None):
        self.version = version
        # That of the newest is in the environment itself.
        code = [] if version == NEWEST else [str(CODE / version)]
        kept = {name: value for name, value in os.environ.items() if not name.startswith("HOP_")}
        environment = {**kept, "LC_ALL": "C.UTF-8", "PYTHONPATH": os.pathsep.join(code)}
        if home is not None:
            environment["XDG_CONFIG_HOME"] = str(home.path)
        self.process = subprocess.Popen([sys.executable, Path(__file__).with_name("speaker.py")], text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
        self.lock = threading.Lock()
        assert self.ask(version=None) == version

    def ask(self, **request):
        with self.lock:
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        assert line, f"hop-client {self.version} ended: it says why on standard error"
        return json.loads(line)

    def load(self, format, files):
        return self.ask(load=[str(path) for path in files], format=format)

    def decode(self, messages):
        return self.ask(decode=[[coded(message.format), coded(message.content)] for message in messages])

    def write(self, format, files, url):
        return self.ask(write=[str(path) for path in files], format=format, url=url)

    def read(self, url):
        return self.ask(read=url)

    def stop(self):
        self.process.stdin.close()
        assert self.process.wait(PATIENCE) == 0


def coded(data):
    return base64.b64encode(data).decode() if isinstance(data, bytes) else data
