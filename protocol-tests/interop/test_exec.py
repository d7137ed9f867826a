"""`hop subscribe --exec`: a command for each message."""

import base64
import json
import signal
import subprocess
import time


def topic_of(kafka, count=3):
    topic = kafka.new_topic()
    kafka.produce(topic, [json.dumps({"number": number}) for number in range(count)],
                  headers={"_format": "json", "_sender": "me"})
    return topic


def following(plain, topic, *options, group=None):
    return ["subscribe", *plain.options, "-s", "EARLIEST", *(["-g", group] if group else []), *options, plain.url(topic)]


def test_each_message_is_given_to_the_command_with_what_is_known_of_it(kafka, ours, plain, tmp_path):
    topic = topic_of(kafka)
    command = 'echo "$HOP_TOPIC $HOP_PARTITION $HOP_OFFSET $HOP_SENDER $HOP_FORMAT ${HOP_ID-none} $(cat)"'
    done = ours.run(*following(plain, topic, "--exec", command)).ok()
    assert done.lines == [f'{topic} 0 {number} me json none {{"number": {number}}}' for number in range(3)]
    # A message's own words are no part of a command.
    evil = kafka.new_topic()
    kafka.produce(evil, [b"$(touch evil)`touch evil`;touch evil"], headers={"_format": "blob", "_sender": "$(touch evil)"})
    ours.run(*following(plain, evil, "--exec", 'cat; echo "$HOP_SENDER"')).ok()
    assert not (tmp_path / "evil").exists()


def test_a_command_need_not_read_what_it_is_given(kafka, ours, plain):
    topic = kafka.new_topic()
    kafka.produce(topic, [b"x" * 900_000] * 3, headers={"_format": "blob"})
    assert ours.run(*following(plain, topic, "--exec", "echo $HOP_OFFSET")).ok().lines == ["0", "1", "2"]


def test_what_fails_is_not_committed_and_comes_again(kafka, ours, plain):
    topic = topic_of(kafka)
    command = 'test "$HOP_OFFSET" != 1 && cat'
    done = ours.run(*following(plain, topic, "--exec", command, "--exec-retries", "0", group=topic))
    assert (done.code, done.lines) == (1, ['{"number": 0}'])
    assert f"topic '{topic}', partition 0, offset 1: it ended with 1" in done.err
    assert ours.run(*following(plain, topic, "--exec", "cat", group=topic)).ok().lines == ['{"number": 1}', '{"number": 2}']


def test_a_command_is_tried_again(kafka, ours, plain, tmp_path):
    topic = topic_of(kafka, count=1)
    command = f"echo >> {tmp_path}/tries; test $(wc -l < {tmp_path}/tries) = 2 && cat"
    done = ours.run(*following(plain, topic, "--exec", command)).ok()
    assert done.lines == ['{"number": 0}']
    assert "trying again" in done.err


def test_what_cannot_be_done_is_put_aside_whole(kafka, ours, plain, tmp_path):
    topic = topic_of(kafka)
    letters = tmp_path / "letters"
    options = ["--exec", 'test "$HOP_OFFSET" != 1 && cat', "--exec-retries", "0", "--dead-letters", letters]
    done = ours.run(*following(plain, topic, *options, group=topic)).ok()
    assert done.lines == ['{"number": 0}', '{"number": 2}']
    [letter] = [json.loads(line) for line in letters.read_text().splitlines()]
    assert (letter["topic"], letter["partition"], letter["offset"]) == (topic, 0, 1)
    assert base64.b64decode(letter["payload"]) == b'{"number": 1}'
    assert letter["headers"][0] == ["_format", base64.b64encode(b"json").decode()]
    assert letter["reason"] == "it ended with 1"
    assert ours.run(*following(plain, topic, "--exec", "cat", group=topic)).ok().out == b""


def test_a_command_that_takes_too_long_is_ended(kafka, ours, plain):
    topic = topic_of(kafka, count=1)
    options = ["--exec", "exec sleep 600", "--exec-timeout", "0.2", "--exec-retries", "0"]
    done = ours.run(*following(plain, topic, *options))
    assert done.code == 1 and "it took longer than 200ms" in done.err


def test_an_interrupt_ends_the_command_too(kafka, ours, plain, tmp_path):
    topic = topic_of(kafka, count=1)
    running = tmp_path / "running"
    process = ours.start(*following(plain, topic, "--exec", f"echo $$ > {running}; exec sleep 600"),
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 60
    while not (running.exists() and running.read_text().strip()):
        assert time.monotonic() < deadline, process.stderr.read()
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    process.wait(10)
    child = running.read_text().strip()
    while subprocess.run(["kill", "-0", child], stderr=subprocess.DEVNULL).returncode == 0:
        assert time.monotonic() < deadline, "it is still there"
        time.sleep(0.05)
