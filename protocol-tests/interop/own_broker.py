"""A `hop broker` at an address of its own, which a test stops and starts as it likes."""

import secrets
import signal
import socket
import subprocess

from support import PATIENCE


class OwnBroker:
    """Keeps what it has in a directory. `users` are let in, and nobody else; where there are none, everybody is."""

    def __init__(self, program, directory, *topics, users=()):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{free.getsockname()[1]}"
        self._program, self._directory = program, directory
        self._topics = [option for topic in topics for option in ("--topic", topic)]
        self.passwords = {user: secrets.token_urlsafe(12) for user in users}
        self.process = None
        for user, password in self.passwords.items():
            (directory / f"password-{user}").write_text(password + "\n", encoding="utf-8")
        self.start(*users)

    def start(self, *users):
        """Starts it for these of the users."""
        let_in = [option for user in users for option in ("--user", f"{user}:{self._directory}/password-{user}")]
        self.process = self._program.start("broker", "-q", "--listen", self.address, "--data", self._directory / "data",
                                           *self._topics, *let_in, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert self.process.stdout.readline().startswith(b"listening on")

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(PATIENCE) == 0

    def kill(self):
        self.process.kill()
        self.process.wait()

    def credential(self, user):
        """Of a user, for `Home.add`."""
        return {"username": user, "password": self.passwords[user], "protocol": "SASL_PLAINTEXT",
                "mechanism": "SCRAM-SHA-512"}

    def url(self, topic):
        return f"kafka://{self.address}/{topic}"
