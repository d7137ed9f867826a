"""Reads a topic from its beginning with Python's hop-client, to be measured from outside, as src/consume does.

Usage: hop_client.py BROKER TOPIC RECORDS: the whole topic, in which each alert's id is its number. It prints the number
of records, and the seconds that reading took of the clock and of the processor: starting Python up takes much longer.
"""

import sys
import time

from hop.io import StartPosition, Stream


def main():
    broker, topic, records = sys.argv[1], sys.argv[2], int(sys.argv[3])
    started, cpu_before = time.monotonic(), time.process_time()
    seen = ids = 0
    with Stream(auth=False, start_at=StartPosition.EARLIEST, until_eos=True).open(f"kafka://{broker}/{topic}") as stream:
        for alert in stream.read():
            ids += alert.content["id"]
            seen += 1
            if seen == records:
                break
    wall, cpu = time.monotonic() - started, time.process_time() - cpu_before
    if ids != records * (records - 1) // 2:
        sys.exit(f"{seen} records, and not each of them once")
    print(seen, wall, cpu)


main()
