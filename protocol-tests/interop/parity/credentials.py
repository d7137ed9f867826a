"""The credential file: `hop auth`, and which credential a URL gets."""

from parity.case import HOP, ONE, Case
from parity.reasons import (
    CONFLICT, DASHES, HOST_CASE, LAST_LINE, LAYOUT, LENIENT_CSV, MODE, QUESTIONS, STRICT_CSV, because,
)

HEAD = "username,password,hostname\n"
ROW = HEAD + "alice,wonder,kafka.example.org\n"
PLAIN_ROW = "username,password\nsomebody,new\n"

THREE = """\
[[auth]]
username = "alice"
password = "p"
hostname = "h1"

[[auth]]
username = "bo"
password = "q"

[[auth]]
username = "carol-long"
password = "r"
hostname = "kafka.scimma.org:9092"
"""
# The same with what the programs write, in their order.
WRITTEN = """\
[[auth]]
username = "alice"
password = "p"
protocol = "SASL_SSL"
mechanism = "SCRAM-SHA-512"
hostname = "h1"

[[auth]]
username = "alice"
password = "q"
protocol = "SASL_SSL"
mechanism = "SCRAM-SHA-256"
hostname = "h2"

[[auth]]
username = "bo"
password = "r"
protocol = "SASL_PLAINTEXT"
mechanism = "PLAIN"

"""
TABLE = '[auth]\nusername = "somebody"\npassword = "secret"\n'
INLINE = 'auth = [{username = "alice", password = "p", hostname = "h1"}, {username = "bo", password = "q"}]\n'
EVERY_KEY = """\
[[auth]]
username = "u"
password = "p"
protocol = "SASL_SSL"
mechanism = "SCRAM-SHA-256"
hostname = "h"
ssl_ca_location = "/etc/ca.pem"
"""
TWINS = """\
[[auth]]
username = "u"
password = "p"

[[auth]]
username = "u"
password = "q"
hostname = "h"
"""

LOCATE = [
    Case(name="locate", command="auth locate"),
    Case(name="locate-without-file", command="auth locate", auth=None),
    Case(name="locate-by-home-only", command="auth locate", env={"XDG_CONFIG_HOME": None}),
    Case(name="locate-by-relative-directory", command="auth locate", env={"XDG_CONFIG_HOME": "here"}),
    Case(name="locate-by-empty-variable", command="auth locate", env={"XDG_CONFIG_HOME": ""}),
    Case(name="locate-with-a-slash-at-the-end", command="auth locate", env={"XDG_CONFIG_HOME": "/nowhere/"}),
    Case(name="locate-with-no-home", command="auth locate", env={"XDG_CONFIG_HOME": None, "HOME": None}),
    Case(name="locate-broken-file", command="auth locate", auth="auth = 5 5"),
]

