"""Circulars as observers write them, and as they should not: invented, and the same in every run."""

import random

from fidelity.differences import MULTIPART, because
from fidelity.document import Document

COUNT = 250

HEAD = ("TITLE:   GCN CIRCULAR\nNUMBER:  123\nSUBJECT: GRB 270412B: optical observations\n"
        "DATE:    27/04/12 21:14:08 GMT\nFROM:    Ada Nordlund at Example Observatory <ada@example.org>\n")

TEXTS = {
    "no-body": HEAD + "\n",
    "no-empty-line": HEAD,
    "no-end-of-line": HEAD.removesuffix("\n"),
    "empty": "",
    "only-a-line-end": "\n",
    "only-line-ends": "\n\n\n",
    "only-blanks": "   \n",
    "no-header": "hello world\nmore\n",
    "no-header-but-empty-line": "\nbody\n",
    "body-of-one-letter": "A: b\n\nx",
    "windows": (HEAD + "\nb1\nb2\n").replace("\n", "\r\n"),
    "old-mac": (HEAD + "\nb1\nb2\n").replace("\n", "\r"),
    "line-ends-mixed": HEAD + "\r\nb1\r\nb2\nb3\r\rb4",
    "line-ends-mixed-in-header": "A: 1\r\nB: 2\rC: 3\n\r\nbody",
    "carriage-return-within": "A: 1\r2\n\nx\ry",
    "beyond-ascii": "SUBJECT: Frédéric Ω 🚀\nFROM: 中文\n\ncorps é\n",
    "beyond-ascii-name": "TÏTLE: t\nNUMBER: 5\n\nx\n",
    "beyond-ascii-name-later": "TITLE: t\nÜBER: 5\n\nx\n",
    "folded": "SUBJECT: part one\n part two\n\tpart three\nDATE: d\n\nb\n",
    "folded-at-once": "SUBJECT:\n   value\nDATE: d\n\nb\n",
    "folded-and-blank": "SUBJECT: one\n \n two\nDATE: d\n\nb\n",
    "folded-to-the-end": "SUBJECT: one\n two",
    "folded-colon": "SUBJECT: one\n NUMBER: 5\n\nb\n",
    "folded-before-all": " lost\nA: b\n\nx",
    "folded-windows": "SUBJECT: one\r\n two\r\n\r\nb\r\n",
    "folded-trailing-blanks": "SUBJECT: one  \n two  \n\nb\n",
    "names-in-small": "title: t\nnumber: 4\n\nx\n",
    "names-mixed": "TiTle: t\nx-Extra-2: e\n\nx\n",
    "names-of-signs": "!#$%&'*+-.^_`|~: v\n(a): w\na/b: x\n\"q\": y\n<b>: z\n\nx\n",
    "names-long": "VERYLONGHEADERNAME: v\nABCDEFG: 7\nABCDEFGH: 8\n\nx\n",
    "name-empty": ": v\nNUMBER: 5\n\nx\n",
    "name-empty-continued": ": v\n w\nNUMBER: 5\n\nx\n",
    "name-empty-alone": ":\n\nx\n",
    "name-with-blank": "TITLE : t\nNUMBER: 5\n\nx\n",
    "name-with-blank-later": "NUMBER: 5\nSUB JECT: t\n\nx\n",
    "name-of-digits": "1: v\n22:w\n\nx\n",
    "names-of-mail": "Message-Id: <1>\nReceived: from a by b;\n\tdate\nReceived: again\nMIME-Version: 1.0\n\nx\n",
    "no-blank-after-colon": "TITLE:t\nNUMBER:5\n\nx\n",
    "blanks-after-colon": "TITLE:  \t  t  \t\n\nx\n",
    "value-empty": "TITLE:\nNUMBER:   \nSUBJECT: s\n\nx\n",
    "value-with-colons": "DATE: 12:34:56\nURL: https://example.org:443/\n\nx\n",
    "value-of-mail-words": "SUBJECT: =?utf-8?q?caf=C3=A9?= =?utf-8?b?w6k=?=\n\nx\n",
    "value-no-break-spaces": "TITLE:\u00a0t\u00a0\nNUMBER: \u2003x\n\nx\n",
    "value-with-tabs": "TITLE:\tt\tu\n\nx\n",
    "value-long": f"SUBJECT: {'long ' * 5000}\n\nx\n",
    "repeated": "SUBJECT: a\nSUBJECT: b\n\nx\n",
    "repeated-apart": "A: 1\nB: 2\na: 3\nC: 4\nA:\n\nx\n",
    "not-a-header-midway": "TITLE: t\nnot a header\nNUMBER: 5\n\nx\n",
    "leading-lines": "\n\nTITLE: t\n\nx\n",
    "blank-line-is-no-separator": "TITLE: t\n   \nNUMBER: 5\n\nx\n",
    "blank-line-then-body": "TITLE: t\n \nbody: no\nbody\n",
    "byte-order-mark": "\ufeffTITLE: t\nNUMBER: 5\n\nx\n",
    "byte-order-mark-later": "TITLE: \ufefft\n\n\ufeffx\n",
    "zeros": "TITLE: a\0b\n\nx\0y\n",
    "control-characters": "TITLE: a\x01\x7fb\n\nx\x1by\x08\n",
    "separators-of-unicode": "TITLE: a\u2028b\u2029c\u0085d\n\nx\u2028y\u0085z\n",
    "separators-of-ascii": "TITLE: a\x0bb\x0cc\x1cd\x1de\x1ef\n\nx\x0by\x0cz\x1c\n",
    "form-feed-alone": "TITLE: a\n\x0c\nB: c\n\nx\n",
    "mailbox-line": "From foo@bar Mon Jan 1\nTITLE: t\n\nx\n",
    "mailbox-line-later": "TITLE: t\nFrom here on\nNUMBER: 5\n\nx\n",
    "mailbox-line-last": "TITLE: t\nFrom here on\n\nmore\n",
    "mailbox-line-before-prose": "TITLE: t\nFrom here on\nmore\n",
    "mailbox-line-alone": "From here\n",
    "mailbox-line-alone-and-prose": "From here\nmore\n",
    "mailbox-line-at-the-end": "TITLE: t\nFrom here",
    "mailbox-line-twice": "From a\nFrom b\nTITLE: t\n\nx\n",
    "mailbox-line-twice-later": "TITLE: t\nFrom a\nFrom b\n\nx\n",
    "mailbox-line-continued": "TITLE: t\nFrom a\n lost\nB: c\n\nx\n",
    "mailbox-line-with-colon": "From : a\nB: c\n\nx\n",
    "mailbox-line-escaped": "TITLE: t\n>From a\n\nx\n",
    "headers-in-body": HEAD + "\nTITLE: inner\n\nmore\n",
    "trailing-lines": HEAD + "\nbody\n\n\n\n",
    "leading-lines-of-body": HEAD + "\n\n\n  body\n",
    "blanks-at-ends": HEAD + "\n  body  \n\t\n",
    "footer": HEAD + "\nbody\n\n\n---\nTo unsubscribe\n",
    "dots": HEAD + "\n.\n..\n.hidden\n",
    "base64": "TITLE: t\nContent-Transfer-Encoding: base64\n\naGVsbG8=\n",
    "quoted-printable": "TITLE: t\nContent-Transfer-Encoding: quoted-printable\n\na=20b=\nc\n",
    "content-type": "TITLE: t\nContent-Type: text/html; charset=latin-1\n\n<p>x</p>\n",
    "multipart-without-boundary": "TITLE: t\nContent-Type: multipart/mixed\n\nx\n",
    "markup": "TITLE: <b>&amp;</b>\n\n<p>\\u0041 {} \"'</p>\n",
    "long-body": HEAD + "\n" + "A line of the body, é.\n" * 5000,
    "long-line": HEAD + "\n" + "x" * 200000,
    "many-headers": "".join(f"H{number}: {number}\n" for number in range(500)) + "\nx\n",
    "capital-that-grows": "STRASSE: ß\n\nﬁ\n",
}

