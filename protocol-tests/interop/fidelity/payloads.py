"""Messages as they come, with the format that a header names or without one: how each generation of senders writes
them, and what others put on a topic."""

import json

from fidelity.constructs import IVORN, described, what
from fidelity.differences import (
    ANY_BLOB, CIRCULAR_PARTS, EMPTY_BODY, HEADER_NAME, HEADER_VALUE, SURROGATE, UNKNOWN_FORMAT, because,
)
from fidelity.document import Message

JSON = {
    "object": b'{"foo":"bar", "baz":5}', "string": b'"str"', "integer": b"5", "negative": b"-17", "zero": b"-0",
    "float": b"5.0", "exponent": b"1e3", "exponent-in-capitals": b"1.0E+2", "negative-zero": b"-0.0", "tenth": b"0.1",
    "large-exponent": b"1e16", "small": b"[0.0001, 0.00001, 1e-7, 5e-324]", "infinite": b"1E400",
    "long-integer": b"[12345678901234567890, -99999999999999999999999999]",
    "long-float": b"[123456789.123456789, 0.30000000000000004, 1e22, 1e21, 123456789012345680.0]",
    "null": b"null", "constants": b"[true,false,null]", "empty-list": b"[]", "empty-object": b"{}",
    "nested": b'[1,[2,{"a":null,"b":[{}]}]]', "apostrophe": b'"it\'s"', "quotes": b'"say \\"hi\\""',
    "both-quotes": b'"both \' and \\""', "escapes": b'"tab\\tnl\\ncr\\r\\u0000\\u001b\\u007f\\u00a0\\u200b\\b\\f\\/"',
    "backslash": b'"back\\\\slash"', "beyond-ascii": '{"é":"α\u2028","🚀":"中文"}'.encode(),
    "pair-escaped": b'"\\ud83d\\ude80"', "delete": b'"\x7f"', "key-twice": b'{"a":1,"b":0,"a":2}',
    "key-empty": b'{"":1}',
    "not-a-number": b"NaN", "infinities": b"[Infinity,-Infinity]", "blanks-around": b'  {"a": 1}  \n',
    "blanks-within": b'{ "a" :\t[ 1 ,\r\n2 ] }', "order": b'{"z":1,"a":2,"m":3}',
}
NO_JSON = {
    "empty": b"", "trailing-comma": b"[1,]", "trailing-comma-in-object": b'{"a":1,}', "text-after": b'{"a":1} x',
    "apostrophes": b"{'a':1}", "leading-zero": b"01", "plus": b"+1", "no-digit": b".5", "dot-at-end": b"5.",
    "hex": b"0x10",
    "half-exponent": b"1e", "minus": b"-", "tab-in-string": b'"a\tb"', "line-in-string": b'"a\nb"',
    "unended": b'"unterminated',
    "unended-list": b"[1, 2", "escape-unknown": b'"\\x41"', "escape-short": b'"\\u12"', "comment": b"[1] // x",
    "word": b"hello",
    "constant-in-capitals": b"True", "nan-in-small": b"nan", "key-without-quotes": b"{a:1}", "no-colon": b'{"a" 1}',
    "mark": b'\xef\xbb\xbf{"a":1}', "utf-8-wrong": b'"\xff"', "utf-16": '{"a":1}'.encode("utf-16"),
    "latin-1": b'"\xe9"',
    "zero-byte": b"1\0",
}
BLOBS = {
    "text": b"hello", "lines": b"a\nb\r\n", "quotes": b'say "x"', "both-quotes": b"'\"",
    "all-bytes": bytes(range(256)),
    "backslash": b"\\x", "beyond-ascii": "é🚀".encode(), "json": b'{"a":1}', "empty": b"", "zeros": b"\0\1",
    "xml": b"<a/>",
    "surrogate": b"\xed\xa0\x80",
}
CIRCULARS = {
    "plain": {"header": {"title": "T", "number": "1"}, "body": "body\n"}, "empty": {"header": {}, "body": ""},
    "long-name": {"header": {"averylongname": "v"}, "body": "b"}, "mixed-case": {"header": {"TiTle": "x"},
    "body": "b"},
    "name-that-grows": {"header": {"straße": "x"}, "body": "b"}, "eight": {"header": {"abcdefgh": "v"}, "body": "b"},
    "seven": {"header": {"abcdefg": "v"}, "body": "b"}, "body-first": {"body": "b", "header": {"a": "b"}},
    "several-lines": {"header": {"a": "b\n c"}, "body": "\n\né\n"},
}
NO_CIRCULAR = {
    "no-body": b'{"header":{}}', "no-header": b'{"body":""}', "more": b'{"header":{},"body":"","x":1}',
    "list": b"[1]",
    "as-in-a-file": b"TITLE: x\n\nbody", "empty": b"", "null": b"null", "string": b'"x"',
}
NOTICES = {
    "real": b"TITLE:            GCN/FERMI NOTICE\nNOTICE_DATE:      Thu 26 Nov 26 10:00:00 UT\nSRC_RA:           103.78d"
            b" {+06h 55m 09s} (J2000),\n                  104.11d {+06h 56m 27s} (current)\nCOMMENTS:         One.\n"
            b"COMMENTS:         Two: three.\n\n",
    "empty": b"", "one": b"TITLE: x", "continued": b"A: 1\n  more\n", "continued-with-colon": b"A: 1\n  12:30 more\n",
    "continued-at-first": b"no colon\nA: 1\n", "blanks": b"\n\n A: 1 \n B : 2\t\n\n", "empty-value": b"A:\nB: 2\n",
    "empty-lines": b"A: 1\n\nB: 2\n", "windows": b"A: 1\r\nB: 2\r\n", "old-mac": b"A: 1\rB: 2\r",
    "cases": b"Title: x\nTITLE: y\n",
    "name-of-words": b"A B : x \n", "mark": b"\xef\xbb\xbfA: 1\n", "beyond-ascii": "Ü: é\nσ: Σ\n".encode(),
    "no-name": b": v\n",
    "form-feed": b"A: 1\x0cB: 2\n", "line-ends-of-unicode": "A: 1\u2028B: 2\u0085C: 3\x1cD: 4".encode(),
    "line-in-name": b"abc\ndef: 1\n",
    "capital-that-grows": "İ: 1\n".encode(), "no-break-spaces": "\u00a0A\u00a0: \u00a01\u00a0\n".encode(),
    "tabs": b"A:\t1\n\tmore\n",
    "colons": b"A:: 1\n::\n", "separator": b"A: 1\x1fB\n  \x1f more\n",
}
EVENTS = {
    "xml": described("é").encode(), "xml-with-params": what("<Param name='a' value='1'/><Param name='b'/>").encode(),
    "json": b'{"ivorn": "i", "role": "test", "What": {"Param": [{"name": "a", "value": "1"}, {"name": "b", "D": "d"}]}}',
    "json-nulls": b'{"ivorn": "i", "Description": null, "Who": {"Date": null}}',
    "json-text": b'{"ivorn": "i", "Citations": {"EventIVORN": {"cite": "followup", "#text": "ivo://q"}}}',
    "json-escapes": b'{"ivorn": "a&b<\\"", "Description": "x<y>&\\"\'\\u00e9"}',
    "json-numbers": b'{"ivorn": "i", "What": {"n": 5, "t": true, "f": 1.5, "name": 7}}',
    "json-list": b'{"ivorn": "i", "How": {"Description": ["a", "b", null]}}',
    "json-empty-list": b'{"ivorn": "i", "What": {"Param": []}}', "json-blanks": b'\n {"ivorn": "i"}\n',
}
NO_EVENTS = {
    "json-more": b'{"ivorn": "i", "Foo": 1}', "json-no-ivorn": b'{"role": "x"}', "no-prefix": b'<VOEvent ivorn="i"/>',
    "garbage": b"garbage", "empty": b"", "json-list-alone": b"[]", "json-cut": b'{"ivorn": "i"',
}
PLAIN = {
    "object": b'{"a":1}', "list": b"[1,2]", "null": b"null", "number": b"17.50", "string": b'"x"', "text": b"hello",
    "empty": b"",
    "not-a-number": b"NaN", "utf-8-wrong": b"\xff\xfe", "xml": b"<voe:VOEvent ivorn='i'/>",
    "format-alone": b'{"format": "voevent"}',
    "content-alone": b'{"content": 1}', "cut": b'{"a": 1', "mark": b"\xef\xbb\xbf{}",
}


