"""Formats of one's own: in a program with our command line, and as plug-ins of the stock program, whatever these do.

DONUT_BIN is the directory with the programs of examples/donut (target/debug when not set).
"""

import base64
import json
import os
import re
from pathlib import Path

import pytest

from support import ROOT, Program

DONUT = b"flavour: vanilla\nglaze: maple\ntoppings: nuts, cr\xc3\xa8me\n"
DONUT_JSON = {"flavour": "vanilla", "glaze": "maple", "toppings": ["nuts", "crème"]}
MOODY = ROOT / "tests" / "fixtures" / "plugins" / "hop-model-moody"


def donut_program(name):
    path = Path(os.environ.get("DONUT_BIN", ROOT / "target" / "debug")).resolve() / name
    if not os.access(path, os.X_OK):
        raise FileNotFoundError(f"{path} is not there: cargo build -p donut, or set DONUT_BIN")
    return path


@pytest.fixture
def with_donuts(home):
    """A program that runs our command line with one more format."""
    return Program(donut_program("hop-with-donuts"), home)


@pytest.fixture
def plugins(tmp_path):
    """A directory of plug-ins, and the environment in which it is on PATH."""
    return Plugins(tmp_path / "plugins")


class Plugins:
    def __init__(self, directory):
        self.directory = directory
        directory.mkdir()

    @property
    def env(self):
        return {"PATH": f"{self.directory}:{os.environ['PATH']}"}

    def link(self, program):
        (self.directory / program.name).symlink_to(program)

    def write(self, name, text, mode=0o755):
        path = self.directory / name
        path.write_text(text, encoding="utf-8")
        path.chmod(mode)
        return path


@pytest.fixture
def order(tmp_path):
    path = tmp_path / "order.donut"
    path.write_bytes(DONUT)
    return path


def publish(program, plain, topic, *options, env=None):
    return program.run("publish", *plain.options, plain.url(topic), *options, env=env)


def subscribe(program, plain, topic, *options, env=None):
    return program.run("subscribe", *plain.options, "-s", "EARLIEST", *options, plain.url(topic), env=env)


def completed(program, *words, env=None):
    """What bash offers for the last of these words."""
    asking = {"HOP_COMPLETE": "bash", "_CLAP_IFS": "\n", "_CLAP_COMPLETE_INDEX": str(len(words)), **(env or {})}
    return program.run("--", "hop", *words, env=asking).lines


# ---- A program of one's own ---------------------------------------------------------------------------------------


def test_a_program_with_donuts_publishes_and_reads_them(kafka, with_donuts, ours, plain, order):
    topic = kafka.new_topic()
    for form in ["json", "original", "envelope"]:
        publish(with_donuts, plain, topic, "-f", "donut", "--wire", form, order).ok()
    assert subscribe(with_donuts, plain, topic).ok().out == DONUT * 3
    assert [json.loads(line) for line in subscribe(with_donuts, plain, topic, "-j").ok().lines] == [DONUT_JSON] * 3
    flavours = subscribe(with_donuts, plain, topic, "--filter", "toppings[0] = nuts", "-f", "{format} {json}").ok()
    assert len(flavours.lines) == 3 and flavours.lines[0].startswith('donut {"flavour"')
    # The stock program shows what was sent, and says so.
    stock = subscribe(ours, plain, topic).ok()
    assert json.loads(stock.lines[0]) == DONUT_JSON and stock.lines[1] == "flavour: vanilla"
    assert 'message format "donut" is not known' in stock.err


def test_its_help_completions_and_manual_list_the_format(with_donuts, ours, tmp_path):
    listed = "VOEVENT, GCNTEXTNOTICE, CIRCULAR, BLOB, JSON"
    assert "DONUT]" in " ".join(with_donuts.run("publish", "--help").ok().text.split())
    assert "DONUT" not in ours.run("publish", "--help").ok().text
    assert completed(with_donuts, "publish", "-f", "D") == ["DONUT"]
    assert completed(ours, "publish", "-f", "D") == []
    assert set(listed.split(", ")) < set(completed(with_donuts, "publish", "-f", ""))
    with_donuts.run("man", tmp_path / "man").ok()
    assert "DONUT" in (tmp_path / "man" / "hop-publish.1").read_text()


def test_what_is_no_donut_is_not_sent(kafka, with_donuts, plain, tmp_path):
    topic = kafka.new_topic()
    bagel = tmp_path / "bagel"
    bagel.write_text("flavour: plain\nhole: large\n")
    refused = publish(with_donuts, plain, topic, "-f", "DONUT", bagel)
    assert refused.code == 1 and 'bagel: line 2 is no part of a donut: "hole: large"' in refused.err
    assert kafka.count(topic) == 0


# ---- A plug-in of the stock program -------------------------------------------------------------------------------


