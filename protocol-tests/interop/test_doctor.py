"""`hop doctor`: what is right, what is wrong, and what it advises."""

import json
import os
import pty
import re
import subprocess

import pytest

from hop_broker import HopBroker
from support import PATIENCE, read_until

NAMES = ["file", "credential", "name", "tcp", "tls", "login", "cluster", "broker", "topic"]


def findings(result):
    return [json.loads(line) for line in result.lines]


def only(result, status):
    return [finding for finding in findings(result) if finding["status"] == status]


def test_everything_is_well(kafka, ours, secure):
    topic = kafka.new_topic(2)
    kafka.produce(topic, ["1"])
    found = findings(ours.run("doctor", "--json", secure.url(topic)).ok())
    # A certificate that ends within a month is worth a word; those of the tests do.
    tls = next(finding for finding in found if finding["check"] == "tls")
    days = int(re.search(r"good for (\d+) more days", tls["found"])[1])
    assert tls["status"] == ("warning" if days < 30 else "good"), tls
    assert {finding["status"] for finding in found if finding is not tls} == {"good"}, found
    assert list(dict.fromkeys(finding["check"] for finding in found)) == NAMES
    said = {finding["check"]: finding["found"] for finding in found}
    assert "SCRAM-SHA-512" in said["credential"]
    assert said["tls"].startswith("TLS 1.3, TLS13_") and "more days" in said["tls"]
    assert said["topic"].startswith(f"'{topic}', 2 partitions, can be read and written; the newest message is ")
    assert all(finding["milliseconds"] > 0 for finding in found if finding["check"] in ["tcp", "tls", "login"])


def test_lines_for_people(kafka, ours, plain):
    topic = kafka.new_topic()
    lines = ours.run("doctor", "--no-auth", plain.url(topic)).ok().lines
    assert lines[-1].startswith(f"ok       topic        '{topic}', 1 partition, can be read and written; it is empty (")


def test_what_is_wrong_is_named_with_a_remedy(kafka, home, ours, secure, plain):
    def failure(*arguments):
        done = ours.run("doctor", "--json", *arguments)
        assert done.code == 1 and "1 thing is wrong" in done.err, done.err
        [failed] = only(done, "failure")
        return failed["check"], failed["found"], failed["advice"] or ""

    check, found, advice = failure(secure.url("never-made"))
    assert (check, "never-made" in found, "hop list-topics" in advice) == ("topic", True, True)
    check, found, advice = failure("--no-auth", "kafka://localhost:1/t")
    assert (check, "refused" in found, "firewall" in advice) == ("tcp", True, True)
    check, found, advice = failure("--no-auth", "--connect-timeout", "20", "kafka://name.invalid/t")
    assert (check, "name.invalid" in found, "DNS" in advice) == ("name", True, True)
    # The way in without TLS, with a credential that wants it.
    check, found, _ = failure(plain.url("t"))
    assert check == "tls" and "TLS" in found


def test_a_credential_that_is_refused_or_readable_by_all_or_missing(kafka, home, ours, secure):
    def last():
        done = ours.run("doctor", "--json", secure.url("t"))
        assert done.code == 1
        finding = findings(done)[-1]
        assert finding["status"] == "failure"
        return finding["check"], finding["found"], finding["advice"]

    auth = home.auth_file
    home.write(auth.read_text().replace(kafka.passwords["hop"], "wrong"))
    check, found, _ = last()
    assert check == "login" and "refused the credential of user 'hop'" in found
    auth.chmod(0o644)
    check, _, advice = last()
    assert (check, advice) == ("file", f"chmod 600 {auth}")
    auth.unlink()
    check, _, advice = last()
    assert (check, advice) == ("file", "store a credential: hop auth add")


@pytest.mark.parametrize("options, variables, is_painted", [
    ([], {}, True), ([], {"NO_COLOR": "1"}, False), ([], {"TERM": "dumb"}, False), (["--color", "never"], {}, False),
    (["--color", "always"], {"NO_COLOR": "1"}, True), ([], {"HOP_COLOR": "never"}, False)])
def test_colours_are_for_terminals_where_they_are_wanted(ours, plain, options, variables, is_painted):
    terminal, other = pty.openpty()
    inherited = {name: value for name, value in ours.environment().items() if name != "NO_COLOR"}
    environment = {**inherited, "TERM": "xterm", **variables}
    doctor = subprocess.Popen([ours.path, *options, "doctor", *plain.options, plain.url("no-such-topic")], stdout=other,
                              stderr=other, env=environment)
    os.close(other)
    shown = read_until(terminal, rb"hop:.*\r\n")
    assert doctor.wait(PATIENCE) == 1
    os.close(terminal)
    assert (b"\x1b[32mok      \x1b[0m" in shown and b"\x1b[1;31mhop:\x1b[0m" in shown) == is_painted
    assert (b"\x1b" in shown) == is_painted
    # A file is none.
    done = ours.run("doctor", *plain.options, plain.url("no-such-topic"))
    assert b"\x1b" not in done.out and "\x1b" not in done.err


def test_what_may_be_done_to_a_topic(home, ours):
    broker = HopBroker("--topic", "mine:1", "--topic", "notices:1", "--deny", "hop:write:notices", "--topic", "inbox:1",
                       "--deny", "hop:read:inbox")
    try:
        home.add_user(broker)
        done = ours.run("doctor", "--json", f"kafka://{broker.sasl_ssl}/mine,notices,inbox")
        said = [(finding["status"], finding["found"]) for finding in findings(done) if finding["check"] == "topic"]
    finally:
        broker.stop()
    [inbox, mine, notices] = said
    assert mine == ("good", "'mine', 1 partition, can be read and written; it is empty")
    assert notices == ("good", "'notices', 1 partition, can be read, not written; it is empty")
    assert inbox == ("failure", "'inbox' can be written, not read, by the rules of the broker")
    assert done.code == 1 and "1 thing is wrong" in done.err