def envelope(format, content, **more):
    return json.dumps({"format": format, "content": content, **more}).encode()


# As hop-client before 0.6 sent them, and what looks like that.
ENVELOPES = {
    "blob": envelope("blob", {"x": 1}), "blob-string": envelope("blob", "hi é"), "blob-null": envelope("blob", None),
    "blob-list": envelope("blob", [1.5, "a", True, None]),
    "blob-not-a-number": b'{"format":"blob","content":{"x":NaN}}',
    "blob-and-more": envelope("blob", 1, z=2), "content-first": b'{"content": [1], "format": "blob"}',
    "voevent": envelope("voevent", {"ivorn": "i", "role": "test", "What": {"Param": [{"name": "a"}, None]}}),
    "voevent-in-capitals": envelope("VOEVENT", {"ivorn": "i"}), "circular": envelope("circular", CIRCULARS["plain"]),
    "circular-mixed-case": envelope("Circular", CIRCULARS["several-lines"]),
}
NO_ENVELOPES = {
    "voevent-no-ivorn": envelope("voevent", {"role": "test"}), "voevent-more": envelope("voevent", {"ivorn": "i",
    "Foo": 1}),
    "circular-bad": envelope("circular", {"nope": 1}), "circular-string": envelope("circular", "x"),
    "voevent-string": envelope("voevent", "<voe:VOEvent ivorn='i'/>"),
}

