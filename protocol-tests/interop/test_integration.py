"""How the program is at home on a system: variables instead of options, completions, manual pages."""

import os
import pty
import subprocess

import pytest

from support import read_until

# Nothing is asked of it.
NOBODY = "kafka://localhost:1/alerts"


def test_variables_stand_for_options_which_come_first(kafka, ours, plain, tmp_path):
    topic = kafka.new_topic()
    kafka.produce(topic, ["1", "2"], headers={"_format": "json"})
    service = {"HOP_NO_AUTH": "yes", "HOP_START_AT": "earliest", "HOP_GROUP_ID": topic, "HOP_OUTPUT_DIR": str(tmp_path),
               "HOP_FILE_NAME": "{partition}/{offset}"}
    ours.run("subscribe", plain.url(topic), env=service).ok()
    assert [(tmp_path / "0" / str(offset)).read_text() for offset in range(2)] == ["1\n", "2\n"]
    late = ["subscribe", "-s", "LATEST", "-n", "1", plain.url(topic)]
    done = ours.run(*late, env={"HOP_START_AT": "EARLIEST", "HOP_NO_AUTH": "1"})
    assert done.ok().out == b""
    for name, value in [("HOP_START_AT", "sometime"), ("HOP_PERSIST", "perhaps"), ("HOP_ON_ERROR", "cry")]:
        done = ours.run("subscribe", plain.url(topic), env={name: value})
        assert done.code == 2 and value in done.err, name


@pytest.mark.parametrize("options", [[], ["-t", "general"], ["--type", "auth"]])
def test_the_settings_are_where_hop_client_has_them(ours, theirs, options):
    assert ours.run("configure", "locate", *options).ok().out == theirs.run("configure", "locate", *options).ok().out


def as_shown(written):
    """What is seen of what was written to a terminal, which goes back to write over what was there."""
    seen, place = [], 0
    for character in written:
        if character == "\b":
            place -= 1
        else:
            seen[place:place + 1] = character
            place += 1
    return "".join(seen)


@pytest.fixture
def bash(ours, kafka, plain, home, tmp_path):
    """Completes in an interactive shell that has read the script; what the line looks like afterwards."""
    for user, host in [("ada", "one.example.org"), ("ada", "two.example.org"), ("grace", plain.broker)]:
        home.add(username=user, password="secret", hostname=host)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "hop").symlink_to(ours.path)
    script = tmp_path / "hop.bash"
    script.write_bytes(ours.run("completions", "bash").ok().out)
    # A short prompt, and no bell for what cannot be completed.
    (tmp_path / "rc").write_text(f"source {script}\nPS1='$ '\nbind 'set bell-style none'\n"
                                 "bind 'set enable-bracketed-paste off'\n")
    environment = {**ours.environment(), "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "TERM": "dumb",
                   "HOP_NO_AUTH": "1", "INPUTRC": "/dev/null"}

    def complete(typed):
        terminal, other = pty.openpty()
        shell = subprocess.Popen(["bash", "--noprofile", "--rcfile", str(tmp_path / "rc"), "-i"], stdin=other,
                                 stdout=other, stderr=other, env=environment, cwd=tmp_path, start_new_session=True)
        os.close(other)
        try:
            read_until(terminal, rb"\$ $")
            # What stands behind the mark was typed after the answer.
            os.write(terminal, typed.encode() + b"\t@MARK@")
            return as_shown(read_until(terminal, rb"@MARK@").decode())
        finally:
            shell.kill()
            shell.wait()
            os.close(terminal)

    return complete


