"""The general settings: `hop configure show` and `hop configure set`."""

from parity.case import Case
from parity.reasons import SETTINGS, SETTINGS_LAYOUT, because

BOTH = "[config]\nfetch_external = false\nautomatic_offload = true\n"
OLD = '[auth]\nusername = "old"\npassword = "p"\n'


def show(name, **options):
    return Case(name=f"settings-{name}", command="configure show", **options)


def write(name, setting, value, **options):
    return Case(name=f"settings-set-{name}", command=f"configure set {setting} {value}", **options)


CASES = [
    show("default"),
    show("of-the-file", config=BOTH),
    show("of-a-variable", config=BOTH, env={"HOP_FETCH_EXTERNAL": "yes", "HOP_AUTOMATIC_OFFLOAD": "OFF"}),
    show("of-a-variable-alone", env={"HOP_AUTOMATIC_OFFLOAD": "0"}),
    show("of-a-wrong-variable", env={"HOP_FETCH_EXTERNAL": "perhaps"}),
    show("of-an-empty-variable", env={"HOP_AUTOMATIC_OFFLOAD": ""}),
    show("unknown", config="[config]\nfetch_externals = true\n", differs=because(SETTINGS, "code", "stdout")),
    show("of-an-old-file", config=OLD, differs=because(SETTINGS, "code", "stdout", "stderr")),
    show("of-a-broken-file", config="[config", differs=because(SETTINGS, "code", "stdout")),
    Case(name="settings-alone", command="configure"),
    Case(name="settings-show-too-much", command="configure show fetch_external"),
    *(write(word, "fetch_external", word) for word in ["true", "Yes", "on", "1", "false", "NO", "off", "0"]),
    write("another", "automatic_offload", "false", config=BOTH),
    write("first-of-a-file", "fetch_external", "true", config=BOTH),
    write("no-value", "fetch_external", "perhaps", config=BOTH),
    write("unknown", "fetch", "true"),
    write("beside-others", "fetch_external", "true", config=BOTH + "\n[mine]\na = 1\n",
          differs=because(SETTINGS_LAYOUT, "config")),
    write("with-a-comment", "fetch_external", "true", config="# mine\n" + BOTH,
          differs=because(SETTINGS_LAYOUT, "config")),
    write("of-an-old-file", "fetch_external", "true", config=OLD, differs=because(SETTINGS, "code", "config")),
    write("of-a-broken-file", "fetch_external", "true", config="[config"),
    Case(name="settings-set-quietly", command="configure -q set fetch_external false"),
    Case(name="settings-set-half", command="configure set fetch_external"),
]
