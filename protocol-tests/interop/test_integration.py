"""How the program is at home on a system: variables instead of options, completions, manual pages."""

import subprocess

import pytest

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


@pytest.mark.parametrize("typed, completed", [
    ("sub", {"subscribe"}),
    ("publish --form", {"--format"}),
    ("publish -f ", {"BLOB", "CIRCULAR", "JSON", "VOEVENT"}),
    ("subscribe --on-error s", {"stop", "skip"}),
])
def test_bash_completes_what_is_typed(ours, tmp_path, typed, completed):
    script = tmp_path / "hop.bash"
    script.write_bytes(ours.run("completions", "bash").ok().out)
    words = ["hop", *typed.split(" ")]
    program = (f'source {script}; COMP_WORDS=({" ".join(word or chr(39) * 2 for word in words)}); '
               f'COMP_CWORD={len(words) - 1}; _hop hop "{words[-1]}" "{words[-2]}"; printf "%s\\n" "${{COMPREPLY[@]}}"')
    done = subprocess.run(["bash", "-c", program], check=True, capture_output=True, text=True)
    assert completed <= set(done.stdout.split()), done.stdout


@pytest.mark.parametrize("shell, begins", [("zsh", "#compdef hop"), ("fish", "# Print an optspec"), ("elvish", "\n"),
                                           ("powershell", "\n")])
def test_other_shells_have_completions(ours, shell, begins):
    script = ours.run("completions", shell).ok().out.decode()
    assert script.startswith(begins) and "subscribe" in script


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
