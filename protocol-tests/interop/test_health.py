"""`hop subscribe --health`: what it answers while messages come, while they do not, and to those who ask for nonsense."""

import json
import os
import signal
import socket
import subprocess
import threading
import time
from types import SimpleNamespace

import pytest

from asking import Health, read_all
from own_broker import OwnBroker
from support import PATIENCE
from watching import Reader, wait_until

# What is tried here is this client's own doing, whichever Kafka it meets.
pytestmark = pytest.mark.newest_kafka

HEALTH = ["--health", "127.0.0.1:0"]


@pytest.fixture
def start(ours):
    """Starts readers, and ends them."""
    readers = []

    def started(*arguments):
        readers.append(Reader(ours, "-p", "-s", "EARLIEST", *HEALTH, *arguments))
        return readers[-1], Health(readers[-1])

    yield started
    for reader in readers:
        reader.kill()


@pytest.fixture
def own(ours, tmp_path):
    (tmp_path / "broker").mkdir()
    broker = OwnBroker(ours, tmp_path / "broker", "numbers:3")
    yield broker
    broker.kill()


def publish(ours, broker, numbers):
    lines = "".join(json.dumps({"number": number}) + "\n" for number in numbers)
    ours.run("publish", "--no-auth", broker.url("numbers"), stdin=lines.encode()).ok()


@pytest.mark.parametrize("group", [False, True], ids=["alone", "in-a-group"])
def test_messages_are_counted_and_the_lag_comes_to_nothing(kafka, ours, listener, start, group):
    topic, other = kafka.new_topic(3), kafka.new_topic()
    values = [json.dumps({"number": number}) for number in range(500)]
    before = time.time()
    kafka.produce(topic, values, headers={"_format": "json"})
    kafka.produce(other, ["12345"], headers={"_format": "json"})
    kafka.produce(other, ["{"], headers={"_format": "json"})
    reader, health = start(*listener.options, *(["-g", topic] if group else []), listener.url(topic, other))
    wait_until(lambda: health.total("hop_messages_total") == len(values) + 1, what="the messages to be counted")
    assert health.get("/live") == health.get("/ready") == (200, "ok\n")
    wait_until(lambda: len(health.metrics()["hop_lag"]) == 4 and health.total("hop_lag") == 0, what="the lag to be gone")
    metrics = health.metrics()
    topics = {(("topic", topic),): len(values), (("topic", other),): 1}
    assert metrics["hop_messages_total"] == topics
    assert metrics["hop_message_bytes_total"] == {(("topic", topic),): sum(map(len, values)), (("topic", other),): 5}
    assert metrics["hop_messages_failed_total"] == {(): 1}
    assert metrics["hop_reading"] == {(): 1}
    assert set(metrics["hop_lag"]) == {(("partition", str(partition)), ("topic", name))
                                       for name, count in [(topic, 3), (other, 1)] for partition in range(count)}
    # Kafka counts in whole milliseconds.
    assert before - 0.001 <= metrics["hop_last_message_timestamp_seconds"][()] <= time.time()
    assert before - 1 <= metrics["hop_start_time_seconds"][()] <= time.time()
    version = ours.run("version").ok().lines[0].removeprefix("hop-client==")
    assert metrics["hop_build_info"] == {(("version", version),): 1}
    brokers = metrics["hop_broker_connections_total"]
    assert (("broker", listener.broker),) in brokers and all(count >= 1 for count in brokers.values())
    for name in ["requests_total", "sent_bytes_total", "received_bytes_total"]:
        assert set(metrics[f"hop_broker_{name}"]) == set(brokers) and health.total(f"hop_broker_{name}") > 0
    assert metrics["hop_broker_requests_in_flight"].keys() == brokers.keys()
    # What comes now is counted on.
    kafka.produce(other, ["67890"], headers={"_format": "json"})
    wait_until(lambda: health.metrics()["hop_messages_total"][(("topic", other),)] == 2, what="one more")
    assert reader.end(signal.SIGTERM)[0] == 1, "one message could not be read"


