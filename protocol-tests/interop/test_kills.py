"""`kill -9` at any moment: every message is handled at least once, and no stored file is missing or half-written."""

import json
import random
import subprocess
import time

import pytest

ROUNDS = 250
# So many that none of the lives below comes to the end of them: files are quickly written, commands slowly run.
FILES = 16_000
COMMANDS = 3_000
PADDING = "x" * 2000


def topic_of(kafka, messages):
    topic = kafka.new_topic(3)
    kafka.produce(topic, [message(number) for number in range(messages)], headers={"_format": "json"})
    return topic


def message(number):
    return json.dumps({"number": number, "padding": PADDING})


def killed_again_and_again(ours, plain, topic, *options):
    """Lives cut short in a group that outlives them, and a last one that comes to its end."""
    # What is only kept in the group's name needs nobody to notice that a member is gone.
    arguments = ["subscribe", *plain.options, "-s", "EARLIEST", "-g", topic, "--group-mode", "assign", *options,
                 plain.url(topic)]
    chance = random.Random(topic)
    unfinished = 0
    for _ in range(ROUNDS):
        reader = ours.start(*map(str, arguments), stderr=subprocess.DEVNULL)
        time.sleep(chance.uniform(0, 0.12))
        unfinished += reader.poll() is None
        reader.kill()
        reader.wait()
    ours.run(*arguments).ok()
    return unfinished


@pytest.mark.newest_kafka
def test_stored_files(kafka, ours, plain, tmp_path):
    topic = topic_of(kafka, FILES)
    stored = tmp_path / "stored"
    unfinished = killed_again_and_again(ours, plain, topic, "--output-dir", stored)
    assert unfinished > ROUNDS / 5, "hardly any was killed at work"
    files = [path for path in stored.iterdir() if not path.name.startswith(".")]
    texts = sorted(path.read_text() for path in files)
    assert texts == sorted(f"{message(number)}\n" for number in range(FILES))


@pytest.mark.newest_kafka
def test_commands(kafka, ours, plain, tmp_path):
    topic = topic_of(kafka, COMMANDS)
    log = tmp_path / "log"
    # A line is far below what a pipe or an append takes in one piece.
    unfinished = killed_again_and_again(
        ours, plain, topic, "--exec", f'cat > /dev/null; echo "$HOP_PARTITION $HOP_OFFSET" >> {log}')
    assert unfinished > ROUNDS / 5, "hardly any was killed at work"
    handled = {tuple(map(int, line.split())) for line in log.read_text().splitlines()}
    sent = {(message.partition(), message.offset()) for message in kafka.read_all(topic)}
    assert len(sent) == COMMANDS and handled == sent
