"""Every command of the guide is run as it stands there, but for the names of the broker and of its topics."""

import os
import re
import shutil
import subprocess

import pytest

from support import ROOT

GUIDE = ROOT / "docs" / "guide.md"
FENCED = re.findall(r"^```sh\n(.*?)^```$", GUIDE.read_text(), re.M | re.S)
BLOCKS = [(" ".join(block.split()[:3]), block) for block in FENCED]
DATA = ROOT / "examples" / "data"
# What goes on for ever is interrupted after a while, and must end well.
PRELUDE = """
hop() {
    case " $* " in
        # Kafka waits three seconds for others to join a new group.
        *" -p "*" -g "*) timeout --preserve-status --signal=INT 10 hop-program "$@" ;;
        *" -p "*) timeout --preserve-status --signal=INT 2 hop-program "$@" ;;
        *) hop-program "$@" ;;
    esac
}
set -euo pipefail
"""


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    """A directory with what the guide takes for granted; its blocks are run in it, in their order."""
    stage = tmp_path_factory.mktemp("guide")
    shutil.copy(DATA / "circular.gcn3", stage)
    shutil.copy(DATA / "voevent.xml", stage)
    (stage / "alerts").mkdir()
    shutil.copy(DATA / "voevent.xml", stage / "alerts" / "1.xml")
    for name, script in [("detect", "echo '{\"flux\": 1.5}'"), ("react", "cat > /dev/null; test -n \"$1\"")]:
        (stage / name).write_text(f"#!/bin/sh\n{script}\n")
        (stage / name).chmod(0o755)
    return stage


@pytest.fixture(scope="module")
def topics():
    return {}


@pytest.mark.parametrize("number", range(len(BLOCKS)), ids=[f"{n}-{title}" for n, (title, _) in enumerate(BLOCKS)])
def test_commands(kafka, home, ours, stage, topics, number):
    home.add_user(kafka)
    if not topics:
        for name in ["gcn.circular", "gcn.notices", "my.topic"]:
            topics[name] = kafka.new_topic()
        send = ["publish", f"kafka://{kafka.sasl_ssl}/"]
        sent = [("gcn.circular", "CIRCULAR", "circular.gcn3"), ("gcn.notices", "VOEVENT", "voevent.xml")]
        for name, form, file in sent:
            ours.run(send[0], send[1] + topics[name], "-f", form, DATA / file).ok()
        password = kafka.passwords["hop"]
        host = kafka.sasl_ssl.rsplit(":", 1)[0]
        (stage / "credentials.csv").write_text(f"username,password,hostname\nsomebody,{password},other-{host}\n")
    _, commands = BLOCKS[number]
    commands = commands.replace("kafka.scimma.org", kafka.sasl_ssl)
    for name, topic in topics.items():
        commands = re.sub(rf"(?<=[/,]){re.escape(name)}\b", topic, commands)
    # Groups of an earlier run of the tests on the same broker have read other topics.
    commands = commands.replace("my-user", f"my-user-{topics['my.topic']}")
    bin_directory = stage / "bin"
    bin_directory.mkdir(exist_ok=True)
    for name in ["hop", "hop-program"]:
        if not (bin_directory / name).exists():
            (bin_directory / name).symlink_to(ours.path)
    environment = {**ours.environment(), "PATH": f"{bin_directory}:{os.environ['PATH']}"}
    done = subprocess.run(["bash", "-c", PRELUDE + commands], cwd=stage, env=environment, capture_output=True,
                          text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert not [line for line in done.stderr.splitlines() if "warning" in line or "error" in line], done.stderr


def test_what_they_left_behind(stage):
    assert list((stage / "archive").iterdir()) and (stage / "circulars.ndjson").read_text()
    assert (stage / "failed.ndjson").read_text() == ""
    assert all(path.read_bytes() == b"" for path in (stage / "journal").iterdir())
