"""Everything that goes wrong gives a short message that names the thing, an exit code, and does so in time."""

import contextlib
import random
import re
import socket
import string
import threading

import pytest

from support import CIRCULAR, VOEVENT, Listener

# What is tried here is this client's own doing, whichever Kafka it meets.
pytestmark = pytest.mark.newest_kafka

# Given to the commands here; what they may take beyond it is for starting up on a busy machine.
CONNECT_TIMEOUT = 3
SLACK = 3

# The three commands that talk to a broker.
COMMANDS = {
    "publish": lambda url: (["publish", "-f", "CIRCULAR", url, CIRCULAR]),
    "subscribe": lambda url: (["subscribe", "-s", "EARLIEST", url]),
    "list-topics": lambda url: (["list-topics", url]),
}
every_command = pytest.mark.parametrize("command", list(COMMANDS))


def run(program, command, url, *, no_auth=False, **options):
    words = COMMANDS[command](url)
    words[1:1] = ["--no-auth"] if no_auth else []
    return program.run(*words, **{"env": {"HOP_CONNECT_TIMEOUT": str(CONNECT_TIMEOUT)}, **options})


def refused(result, *names, lines=2, code=1):
    """The command failed as it should: each of names (a string or a pattern) stands in its few words."""
    assert result.code == code, f"exit code {result.code}: {result.err}"
    assert result.seconds < CONNECT_TIMEOUT + SLACK, f"took {result.seconds:.1f} s: {result.err}"
    assert result.out == b""
    assert 1 <= len(result.complaint) <= lines, result.err
    for name in names:
        pattern = name if isinstance(name, re.Pattern) else re.compile(re.escape(str(name)))
        assert pattern.search(result.err), f"no {pattern.pattern!r} in: {result.err}"
    assert "panicked" not in result.err


def words(pattern):
    return re.compile(pattern, re.IGNORECASE)


# ---- Credentials ------------------------------------------------------------------------------------------------


@every_command
def test_no_credential_file(kafka, ours, command):
    # The remedy is hop-client's notice of three lines.
    refused(run(ours, command, Listener(kafka, "sasl_ssl").url("t")), "hop auth add", lines=5)


@every_command
def test_no_matching_credential(kafka, home, ours, command):
    home.add_user(kafka, hostname="kafka.example.org")
    refused(run(ours, command, Listener(kafka, "sasl_ssl").url("t")), kafka.sasl_ssl, words("no matching credential"),
            lines=5)


@every_command
def test_ambiguous_credential(kafka, home, ours, command):
    home.add_user(kafka).add_user(kafka, "admin")
    refused(run(ours, command, Listener(kafka, "sasl_ssl").url("t")), words("ambiguous credential"), "hop", "admin",
            lines=6)


@every_command
def test_unsafe_permissions(kafka, home, ours, command):
    home.add_user(kafka)
    home.auth_file.chmod(0o644)
    refused(run(ours, command, Listener(kafka, "sasl_ssl").url("t")), home.auth_file, "0600")


@every_command
def test_unreadable_toml(kafka, home, ours, command):
    home.write("[[auth]]\nusername = 'hop\n")
    # A TOML message may quote the line.
    refused(run(ours, command, Listener(kafka, "sasl_ssl").url("t")), home.auth_file, lines=6)


@every_command
def test_a_credential_without_a_password(kafka, home, ours, command):
    home.add(username="hop")
    refused(run(ours, command, Listener(kafka, "sasl_ssl").url("t")), home.auth_file, "password")


@every_command
def test_wrong_password(kafka, home, ours, command):
    home.add_user(kafka, password="not it")
    result = run(ours, command, Listener(kafka, "sasl_ssl").url("t"))
    refused(result, kafka.sasl_ssl, "hop", words("authenticat|password"))
    assert "not it" not in result.err


@every_command
def test_unknown_user(kafka, home, ours, command):
    home.add(username="nobody", password="x", ssl_ca_location=kafka.ca)
    refused(run(ours, command, Listener(kafka, "sasl_ssl").url("t")), kafka.sasl_ssl, "nobody")


@every_command
def test_a_missing_ca_file(kafka, home, ours, command):
    missing = home.path / "missing.pem"
    home.add_user(kafka, ssl_ca_location=str(missing))
    refused(run(ours, command, Listener(kafka, "sasl_ssl").url("t")), missing)


