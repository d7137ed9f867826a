"""Credentials, SASL mechanisms and what a user may see, on the SASL_SSL listener."""

import csv
import re

import pytest

from support import CIRCULAR, Listener, write_and_follow


@pytest.mark.parametrize("user", ["hop", "tricky"])
@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN"])
def test_mechanisms(kafka, home, ours, theirs, mechanism, user):
    user = kafka.tricky_user if user == "tricky" else user
    home.add_user(kafka, user, mechanism=mechanism)
    listener = Listener(kafka, "sasl_ssl")
    topic = kafka.new_topic(3)
    ours.run("publish", "-f", "CIRCULAR", listener.url(topic), CIRCULAR).ok()
    theirs.run("publish", "-f", "CIRCULAR", listener.url(topic), CIRCULAR).ok()
    text = CIRCULAR.read_text(encoding="utf-8")
    assert ours.run("subscribe", "-s", "EARLIEST", listener.url(topic)).ok().text == text * 2
    assert theirs.run("subscribe", "-e", "-s", "EARLIEST", listener.url(topic)).ok().text == text * 2
    assert {dict(message.headers())["_sender"] for message in kafka.read_all(topic)} == {user.encode()}


# On hop's own broker: protocol-tests/tests/broker.rs.
@pytest.mark.real_kafka
def test_a_login_is_renewed_on_the_same_connection_before_it_ends(kafka, home, ours):
    home.add_user(kafka, mechanism="SCRAM-SHA-256")
    # Three lifetimes of a login: the broker would have ended a connection that let it run out.
    connections = write_and_follow(kafka, home, ours, 10, kafka.session_lifetime / 3)
    assert connections[0][0] and connections[0][1]
    assert set(connections) == {connections[0]}


def test_the_mechanism_is_scram_sha_512_unless_said(kafka, home, ours):
    home.add(username="hop", password=kafka.passwords["hop"], ssl_ca_location=kafka.ca)
    ours.run("list-topics", Listener(kafka, "sasl_ssl").url()).ok()


def test_a_user_name_in_the_url_selects(kafka, home, ours):
    home.add_user(kafka).add_user(kafka, kafka.tricky_user)
    topic = kafka.new_topic(1)
    ours.run("publish", f"kafka://hop@{kafka.sasl_ssl}/{topic}", stdin=b"1\n").ok()
    ours.run("publish", f"kafka://comma%2Cequals%3Duser@{kafka.sasl_ssl}/{topic}", stdin=b"2\n").ok()
    senders = [dict(message.headers())["_sender"] for message in kafka.read_all(topic)]
    assert senders == [b"hop", kafka.tricky_user.encode()]


def test_a_credential_added_from_csv_works(kafka, home, ours, theirs):
    table = home.path / "credentials.csv"
    credential = {"username": kafka.tricky_user, "password": kafka.passwords[kafka.tricky_user],
                  "hostname": kafka.sasl_ssl, "mechanism": "SCRAM-SHA-512", "protocol": "SASL_SSL",
                  "ssl_ca_location": kafka.ca}
    with open(table, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, credential)
        writer.writeheader()
        writer.writerow(credential)
    ours.run("auth", "add", table).ok()
    assert home.auth_file.stat().st_mode & 0o777 == 0o600
    listed = ours.run("auth", "list").ok()
    assert listed.text == theirs.run("auth", "list").ok().text == f"{kafka.tricky_user} for {kafka.sasl_ssl}\n"
    # The file that we wrote serves both programs.
    for program in (ours, theirs):
        program.run("list-topics", Listener(kafka, "sasl_ssl").url()).ok()
    ours.run("auth", "remove", kafka.tricky_user).ok()
    assert ours.run("auth", "list").ok().out == b""


def test_a_credential_is_stored_only_if_the_broker_lets_it_in(kafka, home, ours):
    url = Listener(kafka, "sasl_ssl").url()
    home.write("auth = []\n")
    for password, code in [("wrong", 1), (kafka.passwords["hop"], 0)]:
        table = home.path / "credentials.csv"
        with open(table, "w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([["username", "password", "ssl_ca_location"], ["hop", password, kafka.ca]])
        done = ours.run("auth", "add", "--check", url, table)
        assert done.code == code and done.out == b""
        stored = ours.run("auth", "list").ok().lines
        if code:
            assert "The credential was not stored" in done.err and "hop" in done.err and stored == []
        else:
            assert re.search(r"'hop' is let in and may see \d+ topics", done.err) and stored == ["hop"]


def test_a_name_like_the_one_that_is_not_there_is_suggested(kafka, ours, plain):
    topic = kafka.new_topic()
    typed = topic[:-1] + ("x" if topic[-1] != "x" else "y")
    for command in (["subscribe", "-s", "EARLIEST"], ["tail"]):
        done = ours.run(*command, *plain.options, plain.url(typed))
        assert done.code == 1 and f"Did you mean '{topic}'?" in done.err.splitlines(), done.err
    done = ours.run("subscribe", *plain.options, plain.url("quite-another-thing"))
    assert done.code == 1 and "Did you mean" not in done.err


def test_list_topics_says_what_hop_client_says(kafka, ours, theirs, listener):
    shown, hidden = kafka.new_topic(3), kafka.new_topic(1)
    everything = listener.options, listener.url()
    some = listener.options, listener.url(shown, kafka.forbidden_topic)
    for options, url in (everything, some):
        assert ours.run("list-topics", *options, url).ok().text == theirs.run("list-topics", *options, url).ok().text
    text = ours.run("list-topics", *listener.options, listener.url()).ok().text
    assert text.startswith("Accessible topics:\n")
    assert {f" {topic}" for topic in (shown, hidden, kafka.forbidden_topic)} <= set(text.splitlines())


def test_the_outsider_does_not_see_the_forbidden_topic(kafka, home, ours, theirs):
    home.add_user(kafka, "outsider")
    listener = Listener(kafka, "sasl_ssl")
    topic = kafka.new_topic(1)
    result = ours.run("list-topics", listener.url()).ok()
    assert f" {topic}" in result.lines
    assert f" {kafka.forbidden_topic}" not in result.lines
    assert result.text == theirs.run("list-topics", listener.url()).ok().text
    assert ours.run("list-topics", listener.url(kafka.forbidden_topic)).ok().text == "No accessible topics\n"


def test_asking_for_a_topic_does_not_create_it(kafka, ours, plain):
    ours.run("list-topics", *plain.options, plain.url("never-created")).ok()
    assert ours.run("subscribe", *plain.options, plain.url("never-created")).code == 1
    assert "never-created" not in kafka.admin.list_topics(timeout=10).topics