def test_a_plugin_does_what_the_format_does_in_a_program(kafka, ours, with_donuts, plain, order, plugins):
    plugins.link(donut_program("hop-model-donut"))
    topics = {program: kafka.new_topic() for program in (ours, with_donuts)}
    for form in ["json", "original", "envelope"]:
        publish(ours, plain, topics[ours], "--plugins", "-f", "DONUT", "--wire", form, order, env=plugins.env).ok()
        publish(with_donuts, plain, topics[with_donuts], "-f", "DONUT", "--wire", form, order).ok()
    sent = {program: [(message.value(), [header for header in message.headers() or [] if header[0] != "_id"])
                      for message in kafka.read_all(topic)] for program, topic in topics.items()}
    assert sent[ours] == sent[with_donuts] and len(sent[ours]) == 3
    for options in [[], ["-j"], ["-f", "{format} {json} {text}"]]:
        there = subscribe(with_donuts, plain, topics[ours], *options).ok()
        here = subscribe(ours, plain, topics[ours], "--plugins", *options, env=plugins.env).ok()
        assert here.out == there.out and here.err == ""
    tailed = ours.run("tail", *plain.options, "--plugins", plain.url(topics[ours]), env=plugins.env).ok()
    assert tailed.out == DONUT * 3
    shown = ours.run("show", "--plugins", "-f", "donut", order, env=plugins.env).ok()
    assert shown.out == DONUT


def test_a_plugin_refuses_a_message_in_its_own_words(kafka, ours, plain, plugins):
    plugins.link(donut_program("hop-model-donut"))
    topic = kafka.new_topic()
    kafka.produce(topic, [b"hole: large", DONUT, b'{"toppings": []}', DONUT], headers={"_format": "donut"})
    done = subscribe(ours, plain, topic, "--plugins", env=plugins.env)
    assert (done.code, done.out) == (1, DONUT * 2)
    assert "offset 0 cannot be read as \"donut\": not a valid donut message: line 1 is no part" in done.err
    assert "offset 2 cannot be read as \"donut\": not a valid donut message: " in done.err
    assert done.complaint[-1].endswith("2 messages could not be read")


def test_help_and_completions_list_plugins_where_they_are_on(ours, plugins):
    # One that would show if it were started.
    started = plugins.directory / "started"
    plugins.write("hop-model-donut", f"#!/bin/sh\ntouch {started}\n")
    on = {**plugins.env, "HOP_PLUGINS": "yes"}
    assert "DONUT]" in " ".join(ours.run("publish", "--help", env=on).ok().text.split())
    assert "DONUT" not in ours.run("publish", "--help", env=plugins.env).ok().text
    assert completed(ours, "publish", "-f", "D", env=on) == ["DONUT"]
    assert completed(ours, "publish", "--plugins", "-f", "D", env=plugins.env) == ["DONUT"]
    assert completed(ours, "publish", "-f", "D", env=plugins.env) == []
    assert not started.exists()


def test_nothing_is_started_unless_plugins_are_on_and_the_format_is_named(kafka, ours, plain, order, plugins):
    started = plugins.directory / "started"
    plugins.write("hop-model-donut", f"#!/bin/sh\necho >> {started}\nexec {donut_program('hop-model-donut')}\n")
    topic = kafka.new_topic()
    kafka.produce(topic, [DONUT], headers={"_format": "donut"})
    for options, env in [([], {}), ([], {"HOP_PLUGINS": "0"})]:
        off = subscribe(ours, plain, topic, *options, env={**plugins.env, **env}).ok()
        assert off.out == DONUT and 'message format "donut" is not known' in off.err
    refused = publish(ours, plain, topic, "-f", "DONUT", order, env=plugins.env)
    assert refused.code == 2 and "invalid value 'DONUT'" in refused.err
    # Where the word is the value of something else, nothing is on.
    refused = publish(ours, plain, topic, "-f", "DONUT", "-k", "x", "--", "--plugins", env=plugins.env)
    assert refused.code != 0 and kafka.count(topic) == 1
    others = kafka.new_topic()
    kafka.produce(others, [b'{"a": 1}', b"\xff"])
    kafka.produce(others, [b"DONUT"], headers={"_format": "blob"})
    kafka.produce(others, [b"DONUT"], headers={"_format": "donut/../donut"})
    subscribe(ours, plain, others, "--plugins", env=plugins.env).ok()
    assert not started.exists()
    # And now it is, once for all messages.
    kafka.produce(topic, [DONUT] * 9, headers={"_format": "Donut"})
    on = subscribe(ours, plain, topic, env={**plugins.env, "HOP_PLUGINS": "1"}).ok()
    assert (on.out, on.err, started.read_text()) == (DONUT * 10, "", "\n")


