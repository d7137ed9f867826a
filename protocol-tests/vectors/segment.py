"""Prints the batches of a log segment, a line of hex each: FILE TRANSACTION(yes|no|abort)."""

import sys
import time
from pathlib import Path

CONTROL_BIT = 0x20


def batches(log):
    while len(log) > 12:
        end = 12 + int.from_bytes(log[8:12], "big")
        yield log[:end]
        log = log[end:]


path, transaction = Path(sys.argv[1]), sys.argv[2]
deadline = time.monotonic() + 30
while True:
    found = list(batches(path.read_bytes())) if path.exists() else []
    # The mark at the end of a transaction comes a moment after the client was told that it ended.
    if found and (transaction == "no" or found[-1][22] & CONTROL_BIT):
        break
    assert time.monotonic() < deadline, f"{path} is not complete"
    time.sleep(0.1)
for batch in found:
    print(batch.hex())
