"""Looking at messages, credentials, topics and groups: what is there, and what would be sent."""

import base64
import json
import subprocess
import uuid
from datetime import UTC, datetime, timedelta

from support import ROOT, interrupt

CIRCULAR = ROOT / "examples" / "data" / "circular.gcn3"
VOEVENT = ROOT / "examples" / "data" / "voevent.xml"


def shown(result):
    return [json.loads(line) for line in result.ok().lines]


def test_a_dry_run_shows_what_is_sent(kafka, home, ours, secure):
    topic = kafka.new_topic()
    arguments = ["publish", "-t", "-f", "VOEVENT", secure.url(topic), VOEVENT]
    [would] = shown(ours.run(*arguments[:1], "--dry-run", *arguments[1:]))
    assert kafka.count(topic) == 0
    ours.run(*arguments).ok()
    [sent] = kafka.read_all(topic)
    headers = dict(sent.headers())
    assert uuid.UUID(would["_id"]).bytes != headers.pop("_id")
    assert would["headers"] == {name: value.decode() for name, value in headers.items()}
    assert would["headers"] == {"_sender": "hop", "_test": "true", "_format": "voevent"}
    assert base64.b64decode(would["payload"]) == sent.value()


def test_a_dry_run_needs_no_broker_and_stops_at_what_cannot_be_sent(ours):
    url = "kafka://nowhere.invalid/topic"
    done = ours.run("publish", "--dry-run", "--no-auth", url, stdin=b'{"first": 1}\n{"second"\n{"third": 3}\n')
    assert done.code == 1
    assert [base64.b64decode(json.loads(line)["payload"]) for line in done.lines] == [b'{"first": 1}']
    assert done.complaint[0].startswith("hop: line 2 of standard input is not a JSON message")

    done = ours.run("publish", "--dry-run", "--no-auth", "-f", "VOEVENT", url, VOEVENT, CIRCULAR)
    assert (done.code, done.out) == (1, b"")
    assert str(CIRCULAR) in done.err


def test_a_dry_run_takes_the_credential_that_publishing_takes(ours, home):
    home.add(username="me", password="secret", hostname="here.example")
    done = ours.run("publish", "--dry-run", "kafka://elsewhere.example/topic", stdin=b"{}\n")
    assert done.code == 1
    assert "No matching credential found for hostname 'elsewhere.example'" in done.err
    [would] = shown(ours.run("publish", "--dry-run", "kafka://here.example/topic", stdin=b"{}\n"))
    assert would["headers"] == {"_sender": "me", "_format": "json"}


def test_a_stored_message_is_shown_as_subscribe_prints_it(kafka, ours, plain, tmp_path):
    for number, (form, path) in enumerate([("CIRCULAR", CIRCULAR), ("VOEVENT", VOEVENT), ("BLOB", CIRCULAR)]):
        topic = kafka.new_topic()
        ours.run("publish", *plain.options, "-f", form, plain.url(topic), path).ok()
        [message] = kafka.read_all(topic)
        stored = tmp_path / str(number)
        stored.write_bytes(message.value())
        header = f"_format={dict(message.headers())['_format'].decode()}"
        for options in [], ["-j"], ["--raw"]:
            printed = ours.run("subscribe", *plain.options, "-s", "EARLIEST", *options, plain.url(topic)).ok()
            assert ours.run("show", *options, "-H", header, stored).ok().out == printed.out
            assert ours.run("show", *options, "-f", form, "-", stdin=message.value()).ok().out == printed.out