INTENDED = [
    Message("json-half-a-pair", b'["\\ud800"]', b"json", because(SURROGATE, "taken")),
    Message("circular-number", b'{"header":{"number":5},"body":"b"}', b"circular", because(HEADER_VALUE, "text")),
    Message("circular-no-body", b'{"header":{},"body":null}', b"circular", because(EMPTY_BODY, "json", "text")),
    Message("circular-header-is-a-list", b'{"header":[],"body":"b"}', b"circular", because(CIRCULAR_PARTS, "taken")),
    Message("circular-value-is-a-list", b'{"header":{"a":[1]},"body":"b"}', b"circular",
            because(CIRCULAR_PARTS, "taken")),
    Message("circular-body-is-a-number", b'{"header":{},"body":5}', b"circular", because(CIRCULAR_PARTS, "taken")),
    Message("envelope-BLOB", envelope("BLOB", "hi"), None, because(ANY_BLOB, "taken")),
    Message("envelope-unknown", envelope("donut", {"a": 1}), None, because(UNKNOWN_FORMAT, "taken")),
    Message("envelope-unknown-string", envelope("donut", "a"), None, because(UNKNOWN_FORMAT, "taken")),
    Message("envelope-number", envelope(5, "x"), None, because(UNKNOWN_FORMAT, "taken")),
    Message("format-no-utf-8", b"abc", b"\xff", because(HEADER_NAME, "taken")),
    Message("format-without-value", b"abc", "none", because(HEADER_NAME, "taken")),
]


def documents():
    groups = [("json", b"json", JSON), ("no-json", b"json", NO_JSON), ("blob", b"blob", BLOBS),
              ("no-circular", b"circular", NO_CIRCULAR), ("notice", b"gcntextnotice", NOTICES),
              ("no-notice", b"gcntextnotice", {"utf-8-wrong": b"A: \xff\n", "latin-1": b"A: caf\xe9\n"}),
              ("voevent", b"voevent", EVENTS), ("no-voevent", b"voevent", NO_EVENTS), ("plain", None, PLAIN),
              ("envelope", None, ENVELOPES), ("no-envelope", None, NO_ENVELOPES)]
    plain = [Message(f"{kind}-{name}", content, format) for kind, format, group in groups
             for name, content in group.items()]
    circulars = [Message(f"circular-{name}", json.dumps(value).encode(), b"circular")
                 for name, value in CIRCULARS.items()]
    names = [Message(f"format-{name!r}", b"[1,2]", name.encode())
             for name in ("JSON", "Blob", "CIRCULAR", "json ", "", "donut", "_")]
    return [*plain, *circulars, *names, *INTENDED]