# ---- URLs, topics, rights ---------------------------------------------------------------------------------------


@every_command
@pytest.mark.parametrize("url", ["http://localhost/t", "localhost:9092/t", "kafka://a,b/t"])
def test_bad_url(ours, command, url):
    result = run(ours, command, url, no_auth=True)
    # Whether a URL is part of the usage or of the work is the program's to say.
    refused(result, words("kafka://|URL|broker"), lines=4, code=result.code)
    assert result.code in (1, 2)


@pytest.mark.parametrize("command", ["publish", "subscribe"])
def test_no_topic_in_the_url(kafka, ours, plain, command):
    refused(run(ours, command, f"kafka://{plain.broker}/", no_auth=True), words("topic"))


def test_unknown_topic(ours, secure):
    refused(run(ours, "subscribe", secure.url("no-such-topic")), "no-such-topic")


def test_a_topic_name_that_kafka_does_not_take(ours, secure):
    for command in ("publish", "subscribe"):
        refused(run(ours, command, secure.url("not*a*topic")), "not*a*topic")


def test_not_authorised(kafka, home, ours):
    home.add_user(kafka, "outsider")
    url = Listener(kafka, "sasl_ssl").url(kafka.forbidden_topic)
    before = kafka.count(kafka.forbidden_topic)
    refused(run(ours, "publish", url), kafka.forbidden_topic, words("authori[sz]|not allowed|permission"))
    # A broker may hide a topic as unknown; what it says of it must be passed on.
    refused(run(ours, "subscribe", url), kafka.forbidden_topic,
            words("authori[sz]|not allowed|permission|exist|unknown"))
    assert kafka.count(kafka.forbidden_topic) == before


# ---- Peers that are not what they should be ---------------------------------------------------------------------


@every_command
def test_untrusted_certificate(kafka, home, ours, command):
    home.add_user(kafka, ssl_ca_location=kafka.other_ca)
    refused(run(ours, command, Listener(kafka, "sasl_ssl").url("t")), kafka.sasl_ssl, words("certificate"))


@every_command
def test_wrong_host_name(kafka, home, ours, command):
    home.add_user(kafka)
    # The certificate speaks of 127.0.0.1; the same broker answers at 127.0.0.2.
    with serve(forward_to(kafka.sasl_ssl), host="127.0.0.2") as address:
        refused(run(ours, command, f"kafka://{address}/t"), address, words("certificate|name"))


@every_command
@pytest.mark.parametrize("no_auth", [True, False], ids=["plaintext", "sasl_ssl"])
def test_no_broker_listening(kafka, home, ours, command, no_auth):
    home.add_user(kafka)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}"
        refused(run(ours, command, f"kafka://{address}/t", no_auth=no_auth), address)


@every_command
def test_a_host_that_does_not_exist(ours, command):
    refused(run(ours, command, "kafka://no-such-host.invalid:9092/t", no_auth=True), "no-such-host.invalid")


@every_command
@pytest.mark.parametrize("no_auth", [True, False], ids=["plaintext", "sasl_ssl"])
def test_a_broker_that_says_nothing(kafka, home, ours, command, no_auth):
    home.add_user(kafka)
    with serve(say_nothing) as address:
        result = run(ours, command, f"kafka://{address}/t", no_auth=no_auth)
        refused(result, address)
        assert result.seconds > 1, f"it cannot have waited {CONNECT_TIMEOUT} s"


def test_the_option_for_the_connect_timeout(ours):
    with serve(say_nothing) as address:
        url = f"kafka://{address}/t"
        # The option wins over the environment.
        result = ours.run("subscribe", "--no-auth", "--connect-timeout", "1", url, env={"HOP_CONNECT_TIMEOUT": "30"})
        refused(result, address)
        assert result.seconds < 1 + SLACK


@every_command
@pytest.mark.parametrize("no_auth", [True, False], ids=["plaintext", "sasl_ssl"])
def test_a_web_server(kafka, home, ours, command, no_auth):
    home.add_user(kafka)
    with serve(answer_http) as address:
        refused(run(ours, command, f"kafka://{address}/t", no_auth=no_auth), address)


@every_command
def test_a_broker_that_hangs_up(ours, command):
    with serve(hang_up) as address:
        refused(run(ours, command, f"kafka://{address}/t", no_auth=True), address)


