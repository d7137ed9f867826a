"""Avro of every kind, by chance: schemas, records that fit them, and how `hop` prints what fastavro reads of them."""

import base64
import datetime
import io
import json
import math
import uuid
from decimal import Decimal

import fastavro

CODECS = ["null", "deflate", "snappy", "zstandard"]
TEXTS = ["", "GRB 270412B", "ünï\u2028code 🚀", "\0\"\\\n\x7f", "x" * 300]
LONGS = [0, -1, 1, 63, -64, 64, 2**31 - 1, -2**31, 2**53 + 1, 2**63 - 1, -2**63]
FLOATS = [0.0, -0.0, 1.5, 0.1, -3e-8, 1e16, 5e-324, math.inf, -math.inf, math.nan]
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
LOGICAL = [
    {"type": "int", "logicalType": "date"},
    {"type": "int", "logicalType": "time-millis"},
    {"type": "long", "logicalType": "time-micros"},
    {"type": "long", "logicalType": "timestamp-millis"},
    {"type": "long", "logicalType": "timestamp-micros"},
    {"type": "long", "logicalType": "local-timestamp-millis"},
    {"type": "long", "logicalType": "local-timestamp-micros"},
    {"type": "long", "logicalType": "timestamp-nanos"},
    {"type": "string", "logicalType": "uuid"},
    {"type": "bytes", "logicalType": "decimal", "precision": 20, "scale": 4},
    {"type": "bytes", "logicalType": "decimal", "precision": 9},
]


class Schemas:
    """Schemas of one container: a name is defined once, and named again afterwards."""

    def __init__(self, chance):
        self.chance = chance
        self.known = []
        self.count = 0

    def any(self, depth=0):
        simple = ["null", "boolean", "int", "long", "float", "double", "bytes", "string", "logical", "fixed", "enum"]
        kinds = simple + ["again"] + (["array", "map", "union", "record", "record", "list"] if depth < 4 else [])
        kind = self.chance.choice(kinds)
        if kind == "logical":
            return dict(self.chance.choice(LOGICAL))
        if kind == "array":
            return {"type": "array", "items": self.any(depth + 1)}
        if kind == "map":
            return {"type": "map", "values": self.any(depth + 1)}
        if kind == "union":
            # Each but once, and none in the other.
            branches = self.chance.sample(["null", "boolean", "long", "double", "bytes", "string"], 3)
            last = self.chance.choice([lambda: self.record(depth), lambda: {"type": "array", "items": self.any(depth + 1)}])
            return [*branches, last()]
        if kind == "record":
            return self.record(depth)
        if kind == "list":
            name = self.name()
            return {"type": "record", **name, "fields": [
                {"name": "value", "type": self.any(depth + 1)}, {"name": "next", "type": ["null", full(name)]}]}
        if kind == "fixed":
            return self.named({"type": "fixed", "size": self.chance.choice([0, 1, 16])})
        if kind == "enum":
            return self.named({"type": "enum", "symbols": ["A", "B", "longer_SYMBOL"]})
        if kind == "again":
            return self.chance.choice(self.known) if self.known else "int"
        return kind if self.chance.random() < 0.8 else {"type": kind, "doc": "as an object"}

    def record(self, depth):
        name = self.name()
        names = ["ra", "dec", "mag", "π_", "name"][:self.chance.randrange(5)]
        fields = [{"name": field, "type": self.any(depth + 1), "doc": "a field"} for field in names]
        return {"type": "record", **name, "fields": fields, "aliases": ["other"]}

    def name(self):
        # A name without a namespace, inside of one, is not the same to fastavro once it has been written.
        self.count += 1
        spelling = self.chance.choice([{"name": "a.b.T{}"}, {"name": "T{}", "namespace": "c.d"}])
        return {key: value.format(self.count) for key, value in spelling.items()}

    def named(self, schema):
        name = self.name()
        self.known.append(full(name))
        return {**schema, **name}


def full(name):
    return f"{name['namespace']}.{name['name']}" if name.get("namespace") else name["name"]


class Values:
    """Values of a parsed schema."""

    def __init__(self, chance, named):
        self.chance = chance
        self.named = named

    def of(self, schema, depth=0):
        chance = self.chance
        if isinstance(schema, list):
            # A list of itself must end.
            return self.of(chance.choice(schema) if depth < 12 else schema[0], depth + 1)
        if isinstance(schema, str) and schema in self.named:
            schema = self.named[schema]
        kind = schema if isinstance(schema, str) else schema["type"]
        logical = None if isinstance(schema, str) else schema.get("logicalType")
        if logical:
            return self.logical(kind, logical)
        few = range(chance.choice([0, 1, 3]) if depth < 8 else 0)
        if kind == "record":
            return {field["name"]: self.of(field["type"], depth + 1) for field in schema["fields"]}
        if kind == "array":
            return [self.of(schema["items"], depth + 1) for _ in few]
        if kind == "map":
            return {f"{chance.choice(TEXTS)}{number}": self.of(schema["values"], depth + 1) for number in few}
        if kind == "enum":
            return chance.choice(schema["symbols"])
        if kind == "fixed":
            return chance.randbytes(schema["size"])
        return {
            "null": lambda: None,
            "boolean": lambda: chance.random() < 0.5,
            "int": lambda: chance.choice([long for long in LONGS if -2**31 <= long < 2**31]),
            "long": lambda: chance.choice(LONGS),
            "float": lambda: chance.choice([float for float in FLOATS if not 1e38 < abs(float) < math.inf]),
            "double": lambda: chance.choice(FLOATS),
            "bytes": lambda: chance.choice([b"", b"text", b"\xff\0", chance.randbytes(40)]),
            "string": lambda: chance.choice(TEXTS),
        }[kind]()

    def logical(self, kind, logical):
        chance = self.chance
        long = chance.choice([0, 1, -1, 999, 1_234_567_890_123, -62_135_596_800_000, chance.randrange(10**13)])
        moment = EPOCH + datetime.timedelta(milliseconds=long)
        if logical == "date":
            return moment.date()
        if logical.startswith("time-"):
            return moment.time()
        if logical.endswith("nanos"):
            return long
        if logical.startswith("local-"):
            return moment.replace(tzinfo=None)
        if logical.startswith("timestamp"):
            return moment
        if logical == "uuid":
            return uuid.UUID(int=chance.getrandbits(128))
        if kind == "bytes" and logical == "decimal":
            return Decimal(chance.choice([0, 1, -1, 128, -32768, 123_456_789]))
        raise ValueError(logical)


def container(chance, records=1, codec="null"):
    """A container of so many records of a schema that nobody has thought of."""
    schema = fastavro.parse_schema(Schemas(chance).any(), named := {})
    values = Values(chance, named)
    out = io.BytesIO()
    fastavro.writer(out, schema, [values.of(schema) for _ in range(records)], codec,
                    sync_interval=chance.choice([1, 16000]), metadata={"note": "kept"})
    return out.getvalue()


def printed(content):
    """As `hop subscribe -j` prints what hop-client has as the content."""
    return json.dumps(as_json(content))


def as_json(content):
    if isinstance(content, dict):
        return {name: as_json(value) for name, value in content.items()}
    if isinstance(content, list):
        return [as_json(value) for value in content]
    if isinstance(content, bytes):
        try:
            return content.decode()
        except UnicodeDecodeError:
            return {"$binary": base64.b64encode(content).decode()}
    if isinstance(content, (datetime.date, datetime.time)):
        return content.isoformat()
    if isinstance(content, (Decimal, uuid.UUID)):
        return str(content)
    return content