# What email makes parts of, and the model of hop-client a list.
PARTS = {
    "multipart": "TITLE: t\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\none\n--b\n\ntwo\n--b--\n",
    "message": "TITLE: t\nContent-Type: message/rfc822\n\nSUBJECT: inner\n\nx\n",
}

BYTES = {
    "latin-1": b"TITLE: caf\xe9\n\nx\n",
    "latin-1-in-body": b"TITLE: t\n\ncaf\xe9\n",
    "utf-16": "TITLE: t\n\nx\n".encode("utf-16"),
    "utf-8-cut": "TITLE: t\n\né".encode()[:-1],
    "surrogate": b"TITLE: \xed\xa0\x80\n\nx\n",
}

NAMES = ["TITLE", "NUMBER", "SUBJECT", "DATE", "FROM", "X-Extra", "cc", "Reply-To", "Event-Id", "x",
         "VERY-LONG-NAME"]
WORDS = ["GRB 270412B:", "optical", "limit", "Müller", "R = 18.91 ± 0.02", "(Example Univ.)", "at", "<a@example.org>",
         "12:34:56", "β", "\u00a0", "--", "::", "🔭", "From", "\t", ">", "\"quoted\""]
LINES = ["", "", "  RA(J2000)  = 01:23:45.67", "Dec: -12:34:56", "From the light curve", " indented", "\tα = −1.2",
         "---", "This message may be cited.", "Date(UT)   Flux", ".", "TITLE: within"]


def documents():
    real = [Document(f"real-{seed:03}", letter(random.Random(f"circular {seed}"))) for seed in range(COUNT)]
    return [
        *real,
        *(Document(name, text.encode()) for name, text in TEXTS.items()),
        *(Document(name, text.encode(), because(MULTIPART, "taken")) for name, text in PARTS.items()),
        *(Document(f"malformed-{name}", content) for name, content in BYTES.items()),
    ]


def letter(some):
    """A circular: headers in some order, folded or not, with what does not belong there now and then, and a body."""
    def words(most):
        return " ".join(some.choice(WORDS) for _ in range(some.randrange(most)))

    lines = []
    for name in some.sample(NAMES, some.randrange(2, 7)):
        name = some.choice([name, name, name, name.lower(), name.title()])
        value = some.choice([f"{name}:".ljust(9), f"{name}: ", f"{name}:", f"{name}:\t"]) + words(8)
        lines.append(value)
        while some.random() < 0.15:
            lines.append(some.choice([" ", "\t", "        "]) + words(5))
    if some.random() < 0.15:
        lines.insert(some.randrange(len(lines) + 1), some.choice(
            [": nothing", "From a@b Mon Jan 1", " ", "no header", "NUMBER : 5", f"{some.choice(NAMES)}: again", "ß: x"],
        ))
    lines.append("")
    lines += [some.choice([some.choice(LINES), words(9)]) for _ in range(some.randrange(20))]
    end = some.choice(["\n", "\n", "\n", "\r\n", "\r"])
    return (end.join(lines) + some.choice(["", end, end, end * 3])).encode()
