"""Logging in with OAUTHBEARER tokens from an endpoint or a command, on Kafka's own listener."""

import subprocess
import time

import pytest

from support import CIRCULAR, PATIENCE, Listener, interrupt, wait_for_lines, write_and_follow
from token_server import TokenServer, unsecured_token

pytestmark = [pytest.mark.real_kafka, pytest.mark.newest_kafka]


@pytest.fixture
def provider(kafka):
    """Speaks TLS, with a certificate of the authority that vouches for Kafka's."""
    with TokenServer(certificate=kafka.directory / "tls" / "server.pem") as server:
        yield server


def add_client(home, kafka, provider, **changes):
    home.add(**{"username": provider.client, "password": provider.secret, "protocol": "SASL_SSL",
                "token_endpoint": provider.url, "ssl_ca_location": kafka.ca, **changes})


def test_tokens_of_an_endpoint_let_both_in(kafka, home, ours, theirs, provider):
    add_client(home, kafka, provider)
    topic = kafka.new_topic()
    url = Listener(kafka, "sasl_ssl").url(topic)
    text = CIRCULAR.read_text(encoding="utf-8")
    for program in (ours, theirs):
        program.run("publish", "-f", "CIRCULAR", url, CIRCULAR).ok()
    # In a group: where Kafka has none yet, hop-client stumbles over its making room for them.
    assert ours.run("subscribe", "-s", "EARLIEST", "-g", f"hop-{topic}", url).ok().text == text * 2
    assert theirs.run("subscribe", "-e", "-s", "EARLIEST", url).ok().text == text * 2
    assert topic in ours.run("list-topics", url).ok().text
    assert [dict(message.headers())["_sender"] for message in kafka.read_all(topic)] == [b"hop", b"hop"]
    assert provider.given >= 5


def test_a_token_is_renewed_before_it_ends_and_the_connection_stays(kafka, home, ours, provider):
    provider.lifetime = 10
    add_client(home, kafka, provider)
    began = time.monotonic()
    # Two lives of a token and more: the broker ends a connection that outlives its own.
    connections = write_and_follow(kafka, home, ours, 7, provider.lifetime / 3)
    # Two programs; each fetches a token when four fifths of the one before are over.
    assert 6 <= provider.given <= 2 * (2 + (time.monotonic() - began) / (0.8 * provider.lifetime))
    kept = set.intersection(*(set(follower) for follower, _ in connections))
    assert kept, "the connections to the broker were opened anew"


def test_while_the_provider_is_away_the_token_in_hand_serves(kafka, home, ours, provider):
    provider.lifetime = 12
    add_client(home, kafka, provider)
    url = Listener(kafka, "sasl_ssl").url(kafka.new_topic())
    received = home.path / "received"
    with open(received, "wb") as output:
        follower = ours.start("subscribe", "-p", "-s", "EARLIEST", url, stdout=output, stderr=subprocess.PIPE)
        publisher = ours.start("publish", url, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)
        publisher.stdin.write(b"1\n")
        publisher.stdin.flush()
        wait_for_lines(received, 1)
        provider.answer = (503, b"down for maintenance")
        # Both programs have asked in vain by now, at four fifths of the token's life.
        time.sleep(0.87 * provider.lifetime)
        provider.answer = None
        time.sleep(0.3 * provider.lifetime)
        publisher.stdin.write(b"2\n")
        publisher.stdin.close()
        assert publisher.wait(PATIENCE) == 0
        wait_for_lines(received, 2)
        interrupt(follower)
        complaints = follower.communicate()[1].decode()
        assert follower.returncode == 0
    assert "503 Service Unavailable: down for maintenance" in complaints
    assert received.read_text().split() == ["1", "2"]


def test_what_the_provider_refuses_is_said_with_the_reason_and_without_the_secret(kafka, home, ours, provider):
    add_client(home, kafka, provider, password="wrong-secret")
    result = ours.run("subscribe", Listener(kafka, "sasl_ssl").url(kafka.new_topic()))
    assert result.code == 1
    assert f"no token to log in to {kafka.sasl_ssl} with: {provider.url}: it answers 401" in result.err
    assert "invalid_client" in result.err
    assert "wrong-secret" not in result.err


@pytest.mark.parametrize("answer, words", [
    ((200, b"<html>"), "its answer is not JSON"),
    ((200, {"token_type": "Bearer"}), "its answer has no access_token"),
    ((200, {"access_token": "a b", "token_type": "Bearer"}), "visible ASCII"),
    ((200, {"access_token": "x" * 300_000}), "larger than 262144 bytes"),
    ((200, {"access_token": "no.such.token"}), "invalid_token"),
    ((302, b""), "it answers 302 Found"),
])
def test_an_answer_that_is_no_good_token_is_an_error(kafka, home, ours, provider, answer, words):
    provider.answer = answer
    add_client(home, kafka, provider)
    result = ours.run("list-topics", Listener(kafka, "sasl_ssl").url())
    assert result.code == 1
    assert words in result.err, result.err


def test_a_provider_that_is_not_there_or_not_trusted_is_named(kafka, home, ours, provider):
    add_client(home, kafka, provider, token_endpoint="https://localhost:1/token")
    result = ours.run("list-topics", Listener(kafka, "sasl_ssl").url())
    assert result.code == 1 and "https://localhost:1/token: there is no connection to it" in result.err
    home.credentials.clear()
    add_client(home, kafka, provider, ssl_ca_location=kafka.other_ca)
    result = ours.run("list-topics", Listener(kafka, "sasl_ssl").url())
    assert result.code == 1 and "TLS with it: its certificate is not signed" in result.err
    assert provider.given == 0


def test_a_command_that_prints_tokens_lets_both_in(kafka, home, ours, theirs):
    token = home.path / "token"
    token.write_text(unsecured_token("hop", 3600))
    home.add(username="hop", password="", protocol="SASL_SSL", token_command=f"cat '{token}'",
             ssl_ca_location=kafka.ca)
    topic = kafka.new_topic()
    url = Listener(kafka, "sasl_ssl").url(topic)
    text = CIRCULAR.read_text(encoding="utf-8")
    for program in (ours, theirs):
        program.run("publish", "-f", "CIRCULAR", url, CIRCULAR).ok()
    assert ours.run("subscribe", "-s", "EARLIEST", url).ok().text == text * 2
    token.unlink()
    result = ours.run("subscribe", url)
    assert result.code == 1
    assert "the token command failed (exit status: 1)" in result.err and "No such file" in result.err
    # What stands in the command is the user's, and may be a secret.
    assert "cat '" not in result.err


def test_a_credential_without_a_way_to_a_token_says_what_is_missing(kafka, home, ours):
    home.add(username="hop", password="p", protocol="SASL_SSL", mechanism="OAUTHBEARER")
    result = ours.run("list-topics", Listener(kafka, "sasl_ssl").url())
    assert result.code == 1
    assert "names neither a token_endpoint nor a token_command" in result.err


def test_a_token_does_not_go_in_the_clear_to_a_provider_without_a_word(kafka, home, ours):
    with TokenServer() as provider:
        add_client(home, kafka, provider)
        result = ours.run("list-topics", Listener(kafka, "sasl_ssl").url()).ok()
    assert "without encryption" in result.err


def test_the_doctor_logs_in_with_a_token(kafka, home, ours, provider):
    add_client(home, kafka, provider)
    result = ours.run("doctor", Listener(kafka, "sasl_ssl").url(kafka.new_topic()))
    assert result.code == 0, result.text + result.err
    assert "OAUTHBEARER" in result.text
