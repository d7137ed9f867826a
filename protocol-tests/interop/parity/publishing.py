"""`hop publish`: what is stored on the topic, to the byte, with its key and headers."""

from hop.models import AvroBlob
from parity.case import HOP, LONG, Case
from parity.reasons import (
    AVRO, DIRECTORY, JSON_FORM, LINES, LINE_ENDS, NO_BROKER, NO_LINES, SETTINGS, SILENCE, SURROGATE, because,
)
from support import CIRCULAR, VOEVENT

XML = VOEVENT.read_bytes()
LETTER = CIRCULAR.read_bytes()
NOTICE = b"TITLE:           GCN/FERMI NOTICE\nNOTICE_DATE:     Thu 26 Nov 26 10:00:00 UT\nCOMMENTS:        a\n  b\n"


def send(name, words="", content=None, **more):
    """Publishes to $topic of the plain listener; `content` is in the file f, or in files of these names."""
    files = content if isinstance(content, dict) else {} if content is None else {"f": content}
    named = " ".join(files)
    return Case(name=f"publish-{name}", **{"command": f"publish --no-auth -q {words} $plain/$topic {named}",
                                           "files": files, "stores": True, **more})


def lines(name, words, stdin, **more):
    return send(f"lines-{name}", words, stdin=stdin, **more)


