"""Python's hop, imported once and forked for each command line.

Importing it takes half a second and more, for two hundred command lines; what follows does not. Everything else is as
if it had been started: a process, session and working directory of its own, its environment, its standard streams, its
way of ending. Run as a program, it reads a request a line, and answers each with the exit code, or null for a command
that went on for longer than it may and was killed.
"""

import json
import os
import select
import signal
import sys

from hop.__main__ import main

STREAMS = {"stdin": os.O_RDONLY, "stdout": os.O_WRONLY | os.O_CREAT, "stderr": os.O_WRONLY | os.O_CREAT}


def serve():
    """Answers requests; comes back in the child, which is to be hop."""
    for line in sys.stdin:
        request = json.loads(line)
        child = os.fork()
        if child == 0:
            return become(request)
        print(json.dumps(wait(child, request["patience"])), flush=True)
    sys.exit()


def wait(child, patience):
    handle = os.pidfd_open(child)
    ended, _, _ = select.select([handle], [], [], patience)
    os.close(handle)
    if not ended:
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status) if ended else None


def become(request):
    os.setsid()
    os.chdir(request["directory"])
    os.environ.clear()
    os.environ.update(request["environment"])
    for number, (name, flags) in enumerate(STREAMS.items()):
        opened = os.open(request[name], flags, 0o600)
        os.dup2(opened, number)
        os.close(opened)
    # As Python opens them in the locale C.UTF-8.
    sys.stdin = open(0, encoding="utf-8", errors="surrogateescape", closefd=False)
    sys.stdout = open(1, "w", encoding="utf-8", errors="surrogateescape", closefd=False)
    sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False)
    sys.argv = ["hop", *request["words"]]


if __name__ == "__main__":
    serve()
    sys.exit(main())
