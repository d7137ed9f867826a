"""The same command lines through Python's hop-client and through our hop, and what came of them.

Each case (parity/*.py) runs in both programs at once, each with a directory of its own and the same content, on one
broker. Standard output, exit code, the files in the configuration directory and what was stored on the topic must be
the same to the byte; of standard error, whether anything was said. Where they are meant to differ the case says so,
and why; then they must differ.
"""

import sys
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import pytest

from parity import command_line, credentials, listing, publishing, settings, subscribing
from parity.case import explain
from parity.sides import Ours, Pair, Theirs
from support import ROOT, find_program, publish

MODULES = (command_line, credentials, listing, publishing, settings, subscribing)
CASES = [case for module in MODULES for case in module.CASES]

# Python's hop waits for a second before it says that a topic has ended: several cases wait at once.
WORKERS = 6


@pytest.fixture(scope="module")
def outcomes(kafka, request, tmp_path_factory):
    """What came of each of the cases that were asked for: a future, since the others run meanwhile."""
    theirs = Theirs(Path(sys.executable).with_name("hop"), WORKERS)
    pair = Pair(kafka, Ours(find_program("HOP_BIN", ROOT / "target" / "release" / "hop")), theirs)
    wanted = [item.callspec.params["case"] for item in request.session.items if item.function is test_parity]
    directory = tmp_path_factory.mktemp("parity")
    # For those that list all topics: there are some.
    for _ in range(2):
        kafka.new_topic()
    running = {}
    with ThreadPoolExecutor(WORKERS) as workers:
        for case in sorted(wanted, key=lambda case: not case.alone):
            running[case.name] = workers.submit(pair.run, case, directory / case.name)
            if case.alone:
                wait([running[case.name]])
        yield running
    theirs.stop()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_parity(outcomes, case):
    theirs, ours = outcomes[case.name].result()
    wrong = explain(case, theirs, ours)
    said = [f"hop-client said {theirs['said']}", f"ours said {ours['said']}"]
    assert not wrong, "\n".join([case.command, *wrong, *said])


def test_hop_client_kept_warm_does_what_it_does_when_it_is_started(kafka, tmp_path):
    path = Path(sys.executable).with_name("hop")
    names = ["help", "version", "format-unknown", "unknown-command-without-credential", "list-three", "list-broken-toml",
             "add-first", "asked-through-a-pipe", "subscribe-json", "subscribe-json-malformed", "publish-lines-json",
             "topics-one", "url-another-scheme-publish"]
    assert set(names) <= {case.name for case in CASES}
    warm = Theirs(path, 1)
    started = Pair(kafka, Ours(path), warm)
    for case in [case for case in CASES if case.name in names]:
        assert explain(replace(case, differs={}), *started.run(case, tmp_path / case.name)) == [], case.name
    warm.stop()


def test_every_difference_is_in_the_readme():
    """And the report says what they are."""
    _, _, section = (ROOT / "README.md").read_text(encoding="utf-8").partition("## Where it differs from hop-client\n")
    rows = [line.split("|")[1].strip() for line in section.splitlines() if line.startswith("|")]
    found = {}
    for case in CASES:
        for aspect, reason in case.differs.items():
            found.setdefault(reason, {}).setdefault(case.name, []).append(aspect)
    assert [reason for reason in found if reason.partition(":")[0] not in rows] == []
    same = sum(not case.differs for case in CASES)
    report = [f"{len(CASES)} command lines through hop-client {version('hop-client')} and through hop, {same} alike.",
              "In the others this is meant to differ:"]
    for reason in sorted(found):
        report.append(f"  {reason}")
        report += [f"    {name} ({', '.join(aspects)})" for name, aspects in found[reason].items()]
    publish("parity", "\n".join(report) + "\n")


def test_no_two_cases_have_one_name():
    names = [case.name for case in CASES]
    assert len(set(names)) == len(names)