LIST = [
    Case(name="list-no-file", command="auth list", auth=None),
    Case(name="list-one", command="auth list"),
    Case(name="list-three", command="auth list", auth=THREE),
    Case(name="list-inline", command="auth list", auth=INLINE),
    Case(name="list-single-table", command="auth list", auth=TABLE),
    Case(name="list-every-key", command="auth list", auth=EVERY_KEY),
    Case(name="list-written-by-hop", command="auth list", auth=WRITTEN),
    Case(name="list-same-user-on-two-hosts", command="auth list", auth=WRITTEN.replace('"bo"', '"alice"')),
    Case(name="list-twins", command="auth list", auth=TWINS),
    Case(name="list-empty-array", command="auth list", auth="auth = []\n"),
    Case(name="list-empty-file", command="auth list", auth=""),
    Case(name="list-other-sections-only", command="auth list", auth="[other]\nx = 1\n"),
    Case(name="list-other-sections-too", command="auth list", auth=TABLE + "\n[other]\nx = 1\n"),
    Case(name="list-unknown-key", command="auth list", auth=TABLE + 'colour = "blue"\n'),
    Case(name="list-empty-hostname", command="auth list", auth=TABLE + 'hostname = ""\n'),
    Case(name="list-hostname-with-port", command="auth list", auth=TABLE + 'hostname = "h:9092"\n'),
    Case(name="list-beyond-ascii", command="auth list",
         auth='[[auth]]\nusername = "üé"\npassword = "p"\nhostname = "h"\n'
              '[[auth]]\nusername = "abcd"\npassword = "p"\nhostname = "h"\n'),
    Case(name="list-comments-and-literal-strings", command="auth list",
         auth="# mine\n[[auth]] # first\nusername = 'u' # me\npassword = 'p\\q'\n"),
    Case(name="list-crlf", command="auth list", auth=TABLE.replace("\n", "\r\n")),
    Case(name="list-protocol-plaintext", command="auth list", auth=TABLE + 'protocol = "SASL_PLAINTEXT"\n'),
    Case(name="list-mechanism-with-underscores", command="auth list", auth=TABLE + 'mechanism = "SCRAM_SHA_256"\n'),
    Case(name="list-mechanism-plain", command="auth list", auth=TABLE + 'mechanism = "PLAIN"\n'),
    Case(name="list-mechanism-unknown", command="auth list", auth=TABLE + 'mechanism = "NOPE"\n'),
    Case(name="list-mechanism-in-lower-case", command="auth list", auth=TABLE + 'mechanism = "plain"\n'),
    Case(name="list-token-endpoint", command="auth list", auth=TABLE + 'token_endpoint = "https://t/e"\n'),
    Case(name="list-broken-toml", command="auth list", auth="[[auth]\nusername = u\n"),
    Case(name="list-cut-string", command="auth list", auth='[[auth]]\nusername = "u\n'),
    Case(name="list-no-utf-8", command="auth list", auth=b'[[auth]]\nusername = "\xff"\npassword = "p"\n'),
    Case(name="list-missing-password", command="auth list", auth='[auth]\nusername = "u"\n'),
    Case(name="list-missing-username", command="auth list", auth='[auth]\npassword = "p"\n'),
    Case(name="list-empty-password", command="auth list", auth='[auth]\nusername = "u"\npassword = ""\n'),
    Case(name="list-second-one-broken", command="auth list", auth=ONE + '[[auth]]\nusername = "v"\n'),
    Case(name="list-auth-is-a-string", command="auth list", auth='auth = "x"\n'),
    Case(name="list-auth-of-strings", command="auth list", auth='auth = ["x"]\n'),
    Case(name="list-username-is-a-number", command="auth list", auth='[auth]\nusername = 5\npassword = "p"\n'),
    *(Case(name=f"list-mode-{mode:04o}", command="auth list", mode=mode)
      for mode in (0o600, 0o400, 0o700, 0o500, 0o640, 0o644, 0o604, 0o660, 0o601, 0o1600)),
    Case(name="list-old-config", command="auth list", auth=None, config=TABLE),
    Case(name="list-old-config-unsafe", command="auth list", auth=None, config=TABLE, mode=0o644),
    Case(name="list-old-config-without-auth", command="auth list", auth=None,
         config="[config]\nfetch_external = true\n"),
    Case(name="list-old-config-beside-the-new", command="auth list",
         config='[auth]\nusername = "old"\npassword = "p"\n'),
    Case(name="list-by-home-only", command="auth list", auth=None, env={"XDG_CONFIG_HOME": None},
         files={"home/.config/hop/auth.toml": THREE}),
    Case(name="list-by-relative-directory", command="auth list", auth=None, env={"XDG_CONFIG_HOME": "here"},
         files={"here/hop/auth.toml": THREE}),
]


def add(name, content, **more):
    """`hop auth add` of a CSV file, where there is no credential file yet."""
    return Case(name=f"add-{name}",
                **{"command": "auth add new.csv", "auth": None, "files": {"new.csv": content}, **more})


