"""`hop subscribe`: what is printed, to the byte, of messages of every kind."""

import json

from hop.models import AvroBlob, VOEvent
from parity.case import HOP, LONG, Case
from parity.reasons import (
    DELIMITER, END, ONE_LINE, PERSIST, QUIET, SAME_TOPIC, SETTINGS, SILENCE, STUMBLES, SURROGATE, TEXT,
    UNREADABLE, because,
)
from support import CIRCULAR, VOEVENT

XML = VOEVENT.read_bytes()
FIELDS = str(VOEvent.load(XML)).encode()
LETTER = json.dumps({"header": {"title": "T", "number": "1", "subject": "É"}, "body": "one\ntwo\n"}).encode()

RECORD = bytes(AvroBlob({"name": "GRB", "ra": 1.5, "stamp": b"\xff"}))

# The other cases ask for quiet: Python's hop says at each step what it does.
ALOUD = "subscribe --no-auth -e -s EARLIEST $plain/$topic"


def typed(format, *values):
    """Messages that say in a header what they are."""
    return tuple((value, {"_format": format}) for value in values)


def read(name, messages=(), words="", **more):
    """Reads $topic of the plain listener from its beginning to its end."""
    return Case(name=f"subscribe-{name}", **{"command": f"subscribe --no-auth -q -e -s EARLIEST {words} $plain/$topic",
                                             "messages": messages, **more})


def envelope(format, content):
    return json.dumps({"format": format, "content": content}).encode()


OBJECTS = typed("json", b'{"a": 1, "b": [1.5, null]}', b'{"c":"\xc3\xa9"}', b"[1,2]", b"12345678901234567890")
# One test message among others.
TESTS = ((b"1", {"_format": "json"}), (b"2", {"_format": "json", "_test": "true"}),
         (b"3", {"_format": "json", "_test": "false"}), (b"4", {"_test": ""}), (b"5", {"test": "true"}))

