"""Writes journals with hop-client's own code, and says what hop-client makes of each.

A line `NAME journal HEX` has the file; each line `NAME unsent NUMBER TOPIC KEY PAYLOAD HEADER=VALUE...` a message that
hop-client would send after a restart, in hexadecimal; `-` stands for none,
`.` for nothing.
"""

import struct
import tempfile
from pathlib import Path

from hop.robust_publisher import PublicationJournal

HEADERS = [("_id", bytes(range(16))), ("_sender", b"somebody"), ("_format", b"json")]


class OldJournal(PublicationJournal):
    """Writes messages as hop-client did before it knew topics and keys; today's reads them."""

    def queue_message(self, message, topic, headers=None, key=None):
        number = lambda value: struct.pack("!Q", value)
        part = lambda data: number(len(data)) + data
        body = number(self.message_counter) + part(message) + number(len(headers or []))
        body += b"".join(part(name.encode()) + part(value) for name, value in headers or [])
        self._write_record(self.msg_record_type_v1, body)
        self.messages_to_send[self.message_counter] = (message, None, headers, key)
        self.message_counter += 1


def send(journal, count=1):
    """As if so many were sent."""
    numbers = [journal.get_next_message_to_send()[0] for _ in range(count)]
    for number in numbers:
        journal.mark_message_sent(number)


def messages(journal):
    journal.queue_message(b'{"flux": 1.5}', "alerts", HEADERS, "GRB 270412B")
    journal.queue_message(b"", "alerts", None, None)
    journal.queue_message("plain text, \u03b1", "alerts", [("a", b""), ("a", b"\xff\x00")], b"\x00\xff")


def partly_sent(journal):
    messages(journal)
    send(journal, 2)
    journal.queue_message(b"last", "alerts", HEADERS[:1])


def all_sent(journal):
    messages(journal)
    send(journal, 3)


def other_topics(journal):
    for topic in "alerts", "others", "alerts":
        journal.queue_message(topic.encode(), topic, HEADERS)


def old(journal):
    journal.queue_message(b"old", None, HEADERS)
    journal.queue_message(b"older", None, None)
    send(journal)
    journal.queue_message(b"oldest", None, [])


def mixed(journal):
    old(journal)
    PublicationJournal.queue_message(journal, b"new", "alerts", HEADERS, b"key")


def text(data):
    if data is None:
        return "-"
    return (data.encode() if isinstance(data, str) else data).hex() or "."


def main():
    for write in messages, partly_sent, all_sent, other_topics, old, mixed:
        name = write.__name__
        with tempfile.TemporaryDirectory() as folder:
            path = str(Path(folder) / "publisher.journal")
            journal = (OldJournal if write in (old, mixed) else PublicationJournal)(path)
            write(journal)
            journal.journal.close()
            print(name, "journal", text(Path(path).read_bytes()))
            again = PublicationJournal(path)
            while again.has_messages_to_send():
                number, payload, topic, headers, key = again.get_next_message_to_send()
                print(name, "unsent", number, topic or "-", text(key), text(payload),
                      *(f"{name}={value.hex()}" for name, value in headers))


main()