def test_what_cannot_be_shown_is_explained(ours, tmp_path):
    done = ours.run("show", tmp_path / "nothing")
    assert (done.code, done.out) == (1, b"")
    assert done.complaint == [f"hop: cannot read {tmp_path / 'nothing'}: No such file or directory (os error 2)"]

    done = ours.run("show", "-f", "VOEVENT", "-", stdin=b"no XML")
    assert (done.code, done.out) == (1, b"")
    assert done.complaint[0].startswith("hop: standard input: ")

    done = ours.run("show", "-f", "donut", "-", stdin=b"a ring").ok()
    assert done.out == b"a ring\n"
    assert "donut" in done.err

    # Without a format it is guessed, as it is for messages of other programs.
    assert ours.run("show", "-", stdin=b'{"format": "blob", "content": {"a":1}}').ok().out == b'{"a": 1}\n'


def test_the_credential_for_a_broker_is_named_or_why_there_is_none(ours, home):
    assert ours.run("auth", "which", "kafka://here.example").code == 1
    home.add(username="any", password="secret").add(username="me", password="secret", hostname="here.example",
                                                    protocol="SASL_PLAINTEXT", mechanism="PLAIN")
    for url, said in [("kafka://here.example/topic", "me for here.example, by PLAIN over no encryption"),
                      ("kafka://elsewhere.example", "any which has no associated hostname, by SCRAM-SHA-512 over TLS")]:
        assert ours.run("auth", "which", url).ok().lines == [said]
    done = ours.run("auth", "which", "kafka://you@here.example")
    assert (done.code, done.out) == (1, b"")
    assert "No matching credential found for hostname 'here.example' with username 'you'" in done.err
    home.add(username="another", password="secret", hostname="here.example")
    done = ours.run("auth", "which", "kafka://here.example")
    assert done.code == 1 and "another" in done.err and "me" in done.err


def numbered(kafka, partitions=1, count=10):
    """A topic of numbered messages, all in its first partition."""
    topic = kafka.new_topic(partitions)
    kafka.produce(topic, [str(number) for number in range(count)], partition=0, headers={"_format": "json"})
    return topic


def test_reading_begins_where_it_is_told_to_and_ends_after_so_many(kafka, ours, plain):
    topic = numbered(kafka)

    def read(*options):
        return ours.run("subscribe", *plain.options, *options, plain.url(topic)).ok().lines

    assert read("--from", "7") == ["7", "8", "9"]
    assert read("--from", "7", "-n", "2") == ["7", "8"]
    assert read("-s", "EARLIEST", "-n", "1", "-p") == ["0"]
    assert read("--from", "-1h") == [str(number) for number in range(10)]
    assert read("--from", "1970-01-02T00:00:00Z", "-n", "3") == ["0", "1", "2"]
    assert read("--from", "2999-01-01T00:00:00Z") == []
    assert read("--from", "3", "--until", "6") == ["3", "4", "5"]
    assert read("--from", "6", "--until", "3") == []
    assert read("--from", "8", "--until", "2999-01-01T00:00:00Z") == ["8", "9"]
    assert read("-s", "EARLIEST", "--until", "-1h") == []
    done = ours.run("subscribe", *plain.options, "--from", "yesterday", plain.url(topic))
    assert done.code == 2 and "how long ago" in done.err


def test_topics_are_read_whose_names_match(kafka, ours, plain):
    topics = [numbered(kafka, count=2), numbered(kafka, count=3), numbered(kafka, count=4)]
    pattern = f"^({topics[0]}|{topics[2]})$"

    def read(*arguments):
        return sorted(ours.run("subscribe", *plain.options, "-s", "EARLIEST", *arguments).ok().lines)

    both = sorted(["0", "1", "0", "1", "2", "3"])
    assert read("--topic-pattern", pattern, f"kafka://{plain.broker}") == both
    assert read("--topic-pattern", pattern, plain.url(topics[1])) == sorted([*both, "0", "1", "2"])
    assert read("--topic-pattern", pattern, "-g", topics[0], f"kafka://{plain.broker}") == both
    done = ours.run("subscribe", *plain.options, "--topic-pattern", "(", f"kafka://{plain.broker}")
    assert done.code == 1 and "topics_matching" in done.err