CASES = [
    read("nothing"),
    read("json", OBJECTS),
    read("json-by-j", OBJECTS, "-j"),
    read("json-by-json", OBJECTS, "--json"),
    read("json-string", typed("json", b'"text"'), differs=because(TEXT, "stdout")),
    read("json-string-by-j", typed("json", b'"text"'), "-j"),
    read("json-floats", typed("json", b"[1.0, 1e5, 1E-7, 0.1, 1e400, -0.0, 123456789.123456789]")),
    read("json-not-a-number", typed("json", b"[NaN, Infinity]")),
    read("json-key-twice", typed("json", b'{"a": 1, "b": 2, "a": 3}')),
    read("json-escapes", typed("json", b'{"a": "\\u00e9\\n\\"\\/\x7f"}')),
    read("json-lone-surrogate", typed("json", b'["\\ud800"]'),
         differs=because(SURROGATE, "code", "stdout", "stderr")),
    read("json-with-line-end", typed("json", b'{"a": 1}\n')),
    read("json-malformed", typed("json", b"{not json", b"1"), differs=because(UNREADABLE, "stdout")),
    read("json-raw", OBJECTS[:1], ours="--raw"),
    read("blob", typed("blob", b"words", bytes(range(256)))),
    read("blob-with-line-end", typed("blob", b"words\n", b"more\n\n")),
    read("blob-empty", typed("blob", b"")),
    read("blob-by-j", typed("blob", b"words"), "-j", differs=because(ONE_LINE, "stdout")),
    read("blob-of-json", typed("blob", b'{"a":1}')),
    read("circular", typed("circular", LETTER)),
    read("circular-by-j", typed("circular", LETTER), "-j", differs=because(ONE_LINE, "stdout")),
    read("circular-no-header", typed("circular", b'{"header": {}, "body": "b"}')),
    read("circular-long-names", typed("circular", b'{"header": {"a-long-name": "v", "x": ""}, "body": ""}')),
    read("circular-malformed", typed("circular", b'{"header": 1}', b"no JSON")),
    read("voevent", typed("voevent", XML), differs=because(TEXT, "stdout")),
    read("voevent-raw", typed("voevent", XML), ours="--raw"),
    read("voevent-by-j", typed("voevent", XML), "-j", differs=because(ONE_LINE, "stdout")),
    read("voevent-of-json", typed("voevent", b'{"ivorn": "ivo://a/b#c", "role": "test"}'),
         differs=because(TEXT, "stdout")),
    read("voevent-malformed", typed("voevent", b"<voe:VOEvent", b"{}")),
    read("text-notice", typed("gcntextnotice", b"TITLE:  GCN\nDATE: now\n")),
    read("text-notice-by-j", typed("gcntextnotice", b"TITLE:  GCN\nDATE: now\n"), "-j",
         differs=because(ONE_LINE, "stdout")),
    read("text-notice-no-utf-8", typed("gcntextnotice", b"TITLE: \xff\n")),
    read("external", typed("external", b'{"url": "http://127.0.0.1:1/x"}'), env={"HOP_FETCH_EXTERNAL": "false"}),
    read("avro", typed("avro", RECORD), differs=because(TEXT, "stdout")),
    read("avro-by-j", typed("avro", RECORD), "-j", differs=because(ONE_LINE, "stdout")),
    read("avro-of-two-records", typed("avro", bytes(AvroBlob([1, 2], single_record=False))),
         differs=because(STUMBLES, "code", "stdout", "stderr")),
    read("avro-malformed", typed("avro", b"no Avro")),
    read("unknown-format", typed("donut", b"glaze"), command=ALOUD),
    read("unknown-format-quietly", typed("donut", b"glaze"), differs=because(QUIET, "stderr")),
    read("unknown-format-by-j", typed("donut", b"glaze"), command=ALOUD + " -j",
         differs=because(ONE_LINE, "stdout")),
    read("empty-format", typed("", b"words"), command=ALOUD),
    read("format-in-capitals", typed("JSON", b'{"a": 1}')),
    read("format-with-a-space", typed("json ", b'{"a":1}'), command=ALOUD),
    read("format-twice", ((b'{"a":1}', [("_format", "blob"), ("_format", "json")]),)),
    read("header-in-capitals", ((b'{"a":1}', {"_FORMAT": "blob"}),)),
    read("other-headers", ((b'{"a":1}', {"_id": b"0" * 16, "_sender": "me", "x": b"\xff", "_format": "json"}),)),
    read("header-without-value", ((b'{"a":1}', [("x", None), ("_format", "json")]),)),
    read("no-header-json", (b'{"a":1}',)),
    read("no-header-json-by-j", (b'{"a":1}',), "-j"),
    read("no-header-text", (b"words",)),
    read("no-header-no-utf-8", (b"\xff\xfe",)),
    read("no-header-empty", (b"",)),
    read("no-value", ((None, {"_format": "json"}),)),
    read("no-value-no-header", (None, b"1"), differs=because(STUMBLES, "code", "stdout", "stderr")),
    read("envelope-blob", (envelope("blob", "words"),), differs=because(TEXT, "stdout")),
    read("envelope-blob-by-j", (envelope("blob", "words"),), "-j"),
    read("envelope-blob-of-object", (envelope("blob", {"a": [True, None]}),)),
    read("envelope-circular", (envelope("circular", json.loads(LETTER)),)),
    read("envelope-circular-in-capitals", (envelope("CIRCULAR", json.loads(LETTER)),)),
    read("envelope-voevent", (envelope("voevent", json.loads(FIELDS)),), differs=because(STUMBLES, "stdout")),
    read("envelope-unknown", (envelope("donut", {"a": 1}),), differs=because(STUMBLES, "code", "stdout", "stderr")),
    read("envelope-malformed", (envelope("circular", {"head": 1}),)),
    read("envelope-format-is-a-number", (envelope(5, "x"),), differs=because(STUMBLES, "code", "stdout", "stderr")),
    read("envelope-without-content", (b'{"format": "blob"}',)),
    read("tests-are-passed-over", TESTS),
    read("tests-too", TESTS, "-t"),
    read("tests-too-by-long-option", TESTS, "--test"),
    read("test-that-is-malformed", ((b"{", {"_format": "json", "_test": "true"}), *typed("json", b"1"))),
    read("delimiter", OBJECTS, "-D '|'"),
    read("delimiter-escapes", OBJECTS, "-D '\\t--\\n'"),
    read("delimiter-zero", OBJECTS, "-D '\\0'"),
    read("delimiter-by-hex", OBJECTS, "--delimiter '\\x1e'"),
    read("delimiter-empty", OBJECTS, "-D ''"),
    read("delimiter-two-lines", typed("blob", b"a\n", b"b"), "-D '\\n\\n'"),
    read("delimiter-that-is-there", typed("blob", b"a|", b"b"), "-D '|'"),
    read("delimiter-beyond-ascii", OBJECTS, "-D é", differs=because(DELIMITER, "stdout")),
    read("latest", OBJECTS, command="subscribe --no-auth -q -e -s LATEST $plain/$topic"),
    read("latest-is-the-default", OBJECTS, command="subscribe --no-auth -q -e $plain/$topic"),
    read("not-quietly", OBJECTS, command=ALOUD, differs=because(SILENCE, "stderr")),
    read("verbosely", OBJECTS, command="subscribe --no-auth -v -e -s EARLIEST $plain/$topic",
         differs=because(SILENCE, "stderr")),
    read("with-credential", OBJECTS, auth=HOP, command="subscribe -q -e -s EARLIEST $secure/$topic"),
    read("with-credential-by-name", OBJECTS, auth=HOP,
         command="subscribe -q -e -s EARLIEST kafka://hop@$broker/$topic"),
    read("as-group", OBJECTS, "-g $group"),
    read("as-group-twice", OBJECTS, "-g $group", runs=2),
    read("as-group-by-long-option", OBJECTS, "--group-id=$group"),
    read("as-group-latest", OBJECTS, command="subscribe --no-auth -q -e -g $group $plain/$topic"),
    read("as-group-assigned", OBJECTS, "-g $group", runs=2, ours="--group-mode assign"),
    read("twice-without-group", OBJECTS, runs=2),
    read("unknown-topic", command="subscribe --no-auth -q -e $plain/no-such-topic"),
    read("one-unknown-topic", OBJECTS, command="subscribe --no-auth -q -e -s EARLIEST $plain/$topic,no-such-topic"),
    read("impossible-topic", command="subscribe --no-auth -q -e '$plain/not*a*topic'"),
    read("second-topic-empty", OBJECTS, command="subscribe --no-auth -q -e -s EARLIEST $plain/$topic,$other"),
    read("same-topic-twice", OBJECTS, command="subscribe --no-auth -q -e -s EARLIEST $plain/$topic,$topic",
         differs=because(SAME_TOPIC, "code", "stdout", "stderr")),
    read("forbidden-topic", command="subscribe -q -e $secure/$forbidden",
         auth='[[auth]]\nusername = "outsider"\npassword = "$outsider"\nssl_ca_location = "$ca"\n'),
    read("no-credential", command="subscribe -q -e $secure/t", auth=None),
    read("no-matching-credential", command="subscribe -q -e $secure/t", auth=HOP + 'hostname = "kafka.example.org"\n'),
    read("ambiguous-credential", command="subscribe -q -e $secure/t", auth=HOP + HOP),
    read("unsafe-credential", command="subscribe -q -e $secure/t", auth=HOP, mode=0o644),
    read("no-broker", command="subscribe --no-auth -q -e kafka://127.0.0.1:1/t"),
    read("old-config", OBJECTS, config='[auth]\nusername = "old"\npassword = "p"\n',
         differs=because(SETTINGS, "code", "stdout", "stderr")),
    read("settings", OBJECTS, config="[config]\nfetch_external = false\n"),
    read("broken-settings", OBJECTS, config="[config\n", differs=because(SETTINGS, "code", "stdout", "stderr")),
    read("bad-variable", OBJECTS, env={"HOP_FETCH_EXTERNAL": "perhaps"}),
    # Without -e: it goes on until it is stopped.
    read("without-until-eos", OBJECTS, command="subscribe --no-auth -q -s EARLIEST $plain/$topic", patience=LONG,
         differs=because(END, "code")),
    read("persist", OBJECTS, command="subscribe --no-auth -q -p -s EARLIEST $plain/$topic", patience=LONG,
         differs=because(PERSIST, "code", "stdout")),
]