ADD = [
    add("first", ROW),
    add("first-to-its-last-line", ROW, last_line=True, differs=because(LAST_LINE, "file")),
    add("without-hostname", "username,password\nalice,wonder\n"),
    add("empty-hostname", HEAD + "alice,wonder,\n"),
    add("hostname-with-port", HEAD + "alice,wonder,kafka.example.org:9092\n"),
    add("hostname-with-kafka-scheme", HEAD + "alice,wonder,kafka://kafka.example.org\n"),
    add("hostname-with-topic", HEAD + "alice,wonder,kafka.example.org/topic\n"),
    add("columns-in-another-order", "hostname,password,username\nh,wonder,alice\n"),
    add("more-columns", "id,username,password,colour\n7,alice,wonder,blue\n"),
    add("more-cells-than-columns", "username,password\nalice,wonder,more,cells\n"),
    add("columns-in-capitals", "Username,Password\nalice,wonder\n"),
    add("column-with-a-space", "username, password\nalice, wonder\n"),
    add("values-with-spaces", "username,password\n alice , wonder \n"),
    add("column-twice", "username,password,username\nu,p,v\n"),
    add("no-password-column", "username\nalice\n"),
    add("no-username-column", "password\nwonder\n"),
    add("no-column-names", "alice,wonder\n"),
    add("short-row", "username,password\nalice\n"),
    add("short-row-before-hostname", HEAD + "alice,wonder\n",
        differs=because(LENIENT_CSV, "code", "file", "credentials", "mode")),
    add("empty-username", "username,password\n,wonder\n",
        differs=because(STRICT_CSV, "code", "file", "credentials", "mode")),
    add("empty-password", "username,password\nalice,\n"),
    add("quoted", 'username,password\n"a,lice","won""der"\n'),
    add("quoted-names", '"username","password"\n"alice","wonder"\n'),
    add("line-break-in-quotes", 'username,password\nalice,"won\nder"\n'),
    add("unclosed-quote", 'username,password\nalice,"wonder\n'),
    add("backslashes-and-tabs", 'username,password\nalice,"a\\b""c\td"\n'),
    add("beyond-ascii", "username,password\nälice,wönder\n"),
    add("no-utf-8", b"username,password\nalice,w\xffnder\n"),
    add("byte-order-mark", "\ufeffusername,password\nalice,wonder\n",
        differs=because(LENIENT_CSV, "code", "file", "credentials", "mode")),
    add("crlf", "username,password,hostname\r\nalice,wonder,h\r\n"),
    add("no-line-end", "username,password\nalice,wonder"),
    add("empty-file", ""),
    add("names-only", "username,password\n"),
    add("several-rows", "username,password\nalice,wonder\nbo,other\n"),
    add("blank-line-before-values", "username,password\n\nalice,wonder\n"),
    add("blank-line-before-names", "\nusername,password\nalice,wonder\n",
        differs=because(LENIENT_CSV, "code", "file", "credentials", "mode")),
    add("semicolons", "username;password\nalice;wonder\n"),
    add("mechanism", "username,password,mechanism\nalice,wonder,PLAIN\n"),
    add("mechanism-with-dashes", "username,password,mechanism\nalice,wonder,SCRAM-SHA-256\n",
        differs=because(DASHES, "file", "credentials")),
    add("mechanism-unknown", "username,password,mechanism\nalice,wonder,NOPE\n",
        differs=because(STRICT_CSV, "code", "file", "credentials", "mode")),
    add("mechanism-empty", "username,password,mechanism\nalice,wonder,\n",
        differs=because(LENIENT_CSV, "file", "credentials")),
    add("protocol-plaintext", "username,password,protocol\nalice,wonder,SASL_PLAINTEXT\n"),
    add("protocol-ssl", "username,password,protocol\nalice,wonder,SASL_SSL\n"),
    add("authority-file", "username,password,ssl_ca_location\nalice,wonder,/etc/ca.pem\n"),
    add("authority-file-empty", "username,password,ssl_ca_location\nalice,wonder,\n",
        differs=because(LENIENT_CSV, "file", "credentials")),
    add("token-endpoint", "username,password,token_endpoint\nalice,wonder,https://t/e\n"),
    add("token-endpoint-empty", "username,password,token_endpoint\nalice,wonder,\n",
        differs=because(LENIENT_CSV, "file", "credentials")),
    add("token-endpoint-without-password", "username,password,token_endpoint\nalice,,https://t/e\n"),
    add("token-command", "username,password,token_command\nalice,,get-token\n"),
    Case(name="add-missing-file", command="auth add missing.csv", auth=None),
    Case(name="add-a-directory", command="auth add folder", auth=None, files={"folder/x": ""}),
    Case(name="add-by-absolute-path", command="auth add /dev/null", auth=None),
    Case(name="add-with-quiet", command="auth -q add new.csv", auth=None, files={"new.csv": ROW}),
    Case(name="add-without-directories", command="auth add new.csv", auth=None, files={"new.csv": ROW},
         env={"XDG_CONFIG_HOME": None}),
    add("to-another", ROW, auth=WRITTEN),
    add("to-single-table", ROW, auth=TABLE, differs=because(LAYOUT, "file")),
    add("to-inline", ROW, auth=INLINE, differs=because(LAYOUT, "file")),
    add("to-empty-file", ROW, auth=""),
    add("to-empty-array", ROW, auth="auth = []\n"),
    add("to-every-key", ROW, auth=EVERY_KEY),
    add("to-other-sections", ROW, auth=WRITTEN + "[other]\nx = 1\n", differs=because(LAYOUT, "file")),
    add("to-broken-file", ROW, auth="auth = 5 5"),
    add("to-unsafe-file", ROW, auth=WRITTEN, mode=0o644),
    add("to-executable-file", ROW, auth=WRITTEN, mode=0o700, differs=because(MODE, "mode")),
    add("to-file-without-auth", ROW, auth="[other]\nx = 1\n"),
    add("to-old-config", ROW, config=TABLE, differs=because(LAYOUT, "file")),
    add("to-old-config-with-settings", ROW, config=TABLE + "\n[config]\nfetch_external = false\n",
        differs=because(LAYOUT, "file")),
    add("same-user-on-another-host", HEAD + "alice,s,h3\n", auth=WRITTEN),
    add("same-user-without-host", HEAD + "alice,s,\n", auth=WRITTEN),
    add("same-host-with-default-port", HEAD + "alice,s,h1:9092\n", auth=WRITTEN),
    add("same-host-in-capitals", HEAD + "alice,s,H1\n", auth=WRITTEN,
        differs=because(HOST_CASE, "code", "file", "credentials")),
    add("conflict", HEAD + "alice,s,h1\n", auth=WRITTEN, differs=because(CONFLICT, "code")),
    add("conflict-without-host", HEAD + "bo,s,\n", auth=WRITTEN, differs=because(CONFLICT, "code")),
    add("conflict-with-force", HEAD + "alice,s,h1\n", auth=WRITTEN, command="auth add --force new.csv"),
    add("conflict-with-force-behind", HEAD + "bo,s,\n", auth=WRITTEN, command="auth add new.csv --force"),
    add("force-without-conflict", HEAD + "dora,s,h1\n", auth=WRITTEN, command="auth add --force new.csv"),
    add("force-on-one-of-two-hosts", HEAD + "alice,s,h2\n", auth=WRITTEN, command="auth add --force new.csv"),
    add("force-on-twins", "username,password\nu,s\n", auth=TWINS, command="auth add --force new.csv",
        differs=because(LAYOUT, "file")),
    add("force-on-two-alike", "username,password\nu,s\n", auth=TWINS.replace('hostname = "h"\n', ""),
        command="auth add --force new.csv", differs=because(LAYOUT, "file")),
    add("force-into-single-table", PLAIN_ROW, auth=TABLE, command="auth add --force new.csv",
        differs=because(LAYOUT, "file")),
    add("force-into-no-file", PLAIN_ROW, command="auth add --force new.csv"),
    add("force-into-empty-file", PLAIN_ROW, auth="", command="auth add --force new.csv"),
]

