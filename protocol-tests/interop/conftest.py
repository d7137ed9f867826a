"""Fixtures of the interop tests.

HOP_BIN names the program under test (target/release/hop when not set), KAFKA_VERSION the Kafka it meets (4, 3.9, or
hop for its own broker), and KAFKA_DIR where a real Kafka lives. That is started if it does not run yet, and left
running.
"""

import os
import sys
from pathlib import Path

import pytest

from hop_broker import HopBroker
from support import ROOT, Home, Kafka, Listener, Program, find_program

# What is about a real Kafka, or several of them; and what is about hop's own broker.
if os.environ.get("KAFKA_VERSION") == "hop":
    collect_ignore = ["test_broker_speed.py", "test_churn.py", "test_faults.py", "test_kills.py", "test_networks.py",
                      "test_round_trips.py"]
else:
    collect_ignore = ["test_broker.py", "test_fidelity.py", "test_parity.py", "test_plugins.py", "test_service.py",
                      "test_soak.py"]


def pytest_collection_modifyitems(config, items):
    """Leaves out what only a real Kafka does, or is done once only, and says so as deselected."""
    version = os.environ.get("KAFKA_VERSION", "4")
    marks = {"hop": ["real_kafka"], "3.9": ["newest_kafka"]}.get(version, [])
    left_out = [item for item in items if any(item.get_closest_marker(mark) for mark in marks)]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


def pytest_report_header():
    return f"hop: {os.environ.get('HOP_BIN', 'target/release/hop')}, Kafka {os.environ.get('KAFKA_VERSION', '4')}"


@pytest.fixture(scope="session")
def kafka():
    if os.environ.get("KAFKA_VERSION") == "hop":
        broker = HopBroker()
        yield broker
        broker.stop()
        return
    options = ["--version", os.environ.get("KAFKA_VERSION", "4")]
    if "KAFKA_DIR" in os.environ:
        options += ["--dir", os.environ["KAFKA_DIR"]]
    yield Kafka(*options)


@pytest.fixture
def home(tmp_path):
    return Home(tmp_path)


@pytest.fixture
def ours(home):
    return Program(find_program("HOP_BIN", ROOT / "target" / "release" / "hop"), home)


@pytest.fixture
def theirs(home):
    # Beside the interpreter that runs the tests: both live in the environment that scripts/peers makes.
    return Program(Path(sys.executable).with_name("hop"), home)


@pytest.fixture(params=["plaintext", "sasl_ssl"])
def listener(request, kafka, home):
    if request.param == "sasl_ssl":
        home.add_user(kafka)
    return Listener(kafka, request.param)


@pytest.fixture
def secure(kafka, home):
    """The SASL_SSL listener, with a SCRAM-SHA-512 credential for it."""
    home.add_user(kafka)
    return Listener(kafka, "sasl_ssl")


@pytest.fixture
def plain(kafka):
    return Listener(kafka, "plaintext")
