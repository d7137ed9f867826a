#!/usr/bin/env python3
"""Writes the seeds of the fuzz targets into fuzz/corpus/. What fuzzing finds is added beside them by hand."""

import gzip
import json
import struct
import zlib
from pathlib import Path

CORPUS = Path(__file__).parent / "corpus"
JOURNALS = Path(__file__).parents[1] / "protocol-tests" / "vectors" / "journals.txt"
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


def literal_snappy(data):
    """Snappy that compresses nothing: the length, and one literal."""
    length, out = len(data), bytearray()
    while length >= 0x80:
        out.append(length & 0x7F | 0x80)
        length >>= 7
    return bytes(out + bytes([length, 61 << 2]) + struct.pack("<H", len(data) - 1) + data)


def string(text):
    return struct.pack(">h", len(text)) + text


def avro_container(schema, records, codec="null", compress=lambda data: data, mark=b"0123456789abcdef"):
    """An Avro object container of one block, of records that are encoded already."""
    entries = {b"avro.codec": codec.encode(), b"avro.schema": json.dumps(schema).encode()}
    header = b"".join(nullable(name) + nullable(value) for name, value in entries.items())
    block = compress(b"".join(records))
    return b"Obj\1" + varint(2) + header + b"\0" + mark + varint(len(records)) + varint(len(block)) + block + mark