def test_what_was_not_asked_for_is_left_to_the_next_of_the_group(kafka, ours, plain):
    topic = numbered(kafka)
    arguments = ["subscribe", *plain.options, "-s", "EARLIEST", "-g", topic, "-n", "4", plain.url(topic)]
    reads = [ours.run(*arguments).ok().lines for _ in range(3)]
    assert reads == [["0", "1", "2", "3"], ["4", "5", "6", "7"], ["8", "9"]]


def test_what_is_behind_the_stop_is_left_to_the_next_of_the_group(kafka, ours, plain):
    topic = numbered(kafka, partitions=2)
    read = ["subscribe", *plain.options, "-s", "EARLIEST", "-g", topic, plain.url(topic)]
    first = ours.run(*read, "--until", "4").ok().lines
    rest = ours.run(*read).ok().lines
    assert (first, rest) == ([str(number) for number in range(4)], [str(number) for number in range(4, 10)])


def test_the_lag_of_a_group_is_what_it_has_not_read(kafka, ours, plain):
    topic = numbered(kafka, partitions=2)
    url = plain.url(topic)
    done = ours.run("lag", *plain.options, url, topic)
    assert (done.code, done.out) == (1, b"") and f"group '{topic}' has committed nothing" in done.err
    ours.run("subscribe", *plain.options, "-s", "EARLIEST", "-g", topic, "-n", "4", url).ok()
    title, *rows, total = [line.split() for line in ours.run("lag", *plain.options, url, topic).ok().lines]
    assert title == ["TOPIC", "PARTITION", "COMMITTED", "END", "LAG"]
    assert [topic, "0", "4", "10", "6"] in rows
    assert total == ["total", "6"]


def test_the_offsets_of_a_group_are_set_to_a_place_or_time(kafka, ours, plain):
    topic = numbered(kafka)
    url = plain.url(topic)
    read = ["subscribe", *plain.options, "-g", topic, "-n", "1", url]

    def committed(*action):
        title, row, total = [line.split() for line in ours.run("offsets", *plain.options, *action).ok().lines]
        assert row[:2] == [topic, "0"]
        return int(row[2])

    assert committed("reset", url, topic) == 0
    assert ours.run(*read).ok().lines == ["0"]
    assert committed("show", url, topic) == 1
    assert committed("reset", "--to", "LATEST", url, topic) == 10
    assert committed("to-time", url, topic, "-1h") == 0
    assert committed("to-time", url, topic, "2999-01-01T00:00:00Z") == 10
    assert committed("to-time", url, topic, "7") == 7
    assert ours.run(*read).ok().lines == ["7"]
    done = ours.run("offsets", *plain.options, "reset", plain.url("nowhere"), topic)
    assert (done.code, done.out) == (1, b"") and "hop list-topics" in done.err


def test_the_offsets_of_a_group_with_members_are_left_alone(kafka, ours, plain):
    topic = numbered(kafka)
    member = ours.start("subscribe", *plain.options, "-p", "-s", "EARLIEST", "-g", topic, plain.url(topic),
                        stdout=subprocess.PIPE)
    try:
        assert member.stdout.readline() == b"0\n"
        done = ours.run("offsets", *plain.options, "reset", plain.url(topic), topic)
        assert done.code == 1 and "the group has members: stop them first" in done.err
    finally:
        interrupt(member)
        member.wait(10)


def test_a_long_list_of_topics_has_the_offsets_of_each_partition(kafka, ours, plain):
    topic = numbered(kafka, partitions=2)
    # Ahead of all others, by less than brokers take for a mistake.
    newest = datetime.now(UTC).replace(microsecond=500_000) + timedelta(minutes=10)
    kafka.produce(topic, ["10"], partition=0, timestamp=int(newest.timestamp() * 1000))
    lines = ours.run("list-topics", "-v", *plain.options, plain.url(topic)).ok().lines
    assert [line.split() for line in lines] == [["TOPIC", "PARTITION", "EARLIEST", "NEXT", "MESSAGES", "NEWEST"],
                                                [topic, "0", "0", "11", "11", newest.strftime("%Y-%m-%dT%H:%M:%S.500Z")],
                                                [topic, "1", "0", "0", "0", "-"]]


