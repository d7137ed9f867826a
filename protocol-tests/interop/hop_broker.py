"""A `hop broker` for the interop tests, with the face of the real Kafka in support.py."""

import os
import secrets
import signal
import subprocess
import tempfile
from pathlib import Path

from confluent_kafka.admin import AdminClient

from support import ROOT, Kafka, find_program

USERS = ["admin", "hop", "outsider", "comma,equals=user"]
FORBIDDEN = "forbidden"


class HopBroker(Kafka):
    """A broker with a listener for anybody and one with TLS and users, in a directory of its own."""

    def __init__(self, *options):
        self.version = "hop"
        self.scratch = tempfile.TemporaryDirectory(prefix="hop-broker-")
        self.directory = Path(self.scratch.name)
        self.passwords = {user: secrets.token_urlsafe(12) for user in USERS}
        self.tricky_user = "comma,equals=user"
        self.forbidden_topic = FORBIDDEN
        self.proxied = ""
        users = []
        for number, (user, password) in enumerate(self.passwords.items()):
            file = self.directory / f"password-{number}"
            file.write_text(password + "\n", encoding="utf-8")
            users += ["--user", f"{user}:{file}"]
        program = find_program("HOP_BIN", ROOT / "target" / "release" / "hop")
        self.log = open(self.directory / "log", "w+", encoding="utf-8")
        self.process = subprocess.Popen(
            [program, "broker", "--verbose", "--listen", "localhost:0", "--plaintext", "localhost:0", "--tls", *users,
             "--data", str(self.directory / "data"), "--topic", f"{FORBIDDEN}:1", "--deny", f"outsider:describe:{FORBIDDEN}", *options],
            cwd=self.directory, stdout=subprocess.PIPE, stderr=self.log, text=True, env=os.environ)
        ready = self.process.stdout.readline()
        assert ready.startswith("listening on kafka://"), self.log_text()
        self.sasl_ssl = ready.strip().removeprefix("listening on kafka://")
        self.plaintext = self.log_text().split("it listens on kafka://")[1].split()[0]
        self.ca = str(self.directory / "data" / "ca.pem")
        self.other_ca = other_ca(self.directory)
        self.admin = AdminClient({"bootstrap.servers": self.plaintext})

    def log_file(self, topic):
        return self.directory / "data" / "logs" / f"{topic}-0" / f"{0:020}.log"

    def log_text(self):
        return Path(self.log.name).read_text(encoding="utf-8")

    def stop(self):
        """Ends it as an operator does, and wants it to end well."""
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(20) == 0, self.log_text()
        assert "panicked" not in self.log_text()
        assert "error:" not in self.log_text(), self.log_text()
        self.log.close()
        self.scratch.cleanup()


def other_ca(directory):
    """An authority that has signed nothing here."""
    path = directory / "other-ca.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days",
                    "30", "-subj", "/CN=somebody else", "-keyout", directory / "other.key", "-out", path],
                   check=True, capture_output=True)
    return str(path)