def test_it_is_not_ready_while_the_broker_is_away(ours, own, start):
    publish(ours, own, range(10))
    reader, health = start("--no-auth", own.url("numbers"))
    wait_until(lambda: len(reader.lines) == 10, what="the first messages")
    assert health.get("/ready") == (200, "ok\n")
    own.kill()
    wait_until(lambda: health.get("/ready")[0] == 503, what="that it is not ready")
    status, reason = health.get("/ready")
    assert status == 503 and reason.startswith("reading is interrupted, for ") and own.address in reason
    assert health.get("/live") == (200, "ok\n")
    assert health.metrics()["hop_reading"] == {(): 0}
    own.start()
    wait_until(lambda: health.get("/ready")[0] == 200, what="that it is ready again")
    assert health.metrics()["hop_reading"] == {(): 1}
    publish(ours, own, range(10, 20))
    wait_until(lambda: sorted(reader.numbers) == list(range(20)), what="the messages since")
    assert health.total("hop_messages_total") == 20
    assert health.total("hop_broker_connections_total") > 2
    # What was asked has disturbed nothing.
    assert reader.end(signal.SIGTERM)[0] == 0


def test_it_is_live_and_not_ready_before_a_broker_lets_it_in(start):
    # It accepts the connection, and never says a word.
    with socket.create_server(("127.0.0.1", 0)) as silent:
        _, health = start("--no-auth", "--connect-timeout", str(PATIENCE),
                          f"kafka://127.0.0.1:{silent.getsockname()[1]}/t")
        assert health.get("/live") == (200, "ok\n")
        assert health.get("/ready") == (503, "no broker has let us in yet\n")
        metrics = health.metrics()
        assert metrics["hop_reading"] == {(): 0} and metrics["hop_messages_total"] == metrics["hop_lag"] == {}


def test_it_answers_while_a_command_runs_and_counts_dead_letters(ours, own, start):
    publish(ours, own, [1])
    gate, letters = ours.home.path / "gate", ours.home.path / "letters"
    command = f"cat > /dev/null; while ! test -e '{gate}'; do sleep 0.05; done; exit 1"
    reader, health = start("--no-auth", "--exec", command, "--exec-retries", "0", "--dead-letters", str(letters),
                           own.url("numbers"))
    wait_until(lambda: health.get("/ready")[0] == 200, what="that it is ready")
    assert health.total("hop_messages_failed_total") == health.total("hop_messages_total") == 0
    gate.touch()
    wait_until(lambda: health.total("hop_messages_failed_total") == 1, what="the dead letter to be counted")
    assert len(letters.read_text().splitlines()) == 1
    assert reader.end(signal.SIGTERM)[0] == 0


def test_asking_without_end_keeps_nobody_from_reading(ours, own, start):
    reader, health = start("--no-auth", "-g", "readers", own.url("numbers"))
    over = threading.Event()
    asked = []

    def ask():
        while not over.is_set():
            health.metrics()
            asked.append(1)

    askers = [threading.Thread(target=ask) for _ in range(20)]
    for asker in askers:
        asker.start()
    try:
        for first in range(0, 500, 100):
            publish(ours, own, range(first, first + 100))
            wait_until(lambda: len(reader.lines) >= first + 100, what="the messages")
        assert sorted(reader.numbers) == list(range(500))
        answered = len(asked)
        wait_until(lambda: len(asked) > answered, what="an answer")
    finally:
        over.set()
        for asker in askers:
            asker.join()
    assert reader.end(signal.SIGTERM)[0] == 0
    rest = ours.run("subscribe", "--no-auth", "-g", "readers", "-s", "EARLIEST", own.url("numbers")).ok()
    assert rest.out == b"", "everything was committed"


def test_it_answers_while_there_is_always_more_to_print(kafka, ours, plain):
    topic, count = kafka.new_topic(), 60_000
    kafka.produce(topic, [json.dumps({"padding": "x" * 1000})] * count, headers={"_format": "json"}, linger_ms=20,
                  compression_type="lz4")
    # A pipe that is read slowly, so that it is never done.
    reading, writing = os.pipe()
    process = ours.start("subscribe", "-p", "-s", "EARLIEST", *HEALTH, *plain.options, plain.url(topic), stdout=writing,
                         stderr=subprocess.PIPE)
    os.close(writing)
    announced = process.stderr.readline().decode().strip()
    enough = threading.Event()

    def read_slowly():
        while not enough.is_set() and os.read(reading, 1 << 16):
            time.sleep(0.005)

    slow = threading.Thread(target=read_slowly)
    slow.start()
    try:
        health = Health(SimpleNamespace(process=process, said=[(0, announced)]))
        seen = []
        while len(seen) < 5:
            metrics = health.metrics()
            printed = sum(metrics["hop_messages_total"].values())
            if 0 < printed < count and (not seen or printed > seen[-1]):
                # The two are of one moment.
                assert sum(metrics["hop_lag"].values()) == count - printed
                seen.append(printed)
            assert printed < count, "it was never asked in between"
    finally:
        enough.set()
        process.kill()
        process.wait()
        slow.join()
        os.close(reading)