def test_messages_are_stored_each_in_a_file_of_its_own_and_once(kafka, ours, plain, tmp_path):
    topic = numbered(kafka, count=3)
    arguments = ["subscribe", *plain.options, "-s", "EARLIEST", "--output-dir", tmp_path / "alerts", plain.url(topic)]
    assert ours.run(*arguments).ok().out == b""
    stored = {path.name: path.read_text() for path in (tmp_path / "alerts").iterdir()}
    assert stored == {f"{topic}-0-{number}": f"{number}\n" for number in range(3)}
    # What was looked at stays as it is, and what is new comes beside it.
    (tmp_path / "alerts" / f"{topic}-0-1").write_text("seen")
    kafka.produce(topic, ["3"], partition=0, headers={"_format": "json"})
    ours.run(*arguments).ok()
    stored = {path.name: path.read_text() for path in (tmp_path / "alerts").iterdir()}
    assert stored == {f"{topic}-0-0": "0\n", f"{topic}-0-1": "seen", f"{topic}-0-2": "2\n", f"{topic}-0-3": "3\n"}


def test_stored_messages_are_named_as_was_asked_for(kafka, ours, plain, tmp_path):
    topic = kafka.new_topic()
    ours.run("publish", *plain.options, plain.url(topic), stdin=b'{"number": 1}\n').ok()
    [message] = kafka.read_all(topic)
    name = uuid.UUID(bytes=dict(message.headers())["_id"])
    ours.run("subscribe", *plain.options, "-s", "EARLIEST", "--output-dir", tmp_path, "--file-name", "{topic}/{id}.json",
             plain.url(topic)).ok()
    assert (tmp_path / topic / f"{name}.json").read_text() == '{"number": 1}\n'
    for template in ["{topic}", "../{id}", "{who}-{id}"]:
        done = ours.run("subscribe", *plain.options, "--output-dir", tmp_path, "--file-name", template, plain.url(topic))
        assert done.code == 2 and "--file-name" in done.err
    (tmp_path / "file").touch()
    done = ours.run("subscribe", *plain.options, "--output-dir", tmp_path / "file", plain.url(topic))
    assert (done.code, done.out) == (1, b"")
    assert done.complaint[0].startswith(f"hop: cannot store messages in {tmp_path / 'file'}: ")


def published(ours, plain, topic, messages, *options):
    lines = "".join(f"{json.dumps(message)}\n" for message in messages).encode()
    ours.run("publish", *plain.options, *options, plain.url(topic), stdin=lines).ok()


def test_only_what_is_wanted_is_printed_and_the_rest_counts_as_done(kafka, ours, plain):
    topic = kafka.new_topic()
    alerts = [{"id": number, "candidate": {"mag": 15 + number, "rb": [number / 10]}} for number in range(10)]
    published(ours, plain, topic, alerts)

    def ids(*options):
        lines = ours.run("subscribe", *plain.options, "-s", "EARLIEST", *options, plain.url(topic)).ok().lines
        return [json.loads(line)["id"] for line in lines]

    assert ids("--filter", "candidate.mag < 18") == [0, 1, 2]
    assert ids("--filter", "candidate.mag < 18", "--filter", "candidate.rb[0] >= 0.2") == [2]
    assert ids("--filter", "candidate.mag >= 18", "-n", "2") == [3, 4]
    assert ids("--filter", "id = 7", "--raw") == [7]
    assert ids("--filter", "nothing") == []
    assert ids("-g", topic, "--filter", "id = 1") == [1]
    assert ids("-g", topic) == []
    done = ours.run("subscribe", *plain.options, "--filter", "candidate.mag is 5", plain.url(topic))
    assert done.code == 2 and "'is 5' is no comparison" in done.err


