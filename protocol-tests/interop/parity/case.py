"""A command line and what surrounds it; and what came of it, in one of the two programs."""

import json
import os
import re
import shlex
import string
import tomllib
import uuid
from dataclasses import dataclass, field

# What is compared: the bytes of standard output and of the files; of standard error, whether anything was said.
ASPECTS = ("code", "stdout", "file", "config", "credentials", "mode", "stored", "stderr")

# A credential, so that nothing is said of there being none; no broker lets it in.
ONE = '[[auth]]\nusername = "somebody"\npassword = "secret"\n'

# Those of the broker's listener with TLS.
HOP = '[[auth]]\nusername = "hop"\npassword = "$password"\nssl_ca_location = "$ca"\n'

# For a command that is not expected to end by itself.
LONG = 10

KNOWN_KEYS = {"username", "password", "protocol", "mechanism", "token_endpoint", "token_command", "hostname",
              "ssl_ca_location"}

# What librdkafka says by itself, at its own time: %3|1795738707.407|FAIL|rdkafka#producer-1| ...
NOISE = re.compile(rb"^%\d\|.*\n?", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class Case:
    """What both programs are given, and where they are meant to differ.

    In commands and files $plain and $secure are the URLs of the broker's listeners without a topic, $address and
    $broker the same without the scheme; $topic and $other are topics of this case alone, $group a consumer group;
    $password and $ca are what HOP is made of.
    """

    name: str
    command: str
    # What the files in the configuration directory hold; None where they are not there.
    auth: str | bytes | None = ONE
    config: str | None = None
    mode: int = 0o600
    # Files in the working directory.
    files: dict = field(default_factory=dict)
    stdin: bytes = b""
    # Lines for a terminal that the command runs at, one for each question.
    typed: tuple[str, ...] = ()
    env: dict = field(default_factory=dict)
    # Values, or pairs of values and headers, that $topic and $other have.
    messages: tuple = ()
    others: tuple = ()
    # Both programs get a $topic of their own, and what is in it afterwards is compared.
    stores: bool = False
    # How often the command is run; what it prints is compared as a whole.
    runs: int = 1
    # Options for our program alone, with which it does what the other one does without.
    ours: str = ""
    # What is printed is a text for people, of each program's own: it is compared whether there is any.
    prose: bool = False
    # No other case is to run at the same time: they make topics.
    alone: bool = False
    # How long the command may take; one that goes on is ended then, and has the exit code None.
    patience: float = 60
    # The empty line with which Python's hop ends the credential file counts, too.
    last_line: bool = False
    # Aspects that are meant to differ, each with the reason.
    differs: dict = field(default_factory=dict)

    def words(self, names, mine):
        line = f"{self.command} {self.ours}" if mine else self.command
        return [string.Template(word).substitute(names) for word in shlex.split(line)]

    def mentions(self, name):
        return name in self.command

    def prepare(self, directory, names):
        """Makes the directory in which it runs."""
        for name in ("config/hop", "home"):
            (directory / name).mkdir(parents=True)
        for path, content, mode in [(auth_file(directory), self.auth, self.mode),
                                    (directory / "config/hop/config.toml", self.config, self.mode),
                                    *((directory / name, content, 0o600) for name, content in self.files.items())]:
            if content is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content if isinstance(content, bytes) else filled(content, names).encode())
                path.chmod(mode)

    def environment(self, directory):
        variables = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "HOME": str(directory / "home"),
                     "XDG_CONFIG_HOME": str(directory / "config"), **self.env}
        return {name: value for name, value in variables.items() if value is not None}


def auth_file(directory):
    return directory / "config" / "hop" / "auth.toml"


def filled(text, names):
    return string.Template(text).safe_substitute(names)


def outcome(case, directory, codes, out, err, messages):
    """All that is compared, by aspect."""
    path = auth_file(directory)
    if not path.exists():
        path = directory / "home" / ".config" / "hop" / "auth.toml"
    config = directory / "config" / "hop" / "config.toml"
    out = out.replace(os.fsencode(directory), b"$directory")
    content = path.read_bytes() if path.exists() else None
    shown = content
    if content is not None and not case.last_line:
        shown = content.removesuffix(b"\n\n") + b"\n" if content.endswith(b"\n\n") else content
    return {
        "code": codes,
        "stdout": bool(out.strip()) if case.prose else out,
        "stderr": bool(NOISE.sub(b"", err).strip()),
        "file": shown and shown.replace(os.fsencode(directory), b"$directory"),
        "credentials": credentials(content),
        "mode": oct(path.stat().st_mode) if path.exists() else None,
        "config": config.read_bytes() if config.exists() else None,
        "stored": [record(message) for message in messages],
    }


def credentials(content):
    """What a credential file says, whatever its layout, with what goes without saying and without unknown keys."""
    try:
        stored = tomllib.loads(content.decode())["auth"]
    except (AttributeError, KeyError, ValueError):
        return content
    stored = [stored] if isinstance(stored, dict) else stored
    if not all(isinstance(entry, dict) for entry in stored):
        return content
    return [known(entry) for entry in stored]


def known(entry):
    mechanism = "OAUTHBEARER" if {"token_endpoint", "token_command"} & set(entry) else "SCRAM-SHA-512"
    stored = {key: value for key, value in entry.items() if key in KNOWN_KEYS}
    return {"protocol": "SASL_SSL", "mechanism": mechanism, "hostname": "", **stored}


def record(message):
    """What a consumer sees of a message; of what is random, its form."""
    return (message.value(), message.key(), [(name, form(name, value)) for name, value in message.headers() or []])


def form(name, value):
    if name != "_id":
        return value
    return f"a UUID of version {uuid.UUID(bytes=value).version}" if len(value) == 16 else value


def explain(case, theirs, ours):
    """What is wrong with a case: each aspect that differs without a reason, or has a reason without a difference."""
    wrong = []
    for aspect in ASPECTS:
        # What a command had said when it was ended is chance.
        if aspect == "stderr" and None in theirs["code"] + ours["code"]:
            continue
        same = theirs[aspect] == ours[aspect]
        if same and aspect in case.differs:
            wrong.append(f"{aspect}: no longer differs ({case.differs[aspect]}); both: {shown(ours[aspect])}")
        elif not same and aspect not in case.differs:
            wrong.append(f"{aspect}:\n    hop-client: {shown(theirs[aspect])}\n    ours:       {shown(ours[aspect])}")
    return wrong


def shown(value):
    text = value if isinstance(value, bytes) else json.dumps(value, default=repr)
    return repr(text[:2000])