def avro_containers():
    everything = {"type": "record", "name": "R", "namespace": "n.s", "fields": [
        {"name": "next", "type": ["null", "R"]}, {"name": "flag", "type": "boolean"},
        {"name": "float", "type": "float"}, {"name": "double", "type": "double"}, {"name": "bytes", "type": "bytes"},
        {"name": "fixed", "type": {"type": "fixed", "name": "F", "size": 2}},
        {"name": "enum", "type": {"type": "enum", "name": "E", "symbols": ["A", "B"]}},
        {"name": "list", "type": {"type": "array", "items": "int"}},
        {"name": "map", "type": {"type": "map", "values": "string"}},
        {"name": "time", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "date", "type": {"type": "int", "logicalType": "date"}},
        {"name": "decimal", "type": {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}},
    ]}
    rest = (b"\1" + struct.pack("<fd", 1.5, -3e-8) + nullable(b"\xff") + b"ab" + varint(1)
            + varint(-2) + varint(2) + varint(1) + varint(2) + b"\0" + varint(1) + nullable(b"k") + nullable(b"v") + b"\0"
            + varint(1_234_567_890_123) + varint(20_000) + nullable(b"\4\xd2"))
    one = varint(1) + b"\0" + rest + rest
    yield "everything", avro_container(everything, [one])
    yield "two_records", avro_container(everything, [one, b"\0" + rest])
    yield "nothing", avro_container("long", [])

    def deflate(data):
        packer = zlib.compressobj(wbits=-15)
        return packer.compress(data) + packer.flush()

    yield "deflate", avro_container("string", [nullable(b"alert " * 50)], "deflate", deflate)
    yield "snappy", avro_container("string", [nullable(b"alert" * 9)], "snappy",
                                   lambda data: literal_snappy(data) + struct.pack(">I", zlib.crc32(data)))
    yield "zstandard", avro_container("string", [nullable(b"alert")], "zstandard", lambda data: (
        b"\x28\xb5\x2f\xfd\x20" + bytes([len(data)]) + struct.pack("<I", len(data) << 3 | 1)[:3] + data))
    yield "nulls", avro_container({"type": "array", "items": "null"}, [varint(10**6) + b"\0"])
    yield "itself", avro_container({"type": "record", "name": "R", "fields": [{"name": "r", "type": "R"}]}, [b""])


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

    # Those of `request` and `response` are written by `cargo run -p protocol-tests --example message_seeds`.
    old = message(3, 0, b"old") + message(4, 1, b"newer")
    yield "message_set", "versions_0_and_1", old
    yield "message_set", "partial", old + message(5, 1, b"cut off")[:20]
    for version in 0, 1:
        inner = message(0, version, b"a") + message(1, version, b"b")
        yield "message_set", f"gzip_in_{version}", message(9, version, gzip.compress(inner, mtime=0), 1)
        yield "message_set", f"snappy_in_{version}", message(9, version, literal_snappy(inner), 2)
        yield "message_set", f"gzip_in_gzip_in_{version}", message(
            9, version, gzip.compress(message(9, version, gzip.compress(inner, mtime=0), 1), mtime=0), 1)

    yield from (("avro", name, data) for name, data in avro_containers())

    inner = b"".join(three)
    yield "compression", "gzip", b"\0" + gzip.compress(inner, mtime=0)
    yield "compression", "gzip_of_a_million_zeros", b"\0" + gzip.compress(bytes(10**6), mtime=0)
    yield "compression", "snappy", b"\1" + literal_snappy(inner)
    yield "compression", "snappy_xerial", b"\1\x82SNAPPY\0\0\0\0\1\0\0\0\1" + struct.pack(">i", len(inner) + 3) + literal_snappy(inner)
    # A frame without checksums, of one block that is stored as it is.
    yield "compression", "lz4", b"\2" + b"\x04\x22\x4d\x18\x40\x40\xc0" + struct.pack("<I", len(inner) | 1 << 31) + inner + bytes(4)
    # A frame with one segment, whose size is a byte, of one block that is stored as it is.
    yield "compression", "zstd", b"\3" + b"\x28\xb5\x2f\xfd\x20" + bytes([len(inner)]) + struct.pack("<I", len(inner) << 3 | 1)[:3] + inner
    yield "compression", "zstd_run_of_zeros", b"\3" + b"\x28\xb5\x2f\xfd\x20\xff" + struct.pack("<I", 0xFF << 3 | 3)[:3] + b"\0"

    def answers(choice, *frames):
        return bytes([choice]) + b"".join(bytes([len(frame)]) + frame for frame in frames)

    versions = struct.pack(">hB", 0, 3) + struct.pack(">hhhB", 3, 0, 13, 0) + struct.pack(">hhhB", 36, 0, 2, 0) + struct.pack(">iB", 0, 0)
    mechanism = struct.pack(">hi", 0, 0)
    accepted = struct.pack(">hhiq", 0, -1, 0, 60_000)
    yield "handshake", "plaintext", answers(0, versions)
    yield "handshake", "plain", answers(1, mechanism, accepted, versions)
    yield "handshake", "versions_first", answers(5, versions, mechanism, accepted)
    yield "handshake", "old_broker", answers(0, struct.pack(">hihhh", 35, 1, 18, 0, 2), struct.pack(">hii", 0, 0, 0))
    yield "handshake", "mechanism_refused", answers(2, struct.pack(">hi", 33, 1) + string(b"PLAIN"))
    challenge = b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
    yield "handshake", "scram", answers(2, mechanism, struct.pack(">hhi", 0, -1, len(challenge)) + challenge + bytes(8))
    yield "handshake", "bearer_refused", answers(3, mechanism, struct.pack(">hh", 58, 2) + b"no" + struct.pack(">iq", 0, 0))

    yield "frame", "plausible", struct.pack(">i", 100)
    yield "frame", "negative", struct.pack(">i", -1)
    yield "frame", "http", b"HTTP"
    yield "frame", "tls", b"\x15\x03\x03\x00"

    def assigned(*topics):
        return struct.pack(">i", len(topics)) + b"".join(
            string(name) + struct.pack(f">i{len(numbers)}i", len(numbers), *numbers) for name, numbers in topics)

    def subscription(version, user=None, owned=b"", generation=b"", rack=b""):
        data = struct.pack(">i", -1) if user is None else struct.pack(">i", len(user)) + user
        return struct.pack(">hi", version, 2) + string(b"t") + string(b"u") + data + owned + generation + rack

    owned, fifth = assigned((b"t", (0, 3)), (b"u", (1,))), struct.pack(">i", 5)
    yield "group_metadata", "subscription_0", subscription(0, b"hi")
    yield "group_metadata", "subscription_1", subscription(1, fifth, owned)
    yield "group_metadata", "subscription_2", subscription(2, None, owned, fifth)
    yield "group_metadata", "subscription_3", subscription(3, None, owned, fifth, string(b"rack"))
    yield "group_metadata", "sticky", subscription(3, owned + fifth, assigned(), fifth, struct.pack(">h", -1))
    yield "group_metadata", "sticky_before_generations", subscription(0, owned)
    yield "group_metadata", "assignment", struct.pack(">h", 1) + owned + struct.pack(">i", -1)
    yield "group_metadata", "length_of_nothing", struct.pack(">hihi", 1, 0x7FFFFFFF, 1, 0x7FFFFFFF)

    yield "scram", "challenge", b"\0" + challenge + b"\nv=AAAA"
    yield "scram", "error", b"\1e=other-error"
    for iterations in b"0", b"1", b"2147483648", b"-1":
        yield "scram", "iterations_" + iterations.decode(), b"\0" + challenge.replace(b"4096", iterations)

    # What hop-client wrote, whole and torn; fuzzing with the checksums made right begins there as well.
    recorded = JOURNALS.read_text().split(" journal ")[1:]
    for number, journal in enumerate(bytes.fromhex(line.split()[0].strip(".")) for line in recorded):
        yield "journal", f"hop_client_{number}", journal
        yield "journal_checked", f"hop_client_{number}", journal
    yield "journal", "zeros_at_the_end", journal + bytes(600)
    yield "journal_checked", "lengths_of_nothing", struct.pack(">QQIIQQ", 2, 16, 0, 0, 0, (1 << 64) - 1)

    def document(*elements):
        body = b"".join(kind + name + b"\0" + value for kind, name, value in elements)
        return struct.pack("<i", len(body) + 5) + body + b"\0"

    def binary(data):
        return struct.pack("<i", len(data)) + b"\0" + data

    pair = document((b"\x02", b"0", struct.pack("<i", 3) + b"_a\0"), (b"\x05", b"1", binary(b"1")))
    timestamp = (b"\x12", b"timestamp", struct.pack("<q", 1_700_000_000_000))
    described = document((b"\x04", b"headers", document((b"\x04", b"0", pair))), timestamp, (b"\x05", b"key", binary(b"k")))
    kept = document((b"\x05", b"message", binary(b"payload")), (b"\x03", b"metadata", described))
    yield "large_message", "kept", kept
    yield "large_message", "cut", kept[:-9]
    yield "large_message", "with_more", document((b"\x01", b"a", bytes(8)), (b"\x0b", b"b", b"x\0i\0"), (b"\x0a", b"c", b""))
    yield "large_message", "length_of_nothing", document((b"\x05", b"message", struct.pack("<i", 0x7FFFFFFF)))

    yield "json", "all_kinds", b'{"a": [1, -2.5e300, 123456789012345678901234567890, NaN, true, null], "\\u00e9": "\\ud83d\\ude00"}'
    yield "json", "deep", b"[" * 300 + b"]" * 300
    yield "json", "string", b'"plain"'

    yield "voevent", "example", (DATA / "voevent.xml").read_bytes()
    yield "voevent", "awkward", (b'<voe:VOEvent ivorn="ivo://x/y#1" xmlns:voe="v"><What><Param name="a"/>text<Param name="b">'
                                 b"<![CDATA[<c>]]></Param></What><!-- c --></voe:VOEvent>")
    yield "voevent", "json", b'{"ivorn": "ivo://x/y#1", "What": {"Param": [{"name": "a"}, null]}}'
    yield "voevent_schema", "example", (DATA / "voevent.xml").read_bytes()
    yield "voevent_schema", "broken", (
        b'<voe:VOEvent xmlns:voe="http://www.ivoa.net/xml/VOEvent/v2.0" version="1.1" role="x"><q:Who xmlns:q="u"/>\n'
        b'<Citations><Description/><EventIVORN cite="no"/>text</Citations><Why importance="1e"><Inference '
        b'probability="2"/></Why><WhereWhen id="1"><ObsDataLocation/></WhereWhen><Reference>&#32;</Reference></voe:VOEvent>')
    yield "voevent_schema", "no_root", b"<VOEvent/>"
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
    yield "health_request", "ready", b"GET /ready HTTP/1.1\r\nHost: localhost:9100\r\nUser-Agent: kube-probe/1.31\r\n\r\n"
    yield "health_request", "metrics", b"HEAD /metrics?name[]=hop_lag HTTP/1.0\r\nContent-Length: 0\r\n\r\nmore"
    yield "health_request", "body", b"POST /live HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{}"
    yield "health_request", "tls", b"\x16\x03\x01\x02\x00\x01"
    yield "credential_csv", "plain", b"username,password,hostname\nu,p,h:9092\n"
    yield "credential_csv", "quoted", b'\xef\xbb\xbfpassword,username\n"a,""b",u\n'


def main():
    for target, name, data in seeds():
        path = CORPUS / target / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


main()