def test_notices_are_chosen_by_role_and_packet_type(kafka, ours, plain, tmp_path):
    topic = kafka.new_topic()
    for number, (role, packet_type) in enumerate([("observation", 61), ("test", 61), ("observation", 84)]):
        voevent = tmp_path / f"{number}.xml"
        voevent.write_text(
            f"""<voe:VOEvent xmlns:voe="http://www.ivoa.net/xml/VOEvent/v2.0" ivorn="ivo://t/{number}" role="{role}"
version="2.0"><Who/><What><Param name="Packet_Type" value="{packet_type}"/><Param name="x" value="1"/></What>
</voe:VOEvent>""")
        ours.run("publish", *plain.options, "-f", "VOEVENT", plain.url(topic), voevent).ok()

    def chosen(*options):
        done = ours.run("subscribe", *plain.options, "-s", "EARLIEST", "-j", *options, plain.url(topic)).ok()
        return [json.loads(line)["ivorn"][-1] for line in done.lines]

    assert chosen("--role", "observation") == ["0", "2"]
    assert chosen("--packet-type", "61") == ["0", "1"]
    assert chosen("--packet-type", "61", "--role", "test") == ["1"]


def test_messages_are_printed_as_is_asked_for(kafka, ours, plain):
    topic = kafka.new_topic()
    kafka.produce(topic, ['{"a":1}'], headers={"_format": "json", "_sender": "me"})
    read = ["subscribe", *plain.options, "-s", "EARLIEST", plain.url(topic), "-f"]

    def printed(form):
        return ours.run(*read, form).ok().out

    assert (printed("text"), printed("json"), printed("raw")) == (b'{"a": 1}\n', b'{"a": 1}\n', b'{"a":1}\n')
    line = json.loads(printed("ndjson"))
    assert line.pop("timestamp") > 0 and line.pop("time").endswith("Z")
    assert line == {"topic": topic, "partition": 0, "offset": 0, "id": None, "sender": "me", "format": "json",
                    "test": False, "key": None, "headers": [["_format", "json"], ["_sender", "me"]],
                    "message": {"a": 1}}
    template = "{topic} {partition} {offset} {sender} {format} {id}{key}{test} {{ {text} {payload} {json} }}"
    assert printed(template).decode() == f'{topic} 0 0 me json false {{ {{"a": 1}} {{"a":1}} {{"a": 1}} }}\n'
    done = ours.run(*read, "xml")
    assert done.code == 2 and "there are text, json, ndjson, raw, and templates" in done.err
    assert ours.run(*read, "json", "--raw").code == 2


def test_the_last_messages_of_each_topic(kafka, ours, plain):
    first, second = kafka.new_topic(3), kafka.new_topic()
    for number in range(30):
        kafka.produce(first, [str(number)], partition=number % 3, headers={"_format": "json"})
    kafka.produce(second, ["not JSON"], headers={"_format": "json"})

    def tail(*arguments):
        return ours.run("tail", *plain.options, *arguments)

    assert tail(plain.url(first)).ok().lines == [str(number) for number in range(20, 30)]
    assert tail("-n", "2", plain.url(first)).ok().lines == ["28", "29"]
    assert len(tail("-n", "100", "-f", "{topic} {offset}", plain.url(first)).ok().lines) == 30
    done = tail("-n", "1", plain.url(first, second))
    assert done.code == 1 and "1 message could not be read" in done.err
    titles = sorted([first, second])
    assert [line for line in done.lines if line.startswith("==>")] == [f"==> {topic} <==" for topic in titles]
    assert tail("--raw", plain.url(second)).ok().out == b"not JSON\n"
    # What other tests have left there need not be text.
    everything = tail("-n", "1", "--raw", f"kafka://{plain.broker}").ok().out
    assert f"==> {first} <==\n29\n".encode() in everything