ASKED = [
    Case(name="asked-through-a-pipe", command="auth add", auth=None, stdin=b"alice\nwonder\nh\n\n",
         differs=because(QUESTIONS, "stdout")),
    Case(name="asked-through-a-pipe-crlf", command="auth add", auth=None, stdin=b"alice\r\nwonder\r\nh\r\n\r\n",
         differs=because(QUESTIONS, "stdout")),
    Case(name="asked-and-nothing-said", command="auth add", auth=None, differs=because(QUESTIONS, "stdout")),
    Case(name="asked-for-empty-username", command="auth add", auth=None, stdin=b"\n",
         differs=because(QUESTIONS, "stdout")),
    Case(name="asked-and-input-ends-early", command="auth add", auth=None, stdin=b"alice\n",
         differs=because(QUESTIONS, "stdout")),
    Case(name="asked-for-bad-hostname", command="auth add", auth=None, stdin=b"alice\nwonder\nh/t\n\n",
         differs=because(QUESTIONS, "stdout")),
    Case(name="asked-at-a-terminal", command="auth add", auth=None, typed=("alice", "wonder", "h", "")),
    Case(name="asked-at-a-terminal-without-host", command="auth add", typed=("alice", "wonder", "", ""),
         differs=because(LAYOUT, "file")),
    Case(name="asked-at-a-terminal-for-url", command="auth add", typed=("alice", "wonder", "kafka://h:9092", ""),
         differs=because(LAYOUT, "file")),
    Case(name="asked-at-a-terminal-for-path", command="auth add", typed=("alice", "wonder", "h/t", "")),
    Case(name="asked-at-a-terminal-empty-password", command="auth add", typed=("alice", "")),
    Case(name="asked-at-a-terminal-for-token-endpoint", command="auth add", auth=None,
         typed=("alice", "wonder", "h", "https://t/e")),
    Case(name="asked-at-a-terminal-conflict", command="auth add", typed=("somebody", "wonder", "", ""),
         differs=because(CONFLICT, "code")),
    Case(name="asked-at-a-terminal-force", command="auth add --force", typed=("somebody", "wonder", "", "")),
]