@pytest.fixture
def health(own, start):
    return start("--no-auth", own.url("numbers"))[1]


HOST = b"\r\nHost: h\r\n\r\n"


@pytest.mark.parametrize("request_bytes, status", [
    (b"GET /live HTTP/1.1" + HOST, b"200 OK"),
    (b"GET /live?from=probe HTTP/1.0\r\n\r\n", b"200 OK"),
    (b"GET / HTTP/1.1" + HOST, b"404 Not Found"),
    (b"GET /../live HTTP/1.1" + HOST, b"404 Not Found"),
    (b"POST /live HTTP/1.1" + HOST, b"405 Method Not Allowed"),
    (b"get /live HTTP/1.1" + HOST, b"405 Method Not Allowed"),
    (b"GET /live HTTP/1.1\r\n\r\n", b"400 Bad Request"),
    (b"GET /live\r\n\r\n", b"400 Bad Request"),
    (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"400 Bad Request"),
    (b"GET /live HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", b"400 Bad Request"),
    (b"GET /live HTTP/1.1\r\nHost: h\r\nX: \xff\r\n\r\n", b"400 Bad Request"),
    (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"400 Bad Request"),
    (b"\0" * 100, b"400 Bad Request"),
    (b"GET /" + b"a" * 20_000, b"400 Bad Request"),
    (b"GET /live HTTP/1.1\r\nX: " + b"a" * 8000 + HOST + b"a" * 20_000, b"200 OK"),
    (b"GET /live HTTP/1.1\r\nX: " + b"a" * 8200 + HOST, b"400 Bad Request"),
], ids=range(16))
def test_whatever_is_sent_gets_one_answer(health, request_bytes, status):
    head, body = health.raw(request_bytes).split(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    assert lines[0] == b"HTTP/1.1 " + status
    fields = dict(line.split(b": ") for line in lines[1:])
    assert int(fields[b"Content-Length"]) == len(body) and fields[b"Connection"] == b"close"
    assert fields.get(b"Allow") == (b"GET, HEAD" if status.startswith(b"405") else None)


def test_head_is_get_without_the_text(health):
    for path in ["/live", "/ready", "/metrics"]:
        wait_until(lambda: health.get(path)[0] == 200, what=path)
        got, text = health.response(path)
        headed, nothing = health.response(path, "HEAD")
        assert headed.status == 200 and nothing == ""
        if path != "/metrics":
            assert headed.headers.items() == got.headers.items() and int(headed.headers["Content-Length"]) == len(text)


def test_a_request_may_come_in_pieces(health):
    with socket.create_connection(health.address, timeout=PATIENCE) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in b"GET /live HTTP/1.1" + HOST:
            connection.sendall(bytes([byte]))
        assert read_all(connection).endswith(b"\r\n\r\nok\n")


def test_those_who_say_nothing_make_room_for_others(health):
    silent = [socket.create_connection(health.address, timeout=PATIENCE) for _ in range(30)]
    try:
        assert health.get("/live") == (200, "ok\n")
        # Whoever has not asked by then is let go.
        assert silent[0].recv(1) == b""
    finally:
        for connection in silent:
            connection.close()


def test_where_it_cannot_listen_nothing_is_read(ours, own):
    publish(ours, own, [1])
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        done = ours.run("subscribe", "--no-auth", "-s", "EARLIEST", "--health", address, own.url("numbers"))
    assert done.code == 1 and done.out == b""
    assert done.complaint[0].startswith(f"hop: cannot listen on {address} for --health: "), done.err


def test_an_address_without_a_port_is_a_usage_error(ours):
    done = ours.run("subscribe", "--no-auth", "kafka://h/t", env={"HOP_HEALTH": "localhost"})
    assert done.code == 2 and "expected HOST:PORT" in done.err


def test_quiet_says_nothing_of_it(ours, own):
    publish(ours, own, [1])
    done = ours.run("subscribe", "-q", "--no-auth", "-s", "EARLIEST", *HEALTH, own.url("numbers")).ok()
    assert done.lines == ['{"number": 1}'] and done.err == ""