@pytest.mark.parametrize("name", ["../evil", "/tmp/evil", "evil ", "", "évil", "evil\n", "x" * 65, "."])
def test_no_message_names_a_path(kafka, ours, plain, plugins, name):
    plugins.write("hop-model-evil", f"#!/bin/sh\ntouch {plugins.directory}/started\n")
    plugins.write("evil", f"#!/bin/sh\ntouch {plugins.directory}/started\n")
    topic = kafka.new_topic()
    kafka.produce(topic, [b"content"], headers={"_format": name.encode()})
    done = subscribe(ours, plain, topic, "--plugins", env=plugins.env).ok()
    assert done.out == b"content\n" and "is not known" in done.err
    assert not (plugins.directory / "started").exists()


def test_plugins_of_the_working_directory_and_of_known_formats_do_not_count(kafka, ours, plain, plugins, tmp_path):
    evil = f"#!/bin/sh\ntouch {tmp_path}/started\n"
    plugins.write("hop-model-json", evil)
    here = tmp_path / "hop-model-donut"
    here.write_text(evil)
    here.chmod(0o755)
    topic = kafka.new_topic()
    kafka.produce(topic, [b"{}"], headers={"_format": "json"})
    kafka.produce(topic, [b"{}"], headers={"_format": "donut"})
    env = {"PATH": f".::{plugins.directory}:{os.environ['PATH']}:"}
    assert subscribe(ours, plain, topic, "--plugins", env=env).ok().out == b"{}\n{}\n"
    assert not (tmp_path / "started").exists()


def test_a_plugin_gets_the_environment_and_no_credential(kafka, ours, secure, home, plugins, tmp_path):
    told = tmp_path / "told"
    plugins.write("hop-model-donut", f"#!/bin/sh\n{{ env; echo \"args:$*\"; ls -l /proc/self/fd/; pwd; }} > {told}\n"
                                     f"echo group:$$:$(cut -d ' ' -f 5 /proc/$$/stat) >> {told}\n"
                                     f"tee -a {told} | {donut_program('hop-model-donut')}\n")
    topic = kafka.new_topic()
    kafka.produce(topic, [DONUT], headers={"_format": "donut"})
    done = ours.run("subscribe", "-s", "EARLIEST", "--plugins", secure.url(topic), env={**plugins.env, "MINE": "as it is"})
    assert done.ok().out == DONUT
    said = told.read_text()
    assert "\nMINE=as it is\n" in f"\n{said}" and "\nargs:\n" in said and f"\n{home.path}\n" in said
    assert kafka.passwords["hop"] not in said and "socket:" not in said
    # A Ctrl-C is for hop alone, which ends what it has begun.
    [_, process, group] = re.search(r"^group:.*$", said, re.M)[0].split(":")
    assert process == group
    question = json.loads(said.splitlines()[-1])
    assert question == {"protocol": 1, "id": 1, "ask": "decode", "bytes": base64.b64encode(DONUT).decode()}


# ---- Plug-ins that fail -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mood, said", [
    ("hang", "did not answer within 300ms and was ended"),
    ("die", "ended without an answer (exit status: 3)"),
    ("close", "ended without an answer (signal: 9 (SIGKILL))"),
    ("garbage", "gave no answer that can be understood and was ended: the line is no JSON"),
    ("other", "gave no answer that can be understood and was ended: it answers question 4711, and was asked question 2"),
    ("long", "gave an answer of more than 16 MiB and was ended"),
])
def test_whatever_a_plugin_does_the_message_is_named_and_the_next_is_read(kafka, ours, plain, plugins, mood, said):
    plugins.link(MOODY)
    topic = kafka.new_topic()
    kafka.produce(topic, [b"pid", mood.encode(), b"pid"], headers={"_format": "moody"})
    # Only what is to hang is short of time.
    patience = ["--plugin-timeout", "0.3" if mood == "hang" else "60"]
    following = subscribe(ours, plain, topic, "--plugins", *patience, env=plugins.env)
    assert following.code == 1 and len(set(following.lines)) == 2, "two processes answered"
    [named, last] = following.complaint
    assert f"topic '{topic}', partition 0, offset 1 cannot be read as \"moody\": the plug-in {plugins.directory}" in named
    assert f"/hop-model-moody {said}" in named
    assert last.endswith("1 message could not be read")
    stopped = subscribe(ours, plain, topic, "--plugins", *patience, "--on-error", "stop", env=plugins.env)
    assert stopped.code == 1 and len(stopped.lines) == 1
    raw = subscribe(ours, plain, topic, "--plugins", *patience, "--on-error", "raw", env=plugins.env)
    assert raw.lines[1] == mood


