"""Messages too large for their topic, kept by a service beside the broker: ours and hop-client's, both ways."""

import json
import subprocess

import pytest
from hop import bson

from store_server import StoreServer
from support import PATIENCE, Listener, interrupt, wait_for_lines

# The topic takes 20,000 bytes.
LIMIT = 20_000
LARGE = json.dumps({"text": "x" * 30_000}).encode()


@pytest.fixture(scope="module")
def store(kafka):
    """The service, which the broker names while the tests of this file run."""
    server = StoreServer(kafka.passwords)
    if "sys.metadata" not in kafka.admin.list_topics(timeout=10).topics:
        kafka.new_topic(name="sys.metadata")
    kafka.produce("sys.metadata", [json.dumps({"LargeMessageUploadEndpoint": server.url})])
    yield server
    kafka.produce("sys.metadata", ["{}"])
    server.close()


@pytest.fixture
def topic(kafka, store):
    store.answer = store.proof = None
    store.asked.clear()
    name = kafka.new_topic(max_message_bytes=LIMIT)
    yield name
    # What stands there cannot be had any more when the service has gone, and other tests look at all topics.
    kafka.admin.delete_topics([name])[name].result(60)


@pytest.fixture
def url(secure, topic):
    return secure.url(topic)


def place(kafka, topic, url, headers=None):
    kafka.produce(topic, [json.dumps({"url": url})], headers={"_format": b"external", **(headers or {})})


def test_ours_is_kept_and_read_by_both(kafka, ours, theirs, store, topic, url):
    ours.run("publish", "-f", "JSON", "--key", "k", url, stdin=LARGE).ok()
    [message] = kafka.read_all(topic)
    headers = dict(message.headers())
    [(kept, document)] = [(path, store.kept[path]) for path in store.kept if b"xxxx" in store.kept[path]][-1:]
    assert headers["_format"] == b"external" and headers["_sender"] == b"hop" and message.key() == b"k"
    assert json.loads(message.value()) == {"url": f"{store.url.removesuffix('/store')}{kept}"}
    # What stands on the topic is a message of its own.
    assert headers["_id"].hex() != kept.rsplit("/", 1)[1].replace("-", "")
    assert b"_sender" in document
    assert store.asked == [("POST", f"/store/topic/{topic}+oversized", "hop")]
    for program, options in ((ours, ["-j"]), (theirs, ["-e"])):
        store.asked.clear()
        result = program.run("subscribe", "-s", "EARLIEST", *options, url).ok()
        assert json.loads(result.text) == json.loads(LARGE)
        assert store.asked == [("GET", kept, "hop")]


def test_theirs_is_read_as_it_was_sent(ours, theirs, store, url):
    theirs.run("publish", "-f", "JSON", url, stdin=LARGE).ok()
    assert [method for method, _, _ in store.asked] == ["POST"]
    assert json.loads(ours.run("subscribe", "-s", "EARLIEST", "-j", url).ok().text) == json.loads(LARGE)


def test_the_message_is_the_one_that_was_kept_with_all_that_came_with_it(kafka, ours, store, topic, url):
    kept = store.keep(b"TITLE:   T\n\nbody", [["_format", b"gcntextnotice"], ["mine", b"1"]], key=b"kept")
    place(kafka, topic, kept, {"mine": b"2"})
    line = json.loads(ours.run("subscribe", "-s", "EARLIEST", "--format", "ndjson", url).ok().text)
    assert line["format"] == "gcntextnotice" and line["key"] == "kept"
    assert line["headers"] == [["_format", "gcntextnotice"], ["mine", "1"]]
    assert line["timestamp"] == 1_700_000_000_000 and line["topic"] == topic and line["offset"] == 0
    assert ours.run("subscribe", "-s", "EARLIEST", "--raw", url).ok().text == "TITLE:   T\n\nbody\n"
    assert ours.run("tail", url).ok().text == "TITLE:   T\n\nbody\n"


@pytest.mark.parametrize("how", [{"env": {"HOP_FETCH_EXTERNAL": "no"}}, {"config": "[config]\nfetch_external = false\n"}])
def test_who_does_not_want_it_sees_where_it_is(kafka, home, ours, store, topic, url, how):
    place(kafka, topic, f"{store.url}/msg/x")
    if "config" in how:
        (home.path / "hop" / "config.toml").write_text(how["config"])
    result = ours.run("subscribe", "-s", "EARLIEST", url, env=how.get("env")).ok()
    assert result.text == json.dumps({"url": f"{store.url}/msg/x"}) + "\n"
    assert store.asked == []


def test_who_does_not_want_it_kept_is_told_that_it_is_too_large(ours, store, url):
    result = ours.run("publish", "-f", "JSON", url, stdin=LARGE, env={"HOP_AUTOMATIC_OFFLOAD": "0"})
    assert result.code == 1 and "MESSAGE_TOO_LARGE" in result.err, result.err
    assert store.asked == []


def test_what_fits_is_not_kept_elsewhere(ours, store, url):
    ours.run("publish", "-f", "JSON", url, stdin=json.dumps("y" * (LIMIT - 400)).encode()).ok()
    assert store.asked == []


