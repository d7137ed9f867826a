"""`hop subscribe -g`: going on where a group left off, also where hop-client did; sharing; what is left behind."""

import subprocess
import time
import uuid

from confluent_kafka import ConsumerGroupTopicPartitions, Producer, TopicPartition

from support import PATIENCE, interrupt, wait_for_lines


def test_reading_goes_on_where_hop_client_left_off_and_the_other_way_round(kafka, ours, theirs, listener):
    topic, group = kafka.new_topic(3), new_group()
    for reader, end in [(theirs, ["-e"]), (ours, []), (theirs, ["-e"]), (ours, [])]:
        written = write(kafka, topic, 20)
        read = reader.run("subscribe", *listener.options, *end, "-g", group, "-s", "EARLIEST", listener.url(topic)).ok()
        assert sorted(read.lines) == written


def test_what_was_printed_is_not_printed_again(kafka, ours, listener):
    topic, group = kafka.new_topic(3), new_group()
    options = [*listener.options, "-g", group, "-s", "EARLIEST", listener.url(topic)]
    written = write(kafka, topic, 50)
    output = ours.home.path / "first"
    with open(output, "wb") as file:
        first = ours.start("subscribe", "-p", *options, stdout=file)
        wait_for_lines(output, 50)
        interrupt(first)
        assert first.wait(PATIENCE) == 0
    assert sorted(output.read_text().splitlines()) == written
    assert ours.run("subscribe", *options).ok().out == b""


def test_what_was_printed_is_committed_though_only_tests_come_behind_it(kafka, ours, plain):
    topic, group = kafka.new_topic(1), new_group()
    # In one batch.
    producer = Producer({"bootstrap.servers": kafka.plaintext, "linger.ms": 500})
    for headers in [[], [("_test", b"true")], [("_test", b"true")]]:
        producer.produce(topic, b'"value"', headers=headers)
    assert producer.flush(PATIENCE) == 0
    reader = ours.start("subscribe", "-p", *plain.options, "-g", group, "-s", "EARLIEST", plain.url(topic))
    deadline = time.monotonic() + PATIENCE
    while (offset := committed(kafka, topic, group)) < 1 and time.monotonic() < deadline:
        time.sleep(0.2)
    interrupt(reader)
    assert (reader.wait(PATIENCE), offset) == (0, 1)


def test_what_a_closed_pipe_did_not_take_is_printed_by_the_next(kafka, ours, plain):
    topic, group = kafka.new_topic(1), new_group()
    written = write(kafka, topic, 20_000)
    first = ours.start("subscribe", *plain.options, "-g", group, "-s", "EARLIEST", plain.url(topic),
                       stdout=subprocess.PIPE)
    taken = [first.stdout.readline().decode().strip() for _ in range(10)]
    first.stdout.close()
    assert first.wait(PATIENCE) == 0
    rest = ours.run("subscribe", *plain.options, "-g", group, "-s", "EARLIEST", plain.url(topic)).ok().lines
    # What was in the pipe may have been committed or not; nothing that was not written to it may be missing.
    in_pipe = 2 * 65_536 // len("number-00000\n")
    assert rest[-1] == written[-1] and rest == written[len(written) - len(rest):]
    assert len(rest) >= len(written) - len(taken) - in_pipe


def test_readers_of_a_group_share_and_readers_in_assign_mode_get_all(kafka, ours, plain):
    for mode in ["share", "assign"]:
        topic, group = kafka.new_topic(6), new_group()
        outputs = [ours.home.path / f"{mode}-{number}" for number in range(2)]
        readers = []
        for output in outputs:
            with open(output, "wb") as file:
                readers.append(ours.start("subscribe", *plain.options, "-p", "-g", group, "--group-mode", mode, "-s",
                                          "EARLIEST", plain.url(topic), stdout=file))
        # Until both have some: then both have been given their partitions.
        written, deadline = [], time.monotonic() + PATIENCE
        while not all(output.stat().st_size for output in outputs):
            assert time.monotonic() < deadline, "one of the readers gets nothing"
            written += write(kafka, topic, 12, first=len(written))
            time.sleep(0.2)
        written += write(kafka, topic, 60, first=len(written))
        expected = sorted(written * (2 if mode == "assign" else 1))
        while len(printed(outputs)) < len(expected) and time.monotonic() < deadline:
            time.sleep(0.1)
        for reader in readers:
            interrupt(reader)
        assert [reader.wait(PATIENCE) for reader in readers] == [0, 0]
        assert printed(outputs) == expected


def test_without_a_group_none_is_left_behind(kafka, ours, plain):
    topic = kafka.new_topic(2)
    written = write(kafka, topic, 10)
    before = groups(kafka)
    read = ours.run("subscribe", *plain.options, "-s", "EARLIEST", plain.url(topic)).ok()
    assert sorted(read.lines) == written
    assert groups(kafka) == before


def new_group():
    return f"readers-{uuid.uuid4()}"


def committed(kafka, topic, group):
    asked = ConsumerGroupTopicPartitions(group, [TopicPartition(topic, 0)])
    [answer] = kafka.admin.list_consumer_group_offsets([asked]).values()
    return answer.result(PATIENCE).topic_partitions[0].offset


def write(kafka, topic, count, first=0):
    values = [f"number-{first + number:05}" for number in range(count)]
    kafka.produce(topic, [value.encode() for value in values])
    return values


def printed(outputs):
    return sorted(line for output in outputs for line in output.read_text().splitlines())


def groups(kafka):
    return {group.group_id for group in kafka.admin.list_consumer_groups().result(PATIENCE).valid}
