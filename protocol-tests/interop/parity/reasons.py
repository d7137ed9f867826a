"""Why the two programs are meant to differ. What stands before the colon is a row in the README's table of that."""

NOTICE = "the notice that there is no credential: on standard error"
SILENCE = "standard error: nothing of what goes well"
ABBREVIATION = "options: not abbreviated"
ANY_CASE = "options: names of formats and positions in any case"
MORE_OPTIONS = "options: `-p` and others that hop-client 0.13 has not"
SETTINGS = "`config.toml`: one that is broken is no error"

SETTINGS_LAYOUT = "`config.toml`: keeps its layout"
LAYOUT = "the credential file: keeps its layout"
LAST_LINE = "the credential file: no empty line at its end"
MODE = "the credential file: with mode 0600"
CONFLICT = "a conflict in `hop auth add`: exit status 1"
QUESTIONS = "questions of `hop auth add`: on standard error"
LENIENT_CSV = "a CSV file with a credential: what is not needed may be missing or empty"
STRICT_CSV = "a CSV file with a credential: a user name and a mechanism that exists"
DASHES = "a CSV file with a credential: mechanisms are stored with dashes"
HOST_CASE = "host names in credentials: without regard to case"

NO_BROKER = "no broker: an error in time, where hop-client goes on trying"
TOPIC_NAME = "a topic that no broker can have: an error"
SAME_TOPIC = "a topic named twice: read once"

JSON_FORM = "a VOEvent on the wire: its JSON form"
LINES = "standard input: each line is one JSON value"
LINE_ENDS = "standard input: only line feeds end lines"
NO_LINES = "standard input: refused for other formats, also when it is empty"
DIRECTORY = "a directory to publish: its files"
AVRO = "Avro on the wire: as the file has it, with any number of records"
SURROGATE = "JSON with half a surrogate pair: refused"

TEXT = "what is printed: the text of a message"
ONE_LINE = "what is printed: by -j one JSON value a line"
END = "the end of the stream: it stops there"
PERSIST = "the end of the stream: `-p` goes on"
GROUP = "`-g GROUP`: its readers share the partitions"
UNREADABLE = "messages that cannot be read: the rest is printed"
STUMBLES = "messages that hop-client fails on: are printed"
QUIET = "`-q`: no warnings either"
DELIMITER = "a delimiter beyond ASCII: as it is"


def because(reason, *aspects):
    return dict.fromkeys(aspects, reason)
