"""A release of hop-client that does as it is told. Run with that release's code before all other on PYTHONPATH.

It reads a request a line, and answers each with a line, both JSON:

    {"version": null}                           which release it is
    {"load": [files], "format": ...}            what each file holds, or why it is none
    {"decode": [[format or null, payload]...]}  the same of messages, both in base64
    {"write": [files], "format": ..., "url": ...}
    {"read": url}                               what each message of the topic holds, up to its end

Of what a file or message holds, `json` is the line of `subscribe -j` in 0.4, `text` what that prints without `-j`, and
`payload` what the release would send, in base64.
"""

import base64
import dataclasses
import json
import logging
import sys
import warnings
from datetime import timedelta
from pathlib import Path

from hop import io, models
from hop._version import version

# Before that, a message was one JSON object, and a blob any JSON value; and there was no format JSON.
HAS_ENVELOPES = not hasattr(models, "JSONBlob")
UNTIL_END = {"persist": False} if "persist" in io.Stream.__init__.__code__.co_varnames else {"until_eos": True}


class Received:
    """A message as confluent-kafka would hand it over."""

    def __init__(self, format, payload):
        self.format = format if format in (None, "none") else base64.b64decode(format)
        self.payload = payload

    def headers(self):
        return None if self.format is None else [("_format", None if self.format == "none" else self.format)]

    def value(self):
        return self.payload


def load(path, format):
    """Reads a file as the release's `publish` does, but blobs to the byte where it can."""
    if format == "JSON" and HAS_ENVELOPES:
        return models.Blob.load(json.loads(Path(path).read_text(encoding="utf-8")))
    if format == "BLOB" and not HAS_ENVELOPES:
        return models.Blob.load(Path(path).read_bytes())
    return io.Deserializer[format].load_file(path)


def decode(message):
    return io.Consumer._unpack(message) if HAS_ENVELOPES else io.Deserializer.deserialize(message)


def told(model):
    """What came of it: the name of the format, the line of JSON, and the text."""
    value = value_of(model)
    return {"format": type(model).__name__, "json": json.dumps(value), "text": text_of(model)}


def value_of(model):
    if isinstance(model, models.Blob):
        return plain(model.content)
    if not isinstance(model, models.MessageModel):
        return model
    if type(model).__name__ in ("JSONBlob", "AvroBlob"):
        # Before 0.10, Avro was a list of records also where it was one.
        is_list = type(model).__name__ == "AvroBlob" and not hasattr(model, "single_record")
        return model.content[0] if is_list and len(model.content) == 1 else model.content
    return {name: plain(value) for name, value in dataclasses.asdict(model).items() if not name.startswith("_")}


def plain(value):
    """Bytes as our hop tells them in JSON."""
    if not isinstance(value, bytes):
        return value
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return {"$binary": base64.b64encode(value).decode()}


def text_of(model):
    try:
        return str(model)
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def payload_of(model):
    if not HAS_ENVELOPES:
        payload = model.serialize()["content"]
        return payload.encode() if isinstance(payload, str) else payload
    return io.Producer._pack(model)


def attempt(make):
    """What is told of a model and what it sends, or why there is none."""
    try:
        model = make()
        return {**told(model), "payload": base64.b64encode(payload_of(model)).decode()}
    except Exception as error:
        return {"refused": f"{type(error).__name__}: {error}"}


def write(files, format, url):
    with io.Stream(**UNTIL_END).open(url, "w") as stream:
        for path in files:
            stream.write(load(path, format))


def read(url):
    start = io.StartPosition.EARLIEST
    with io.Stream(start_at=start, **UNTIL_END).open(url, "r") as stream:
        return [told(model) for model in stream.read(batch_timeout=timedelta(seconds=0.2))]


def answer(request):
    match request:
        case {"version": None}:
            return version
        case {"load": files, "format": format}:
            return [attempt(lambda path=path: load(path, format)) for path in files]
        case {"decode": messages}:
            received = [Received(format, base64.b64decode(payload)) for format, payload in messages]
            return [attempt(lambda message=message: decode(message)) for message in received]
        case {"write": files, "format": format, "url": url}:
            return write(files, format, url)
        case {"read": url}:
            return read(url)


def main():
    # Each unknown format is told of at length.
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