CASES = [
    send("voevent", "-f VOEVENT", XML, differs=because(JSON_FORM, "stored")),
    send("voevent-original", "-f VOEVENT", XML, ours="--wire original"),
    send("voevent-test", "-t -f VOEVENT", XML, ours="--wire original"),
    send("voevent-mismatched", "-f VOEVENT", b"<voe:VOEvent ivorn='ivo://a/b'><Who></What></voe:VOEvent>"),
    send("voevent-another-root", "-f VOEVENT", b"<html><body/></html>"),
    send("voevent-without-ivorn", "-f VOEVENT", b"<voe:VOEvent role='test'/>"),
    send("voevent-empty", "-f VOEVENT", b""),
    send("circular", "-f CIRCULAR", LETTER),
    send("circular-crlf", "-f CIRCULAR", LETTER.replace(b"\n", b"\r\n")),
    send("circular-beyond-ascii", "-f CIRCULAR", "TITLE: É\nFROM: Ü <u@x>\n\nα β\n\n".encode()),
    send("circular-continued-header", "-f CIRCULAR", b"SUBJECT: part one\n part two\nNUMBER: 1\n\nbody"),
    send("circular-without-header", "-f CIRCULAR", b"\nbody only\n"),
    send("circular-empty", "-f CIRCULAR", b""),
    send("circular-latin-1", "-f CIRCULAR", "TITLE: T\n\nMüller\n".encode("latin-1")),
    send("blob", "-f BLOB", bytes(range(256)) + b"\r\n\n"),
    send("blob-is-the-default", "", b"no format given\n"),
    send("blob-empty", "-f BLOB", b""),
    send("blob-test", "--test -f BLOB", b"x"),
    send("json", "-f JSON", b'{"a": [1, 2.5, -3e10, null, true], "b": {"c": "d"}}\n'),
    send("json-compact-and-beyond-ascii", "-f JSON", '{"é":"α\\u2028","n":12345678901234567890,"f":1E5}'.encode()),
    send("json-string", "-f JSON", b'"text"'),
    send("json-key-twice", "-f JSON", b'{"a": 1, "b": 2, "a": 3}'),
    send("json-not-a-number", "-f JSON", b'[NaN, Infinity, -Infinity]'),
    send("json-lone-surrogate", "-f JSON", b'"\\ud800"', differs=because(SURROGATE, "code", "stored", "stderr")),
    send("json-byte-order-mark", "-f JSON", b'\xef\xbb\xbf{}'),
    send("json-malformed", "-f JSON", b"{not json"),
    send("json-empty", "-f JSON", b""),
    send("json-latin-1", "-f JSON", b'"\xe9"'),
    send("json-test", "-t -f JSON", b"{}"),
    send("text-notice", "-f GCNTEXTNOTICE", NOTICE),
    send("text-notice-no-utf-8", "-f GCNTEXTNOTICE", b"TITLE: \xff\n"),
    send("external", "-f EXTERNAL", b'{"url": "https://example.org/x"}'),
    send("external-with-more", "-f EXTERNAL", b'{"url": "https://example.org/x", "more": 1}'),
    send("external-without-url", "-f EXTERNAL", b'{"link": "https://example.org/x"}'),
    send("avro", "-f AVRO", bytes(AvroBlob({"a": 1})), differs=because(AVRO, "stored")),
    send("avro-of-two-records", "-f AVRO", bytes(AvroBlob([1, 2], single_record=False)),
         differs=because(AVRO, "code", "stored", "stderr")),
    send("avro-cut-off", "-f AVRO", b"Obj\x01"),
    send("avro-malformed", "-f AVRO", b"{}"),
    send("avro-empty", "-f AVRO", b""),
    send("several-files", "-f JSON", {"a": b'{"n": 1}', "b": b'{"n": 2}', "c": b'{"n": 3}'}),
    send("same-file-twice", "-f JSON", {"a": b'{"n": 1}'}, command="publish --no-auth -q -f JSON $plain/$topic a a"),
    send("files-and-lines", "-f JSON", {"a": b'{"n": 1}'}, stdin=b'{"n": 2}\n'),
    send("format-behind-files", "", {"a": b'{"n": 1}'}, command="publish --no-auth -q $plain/$topic a -f JSON"),
    send("missing-file", "", command="publish --no-auth -q $plain/$topic missing"),
    send("missing-first-file", "", {"a": b"1"}, command="publish --no-auth -q $plain/$topic missing a"),
    send("directory", "", {"folder/a": b"1"}, command="publish --no-auth -q $plain/$topic folder",
         differs=because(DIRECTORY, "code", "stored", "stderr")),
    send("unreadable-file", "", {"f": b"1"}, command="publish --no-auth -q $plain/$topic f/below"),
    lines("json", "-f JSON", b'{"a": 1}\n[2]\n"s"\n'),
    lines("json-no-line-end", "-f JSON", b'{"a": 1}'),
    lines("json-crlf", "-f JSON", b'{"a": 1}\r\n{"a": 2}\r\n'),
    lines("json-spacing", "-f JSON", b'{"a":1,"b":[1,2]}\n  5  \n'),
    lines("json-beyond-ascii", "-f JSON", '{"é": "α"}\n'.encode()),
    lines("json-line-separators", "-f JSON", '"a\u2028b"\n'.encode(),
          differs=because(LINE_ENDS, "code", "stored", "stderr")),
    lines("json-malformed-first", "-f JSON", b'not json\n{"a": 1}\n'),
    # What came before is sent by one and perhaps lost by the other.
    lines("json-blank-line", "-f JSON", b'{"a": 1}\n\n{"a": 2}\n', stores=False),
    lines("json-carriage-returns", "-f JSON", b'{"a": 1}\r{"a": 2}\r',
          differs=because(LINE_ENDS, "code", "stored", "stderr")),
    lines("json-test", "-t -f JSON", b"{}\n"),
    lines("blob-of-json", "-f BLOB", b'{"a": 1}\n', differs=because(LINES, "code", "stored", "stderr")),
    lines("default-of-json", "", b'{"a": 1}\n', differs=because(LINES, "code", "stored", "stderr")),
    lines("blob-of-text", "-f BLOB", b"plain words\n"),
    lines("none", "-f JSON", b""),
    lines("none-for-voevent", "-f VOEVENT", b"", differs=because(NO_LINES, "code", "stderr")),
    lines("for-voevent", "-f VOEVENT", b"x\n"),
    lines("for-circular", "-f CIRCULAR", b"x\n"),
    Case(name="publish-with-credential", command="publish -q -f JSON $secure/$topic", auth=HOP, stores=True,
         stdin=b'{"a": 1}\n'),
    Case(name="publish-with-credential-by-name", command="publish -q -f JSON kafka://hop@$broker/$topic", auth=HOP,
         stores=True, stdin=b'{"a": 1}\n'),
    Case(name="publish-circular-with-credential", command="publish -q -t -f CIRCULAR $secure/$topic f", auth=HOP,
         stores=True, files={"f": LETTER}),
    Case(name="publish-not-quietly", command="publish --no-auth -f JSON $plain/$topic", stores=True, stdin=b"1\n",
         differs=because(SILENCE, "stderr")),
    Case(name="publish-verbosely", command="publish --no-auth -v -f JSON $plain/$topic", stores=True, stdin=b"1\n"),
    Case(name="publish-with-timeout", command="publish --no-auth -q --timeout 30 -f JSON $plain/$topic", stores=True,
         stdin=b"1\n"),
    Case(name="publish-with-timeout-0", command="publish --no-auth -q --timeout 0 -f JSON $plain/$topic", stores=True,
         stdin=b"1\n"),
    Case(name="publish-two-topics", command="publish --no-auth -q -f JSON $plain/$topic,$other", stores=True,
         stdin=b"1\n"),
    Case(name="publish-forbidden", command="publish -q -f JSON $secure/$forbidden", stdin=b"1\n",
         auth='[[auth]]\nusername = "outsider"\npassword = "$outsider"\nssl_ca_location = "$ca"\n'),
    Case(name="publish-no-credential", command="publish -q -f JSON $secure/t", auth=None, stdin=b"1\n"),
    Case(name="publish-no-matching-credential", command="publish -q -f JSON $secure/t", stdin=b"1\n",
         auth=HOP + 'hostname = "kafka.example.org"\n'),
    Case(name="publish-ambiguous-credential", command="publish -q -f JSON $secure/t", stdin=b"1\n", auth=HOP + HOP),
    Case(name="publish-no-broker", command="publish --no-auth -q -f JSON kafka://127.0.0.1:1/t", stdin=b"1\n",
         patience=LONG, differs=because(NO_BROKER, "code")),
    Case(name="publish-old-config", command="publish --no-auth -q -f JSON $plain/$topic", stores=True, stdin=b"1\n",
         config='[auth]\nusername = "old"\npassword = "p"\n', differs=because(SETTINGS, "code", "stored", "stderr")),
]