@every_command
def test_a_credential_for_a_listener_without_tls(kafka, home, ours, command):
    home.add_user(kafka)
    refused(run(ours, command, Listener(kafka, "plaintext").url("t")), kafka.plaintext)


@every_command
def test_no_credential_for_a_listener_with_tls(kafka, ours, command):
    refused(run(ours, command, Listener(kafka, "sasl_ssl").url("t"), no_auth=True), kafka.sasl_ssl)


# ---- Messages ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("format", "name", "content"),
    [
        ("VOEVENT", "mismatched.xml", b"<voe:VOEvent ivorn='ivo://a/b'><Who></What></voe:VOEvent>"),
        ("VOEVENT", "cut.xml", VOEVENT.read_bytes()[:700]),
        ("VOEVENT", "no-voevent.xml", b"<html><body/></html>"),
        ("VOEVENT", "empty.xml", b""),
        ("CIRCULAR", "latin1.gcn3", "TITLE: GCN CIRCULAR\n\nMüller\n".encode("latin-1")),
    ],
)
def test_malformed_file(kafka, ours, plain, tmp_path, format, name, content):
    topic = kafka.new_topic()
    (tmp_path / name).write_bytes(content)
    result = ours.run("publish", *plain.options, "-f", format, plain.url(topic), name)
    refused(result, name)
    assert kafka.count(topic) == 0


def test_missing_file(kafka, ours, plain):
    topic = kafka.new_topic()
    refused(ours.run("publish", *plain.options, plain.url(topic), "missing.json"), "missing.json")
    assert kafka.count(topic) == 0


def test_a_line_that_is_not_json(kafka, ours, plain):
    topic = kafka.new_topic()
    result = ours.run("publish", *plain.options, plain.url(topic), stdin=b'{"a": 1}\nnot json\n{"b": 2}\n')
    refused(result, words(r"line 2\b"))
    # What went out before is said, and the bad line is not among it.
    values = [message.value() for message in kafka.read_all(topic)]
    assert values in ([], [b'{"a": 1}'], [b'{"a":1}'])
    if values:
        assert re.search(r"\b(1|one)\b", result.err), result.err


def test_a_message_that_is_too_large(kafka, ours, plain):
    topic = kafka.new_topic(max_message_bytes=2000)
    # Of random characters: compression must not make it fit.
    large = "".join(random.choices(string.ascii_letters, k=20_000))
    result = ours.run("publish", *plain.options, plain.url(topic), stdin=f'"small"\n"{large}"\n"small"\n'.encode())
    refused(result, topic, words("large|size"))
    # How many were acknowledged is said, however many that were.
    count = kafka.count(topic)
    spelled = {0: "none|no message|nothing|0", 1: "one|1", 2: "two|2"}[count]
    assert re.search(rf"\b({spelled})\b", result.err, re.IGNORECASE), f"{count} arrived: {result.err}"


def test_lines_are_for_blobs_only(kafka, ours, plain):
    result = ours.run("publish", *plain.options, "-f", "VOEVENT", plain.url(kafka.new_topic()), stdin=b"{}\n")
    refused(result, words("BLOB|JSON|file"), code=result.code)
    assert result.code in (1, 2)


# ---- The peers --------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def serve(handle, host="127.0.0.1"):
    """A server that gives each connection to handle in a thread of its own; its address."""
    with socket.create_server((host, 0)) as server:
        def accept():
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                threading.Thread(target=handle, args=(connection,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield f"{host}:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)


def say_nothing(connection):
    with connection:
        while connection.recv(65536):
            pass


def hang_up(connection):
    connection.close()


def answer_http(connection):
    with connection:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n"
                           b"Connection: close\r\n\r\n400 Bad Request")


def forward_to(address):
    host, port = address.rsplit(":", 1)

    def forward(connection):
        with connection, socket.create_connection((host, int(port))) as broker:
            def copy(source, target):
                with contextlib.suppress(OSError):
                    while chunk := source.recv(65536):
                        target.sendall(chunk)
                    target.shutdown(socket.SHUT_WR)

            back = threading.Thread(target=copy, args=(broker, connection), daemon=True)
            back.start()
            copy(connection, broker)
            back.join(10)

    return forward