@pytest.mark.parametrize("typed, completed", [
    ("hop subsc", "hop subscribe @MARK@"),
    ("hop publish --for", "hop publish --format @MARK@"),
    ("hop publish -f CIR", "hop publish -f CIRCULAR @MARK@"),
    ("hop subscribe --on-error=sk", "hop subscribe --on-error=skip @MARK@"),
    ("hop auth remove gr", "hop auth remove grace @MARK@"),
    ("hop auth remove ada@t", "hop auth remove ada@two.example.org @MARK@"),
    ("hop subscribe kafka://on", "hop subscribe kafka://one.example.org/@MARK@"),
    ("hop subscribe -s EARLIEST kafka://ada@tw", "hop subscribe -s EARLIEST kafka://ada@two.example.org/@MARK@"),
])
def test_bash_completes_what_is_typed(bash, typed, completed):
    assert completed in bash(typed)


def test_bash_completes_topics_of_the_broker(kafka, bash, plain):
    topic = kafka.new_topic()
    begun = f"hop subscribe kafka://{plain.broker}/"
    assert f"{begun}{topic} @MARK@" in bash(begun + topic[:-2])
    assert f"{begun}other,{topic} @MARK@" in bash(f"{begun}other,{topic[:-2]}")
    # Nobody answers, and nothing is said.
    assert bash("hop subscribe kafka://localhost:1/x").endswith("kafka://localhost:1/x@MARK@")


@pytest.mark.parametrize("option, variables, is_anonymous", [
    ([], {"HOP_NO_AUTH": "yes"}, True), ([], {"HOP_NO_AUTH": "no"}, False), ([b"--no-auth"], {}, True)])
def test_words_that_are_no_text_are_completed_around(ours, kafka, plain, option, variables, is_anonymous):
    topic = kafka.new_topic()
    url = f"kafka://{plain.broker}/{topic}"
    words = [b"hop", b"subscribe", b"--filter", b"\xff", *option, url[:-1].encode()]
    asked = {"HOP_COMPLETE": "bash", "_CLAP_COMPLETE_INDEX": str(len(words) - 1), **variables}
    done = subprocess.run([ours.path, b"--", *words], env={**ours.environment(), **asked}, capture_output=True, check=True)
    assert done.stdout.decode().split() == ([url] if is_anonymous else []) and done.stderr == b""


@pytest.mark.parametrize("shell, begins", [("zsh", "#compdef hop"), ("fish", "complete --keep-order"), ("elvish", "\n"),
                                           ("powershell", "\nRegister-ArgumentCompleter")])
def test_other_shells_have_completions(ours, shell, begins):
    script = ours.run("completions", shell).ok().out.decode()
    assert script.startswith(begins) and "HOP_COMPLETE" in script
    words = ["--", "hop", "publish", "-f", ""]
    asked = ours.run(*words, env={"HOP_COMPLETE": shell, "_CLAP_COMPLETE_INDEX": "3"}).ok()
    assert {"BLOB", "CIRCULAR", "JSON", "VOEVENT"} <= {line.split("\t")[0].split(":")[0] for line in asked.lines}


@pytest.mark.parametrize("command", ["auth", "publish", "subscribe", "list-topics", "offsets", "top"])
def test_help_is_short_or_long_and_has_examples(ours, command):
    short, long = ours.run(command, "-h").ok().text, ours.run(command, "--help").ok().text
    for text in (short, long):
        assert "Usage: hop " + command in text and f"Examples:\n  hop {command} " in text
    assert len(short.splitlines()) < len(long.splitlines()) or command in ("auth", "offsets")


def test_each_command_has_a_manual_page(ours, tmp_path):
    pages = tmp_path / "man1"
    listed = ours.run("man", pages).ok().lines
    names = sorted(page.name for page in pages.iterdir())
    assert names == sorted(line.rsplit("/", 1)[1] for line in listed)
    some = {"hop.1", "hop-subscribe.1", "hop-publish.1", "hop-auth.1", "hop-auth-add.1", "hop-offsets-reset.1"}
    assert some <= set(names)
    page = (pages / "hop-subscribe.1").read_text().replace("\\", "")
    assert ".TH hop-subscribe 1" in page and "HOP_GROUP_ID" in page and "hop subscribe" in page
    (tmp_path / "file").touch()
    done = ours.run("man", tmp_path / "file")
    assert done.code == 1 and "cannot write manual pages to" in done.err