def test_a_stranger_s_address_is_not_asked_unless_the_user_trusts_it(kafka, ours, store, topic, url):
    stranger = StoreServer(kafka.passwords)
    try:
        kept = stranger.keep(b'"theirs"', [["_format", b"json"]])
        # The same host, but not the service that the broker names.
        place(kafka, topic, kept)
        kafka.produce(topic, ['"behind"'], headers={"_format": b"json"})
        result = ours.run("subscribe", "-s", "EARLIEST", url)
        assert result.code == 1 and result.lines == ["behind"]
        assert f"is kept at {kept}, which is not on the service that the broker names" in result.err
        assert stranger.asked == []
        result = ours.run("subscribe", "-s", "EARLIEST", "--external-host", "LOCALHOST", url).ok()
        assert result.lines == ["theirs", "behind"]
        # It learns nothing of the user.
        assert [user for _, _, user in stranger.asked] == ["nobody"]
    finally:
        stranger.close()


def test_more_than_is_wanted_is_not_read(kafka, ours, store, topic, url):
    place(kafka, topic, store.keep(b"z" * 50_000, []))
    result = ours.run("subscribe", "-s", "EARLIEST", "--external-limit", "40000", url)
    assert result.code == 1 and result.text == ""
    assert "its answer is larger than 40000 bytes" in result.err


@pytest.mark.parametrize("answer, words", [
    ((404, b"no such message"), "it answers 404 Not Found: no such message"),
    ((302, b""), "it answers 302 Found"),
])
def test_what_cannot_be_fetched_is_named_and_the_rest_is_read(kafka, ours, store, topic, url, answer, words):
    place(kafka, topic, f"{store.url}/msg/x")
    kafka.produce(topic, ['"behind"'], headers={"_format": b"json"})
    store.answer = answer
    result = ours.run("subscribe", "-s", "EARLIEST", url)
    assert result.code == 1 and result.lines == ["behind"]
    assert f"topic '{topic}', partition 0, offset 0" in result.err and words in result.err, result.err


@pytest.mark.parametrize("kept, words", [
    (b"not bson", "gives no message: it is not BSON"),
    (bson.dumps({"message": b"m"}), "it has no `metadata`"),
])
def test_what_is_kept_and_is_no_message_is_named(kafka, ours, store, topic, url, kept, words):
    store.kept["/store/msg/wrong"] = kept
    place(kafka, topic, f"{store.url}/msg/wrong")
    result = ours.run("subscribe", "-s", "EARLIEST", url)
    assert result.code == 1 and result.text == "" and words in result.err, result.err


def test_a_service_that_does_not_know_the_password_is_not_believed(kafka, ours, store, topic, url):
    place(kafka, topic, store.keep(b'"forged"', [["_format", b"json"]]))
    store.proof = "v=" + "A" * 86 + "=="
    result = ours.run("subscribe", "-s", "EARLIEST", url)
    assert result.code == 1 and result.text == "" and "forged" not in result.err


def test_a_service_that_does_not_prove_itself_is_not_believed_without_tls(kafka, ours, store, topic, url):
    place(kafka, topic, f"{store.url}/msg/x")
    store.answer = (200, bson.dumps({"message": b'"forged"', "metadata": {"headers": [], "timestamp": 1}}))
    result = ours.run("subscribe", "-s", "EARLIEST", url)
    assert result.code == 1 and result.text == ""
    assert "it does not prove that it knows the password" in result.err


def test_a_service_that_is_away_passes_nothing_over(kafka, home, ours, store, topic, url):
    place(kafka, topic, store.keep(b'"kept"', [["_format", b"json"]]))
    kafka.produce(topic, ['"behind"'], headers={"_format": b"json"})
    store.answer = (503, b"back soon")
    result = ours.run("subscribe", "-s", "EARLIEST", "-g", f"hop-{topic}", url)
    assert result.code == 1 and result.text == "" and "503 Service Unavailable: back soon" in result.err
    received = home.path / "received"
    with open(received, "wb") as output:
        follower = ours.start("subscribe", "-p", "-s", "EARLIEST", "-g", f"hop-{topic}", url, stdout=output,
                              stderr=subprocess.PIPE)
        line = follower.stderr.readline()
        while b"it is asked for again" not in line:
            line = follower.stderr.readline()
        store.answer = None
        wait_for_lines(received, 2)
        interrupt(follower)
        assert follower.wait(PATIENCE) == 0
    assert received.read_text() == "kept\nbehind\n"


def test_what_the_service_does_not_take_is_not_published(kafka, ours, store, topic, url):
    store.answer = (413, b"too large for us, too")
    result = ours.run("publish", "-f", "JSON", url, stdin=LARGE)
    assert result.code == 1 and "it answers 413 Payload Too Large: too large for us, too" in result.err, result.err
    assert kafka.read_all(topic) == []


def test_without_a_credential_nothing_is_kept(kafka, ours, store, topic):
    result = ours.run("publish", "--no-auth", "-f", "JSON", Listener(kafka, "plaintext").url(topic), stdin=LARGE)
    assert result.code == 1 and "401" in result.err, result.err