def remove(name, credential, auth=WRITTEN, **more):
    return Case(name=f"remove-{name}", command=f"auth remove {credential}", auth=auth, **more)


REMOVE = [
    remove("by-user", "bo"),
    remove("by-user-and-host", "alice@h1"),
    remove("by-user-and-second-host", "alice@h2"),
    remove("by-user-and-empty-host", "bo@"),
    remove("by-user-and-empty-host-that-has-one", "alice@"),
    remove("by-user-and-default-port", "alice@h1:9092"),
    remove("ambiguous", "alice"),
    remove("twins", "u", auth=TWINS),
    remove("twins-by-host", "u@h", auth=TWINS, differs=because(LAYOUT, "file")),
    remove("two-alike", "u@", auth=TWINS.replace('hostname = "h"\n', "")),
    remove("unknown", "nobody"),
    remove("unknown-host", "alice@h9"),
    remove("in-capitals", "ALICE@h1"),
    remove("two-at-signs", "a@b@c"),
    remove("empty-name", "''"),
    remove("last-one", "somebody", auth=ONE),
    remove("from-single-table", "somebody", auth=TABLE),
    remove("from-inline", "bo", auth=INLINE, differs=because(LAYOUT, "file")),
    remove("from-no-file", "bo", auth=None),
    remove("from-empty-file", "bo", auth=""),
    remove("from-unsafe-file", "bo", mode=0o640),
    remove("from-broken-file", "bo", auth="auth = 5 5"),
    remove("from-old-config", "somebody", auth=None, config=TABLE),
    remove("keeps-other-keys", "somebody", auth=ONE + EVERY_KEY),
    Case(name="remove-with-quiet", command="auth -q remove bo", auth=WRITTEN),
]

TWO_USERS = HOP + '[[auth]]\nusername = "outsider"\npassword = "$outsider"\nssl_ca_location = "$ca"\n'


def choose(name, auth, url="$secure/", **more):
    """Which credential is used: `list-topics` gets in with the right one only."""
    return Case(name=f"choose-{name}", command=f"list-topics {url}$topic", auth=auth, **more)


USER_URL = "kafka://hop@$broker/"
CHOOSE = [
    choose("the-only-one", HOP),
    choose("none-there", None),
    choose("none-in-file", "auth = []\n"),
    choose("for-another-host", HOP + 'hostname = "kafka.example.org"\n'),
    choose("for-this-host", HOP + 'hostname = "$broker"\n'),
    choose("for-this-host-without-port", HOP + 'hostname = "localhost"\n'),
    choose("ambiguous", TWO_USERS),
    choose("ambiguous-but-named", TWO_USERS, USER_URL),
    choose("named-unknown", TWO_USERS, "kafka://nobody@$broker/"),
    choose("named-empty", TWO_USERS, "kafka://@$broker/"),
    choose("named-with-password", TWO_USERS, "kafka://hop:ignored@$broker/"),
    choose("host-before-none", TWO_USERS.replace("[[auth]]", '[[auth]]\nhostname = "$broker"', 1)),
    choose("two-alike", HOP + HOP),
    choose("unsafe-file", HOP, mode=0o644),
    choose("broken-file", "auth = 5 5"),
    choose("old-config", None, config=HOP),
    choose("named-by-home-only", None, env={"XDG_CONFIG_HOME": None}, files={"home/.config/hop/auth.toml": HOP}),
]

CASES = LOCATE + LIST + ADD + ASKED + REMOVE + CHOOSE