def test_a_plugin_that_always_hangs_is_left_alone_after_a_while(kafka, ours, plain, plugins):
    plugins.link(MOODY)
    topic = kafka.new_topic()
    kafka.produce(topic, [b"hang"] * 20, headers={"_format": "moody"})
    done = subscribe(ours, plain, topic, "--plugins", "--plugin-timeout", "0.1", env=plugins.env)
    assert done.code == 1 and done.complaint[-1].endswith("20 messages could not be read")
    said = [line.rsplit("hop-model-moody ", 1)[1] for line in done.complaint[:-1]]
    assert [line.startswith("did not answer within 100ms") for line in said] == [True] * 3 + [False] * 17
    assert said[3:] == ["is not asked any more, since it failed 3 times in a row"] * 17


def test_no_process_is_left_behind(kafka, ours, plain, plugins):
    plugins.link(MOODY)
    topic = kafka.new_topic()
    kafka.produce(topic, [b"pid"], headers={"_format": "moody"})
    pid = subscribe(ours, plain, topic, "--plugins", env=plugins.env).ok().text.strip()
    assert not os.path.exists(f"/proc/{pid}")


@pytest.mark.parametrize("name, text, mode, said", [
    ("hop-model-moody", "#!/no/such/interpreter\n", 0o755, "hop-model-moody cannot be started: No such file"),
    ("hop-model-moody", "\x00\x01", 0o755, "hop-model-moody cannot be started: Exec format error"),
])
def test_what_cannot_be_started_is_named(kafka, ours, plain, plugins, name, text, mode, said):
    plugins.write(name, text, mode)
    topic = kafka.new_topic()
    kafka.produce(topic, [b"pid"], headers={"_format": "moody"})
    kafka.produce(topic, [b"{}"], headers={"_format": "json"})
    done = subscribe(ours, plain, topic, "--plugins", env=plugins.env)
    assert (done.code, done.out) == (1, b"{}\n")
    assert said in done.err


@pytest.mark.parametrize("mode", [0o644, None])
def test_what_is_no_executable_or_is_not_there_is_no_plugin(kafka, ours, plain, plugins, mode):
    if mode:
        plugins.write("hop-model-moody", MOODY.read_text(), mode)
    topic = kafka.new_topic()
    kafka.produce(topic, [b"pid"], headers={"_format": "moody"})
    done = subscribe(ours, plain, topic, "--plugins", env=plugins.env).ok()
    assert done.out == b"pid\n" and 'message format "moody" is not known' in done.err


def test_a_file_that_a_plugin_fails_for_is_not_sent(kafka, ours, plain, plugins, tmp_path):
    plugins.link(MOODY)
    topic = kafka.new_topic()
    for mood in ["pid", "die"]:
        (tmp_path / mood).write_text(mood)
    refused = publish(ours, plain, topic, "--plugins", "-f", "MOODY", tmp_path / "pid", tmp_path / "die", env=plugins.env)
    assert refused.code == 1 and f"{tmp_path}/die: the plug-in {plugins.directory}/hop-model-moody ended" in refused.err
    assert kafka.count(topic) == 0


def test_large_messages_pass_both_ways(kafka, ours, plain, plugins):
    plugins.link(donut_program("hop-model-donut"))
    topic = kafka.new_topic()
    large = b"flavour: " + b"x" * 900_000 + b"\n"
    kafka.produce(topic, [large] * 2, headers={"_format": "donut"})
    assert subscribe(ours, plain, topic, "--plugins", "--plugin-timeout", "60", env=plugins.env).ok().out == large * 2


# ---- The page -----------------------------------------------------------------------------------------------------


def test_the_plugin_of_the_page_works_as_it_stands(kafka, ours, plain, plugins, tmp_path):
    page = (ROOT / "docs" / "plugins.md").read_text()
    [script] = re.findall(r"^```python\n(.*?)^```$", page, re.M | re.S)
    plugins.write("hop-model-magnitude", script)
    topic = kafka.new_topic()
    (tmp_path / "bright").write_text("17.50\n")
    options = ["--plugins", "--plugin-timeout", "60"]
    publish(ours, plain, topic, *options, "-f", "MAGNITUDE", tmp_path / "bright", env=plugins.env).ok()
    kafka.produce(topic, [b'{"format": "magnitude", "content": 3}'])
    kafka.produce(topic, [b"nan", b"dim"], headers={"_format": "magnitude"})
    done = subscribe(ours, plain, topic, *options, env=plugins.env)
    assert (done.code, done.lines) == (1, ["17.5 mag", "3.0 mag"])
    assert "could not convert string to float: b'dim'" in done.err and "not JSON compliant" in done.err
    refused = publish(ours, plain, topic, *options, "-f", "MAGNITUDE", "--wire", "envelope", tmp_path / "bright",
                      env=plugins.env)
    assert refused.code == 1 and "its plug-in has no such form" in refused.err
