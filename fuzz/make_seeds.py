#!/usr/bin/env python3
"""Writes the seeds of the fuzz targets into fuzz/corpus/. What fuzzing finds is added beside them by hand."""

import gzip
import struct
import zlib
from pathlib import Path

CORPUS = Path(__file__).parent / "corpus"
DATA = Path(__file__).parents[1] / "examples" / "data"


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def varint(value):
    value = (value << 1) ^ (value >> 63)
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(out + bytes([value]))


def nullable(part):
    return varint(-1) if part is None else varint(len(part)) + part


def record(offset, key, value, headers=()):
    body = b"\0" + varint(offset * 3) + varint(offset) + nullable(key) + nullable(value) + varint(len(headers))
    body += b"".join(nullable(name) + nullable(value) for name, value in headers)
    return varint(len(body)) + body


def batch(records, attributes=0, compress=lambda data: data, base=5, producer=-1, last=None):
    last = len(records) - 1 if last is None else last
    head = struct.pack(">hiqqqhii", attributes, last, 1000, 2000, producer, 0, 0, len(records))
    checked = head + compress(b"".join(records))
    return struct.pack(">qiibI", base, len(checked) + 9, 0, 2, crc32c(checked)) + checked


def message(offset, version, value, attributes=0):
    body = struct.pack(">bb", version, attributes) + (struct.pack(">q", 7) if version else b"")
    body += struct.pack(">i", -1) + struct.pack(">i", len(value)) + value
    return struct.pack(">qiI", offset, len(body) + 4, zlib.crc32(body)) + body


def string(text):
    return struct.pack(">h", len(text)) + text


def seeds():
    three = [record(0, b"k", b"v", [(b"h", b"x"), (b"h", None)]), record(1, None, None), record(2, b"", b"{}" * 40)]
    plain = batch(three)
    packed = batch(three, 1, gzip.compress)
    marker = batch([record(0, struct.pack(">hh", 0, 0), b"\0" * 6)], 0x30, producer=9)
    batches = {
        "plain": plain,
        "gzip": packed,
        "two_and_a_half": plain + packed + plain[:40],
        "abort_marker": marker,
        "compacted": batch([], last=7),
        "log_append_time": batch(three, 8),
        "messages_0_and_1": message(3, 0, b"old") + message(4, 1, b"newer"),
        "wrapped_messages": message(9, 1, gzip.compress(message(0, 1, b"a") + message(1, 1, b"b")), 1),
    }
    yield from (("record_batch", name, data) for name, data in batches.items())
    yield from (("record_batch_checked", name, data) for name, data in batches.items())

    correlation = struct.pack(">i", 1)
    api_versions = correlation + struct.pack(">hihhh", 0, 1, 18, 0, 4)
    metadata = correlation + struct.pack(">i", 0) + struct.pack(">ii", 1, 1) + string(b"h") + struct.pack(">ih", 9092, -1)
    metadata += struct.pack(">hii", -1, 1, 1) + struct.pack(">h", 0) + string(b"t") + b"\0" + struct.pack(">i", 0)
    fetch = correlation + struct.pack(">iii", 0, 1, 1)[:8] + string(b"t") + struct.pack(">iihqqi", 1, 0, 0, 9, 9, -1)
    fetch += struct.pack(">i", len(plain)) + plain
    yield "response", "api_versions", bytes([0, 0]) + api_versions
    yield "response", "metadata", bytes([1, 0]) + metadata
    yield "response", "fetch", bytes([2, 0]) + fetch
    yield "response", "array_of_two_billion", bytes([1, 0]) + correlation + struct.pack(">ii", 0, 0x7FFFFFFF)
    # A number of five bytes behind one that is read for its own sake: it once got past the guard.
    yield "response", "hidden_length", bytes([0, 3]) + correlation + b"\0\0" + b"\x80\x80\x80\x80\x80\x0f" + b"\0" * 20
    yield "response", "sasl", bytes([6, 1]) + correlation + struct.pack(">hhi", 0, -1, 3) + b"r=x" + b"\0" * 8

    yield "frame", "plausible", struct.pack(">i", 100)
    yield "frame", "negative", struct.pack(">i", -1)
    yield "frame", "http", b"HTTP"
    yield "frame", "tls", b"\x15\x03\x03\x00"

    challenge = b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
    yield "sasl", "challenge", b"\0" + challenge + b"\nv=AAAA"
    yield "sasl", "error", b"\1e=other-error"
    yield "sasl", "bearer_refused", b'\3{"status":"invalid_token"}\n'

    yield "json", "all_kinds", b'{"a": [1, -2.5e300, 123456789012345678901234567890, NaN, true, null], "\\u00e9": "\\ud83d\\ude00"}'
    yield "json", "deep", b"[" * 300 + b"]" * 300
    yield "json", "string", b'"plain"'

    yield "voevent", "example", (DATA / "voevent.xml").read_bytes()
    yield "voevent", "awkward", (b'<voe:VOEvent ivorn="ivo://x/y#1" xmlns:voe="v"><What><Param name="a"/>text<Param name="b">'
                                 b"<![CDATA[<c>]]></Param></What><!-- c --></voe:VOEvent>")
    yield "voevent", "json", b'{"ivorn": "ivo://x/y#1", "What": {"Param": [{"name": "a"}, null]}}'
    yield "circular", "example", (DATA / "circular.gcn3").read_bytes()
    yield "circular", "continued", b"From x\r\nSUBJECT: a\r\n  b\r\nSUBJECT: c\r\n\r\nbody\r\n"
    yield "text_notice", "notice", b"TITLE: GCN NOTICE\nCOMMENTS: a\n  b\nCOMMENTS: c\n"
    yield "text_notice", "no_fields", b"just words\n"
    yield "registry", "circular", b'circular\n{"header": {"title": "t"}, "body": "b"}'
    yield "registry", "envelope", b'{"format": "voevent", "content": {"ivorn": "i"}}'
    yield "registry", "unknown", b"donut\n\xff\xfe"
    yield "registry", "blob", b"\xff\x00\x01"
    yield "url", "plain", b"kafka://user@host:9092/topic,other"
    yield "url", "address", b"kafka://u%40x@[::1]:1/t"
    yield "url", "wrong", b"http://host/topic"
    yield "credential_csv", "plain", b"username,password,hostname\nu,p,h:9092\n"
    yield "credential_csv", "quoted", b'\xef\xbb\xbfpassword,username\n"a,""b",u\n'


def main():
    for target, name, data in seeds():
        path = CORPUS / target / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


main()
