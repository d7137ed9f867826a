"""`hop list-topics`, and URLs of every shape."""

from parity.case import HOP, LONG, Case
from parity.reasons import NO_BROKER, TOPIC_NAME, because

OUTSIDER = '[[auth]]\nusername = "outsider"\npassword = "$outsider"\nssl_ca_location = "$ca"\n'

TOPICS = [
    Case(name="topics-one", command="list-topics --no-auth $plain/$topic"),
    Case(name="topics-two", command="list-topics --no-auth $plain/$topic,$other"),
    Case(name="topics-one-of-two", command="list-topics --no-auth $plain/$topic,no-such-topic"),
    Case(name="topics-same-twice", command="list-topics --no-auth $plain/$topic,$topic"),
    Case(name="topics-unknown", command="list-topics --no-auth $plain/no-such-topic"),
    Case(name="topics-all", alone=True, command="list-topics --no-auth $plain/"),
    Case(name="topics-all-without-slash", alone=True, command="list-topics --no-auth $plain"),
    Case(name="topics-all-with-credential", alone=True, command="list-topics $secure", auth=HOP),
    Case(name="topics-forbidden", command="list-topics $secure/$forbidden", auth=OUTSIDER),
    Case(name="topics-forbidden-and-another", command="list-topics $secure/$forbidden,$topic", auth=OUTSIDER),
    Case(name="topics-all-but-forbidden", alone=True, command="list-topics $secure/", auth=OUTSIDER),
    Case(name="topics-impossible-name", command="list-topics --no-auth '$plain/not*a*topic'",
         differs=because(TOPIC_NAME, "code", "stdout", "stderr")),
    Case(name="topics-no-credential", command="list-topics $secure", auth=None),
    Case(name="topics-no-broker", command="list-topics --no-auth kafka://127.0.0.1:1/", patience=LONG,
         differs=because(NO_BROKER, "code")),
    Case(name="topics-wrong-password", command="list-topics $secure", patience=LONG,
         auth=HOP.replace("$password", "wrong"), differs=because(NO_BROKER, "code")),
]

# Where there is no broker behind it, whether it is refused.
REFUSED = {
    "empty": "''",
    "no-scheme": "localhost/t",
    "no-scheme-but-port": "localhost:9092/t",
    "another-scheme": "http://localhost/t",
    "two-brokers": "kafka://a:1,b:2/t",
    "user-and-two-brokers": "kafka://u@a,b/t",
    "open-bracket": "kafka://[::1/t",
}
# What subscribe and publish want, and list-topics does not.
TOPICLESS = {
    "no-path": "$plain",
    "slash-only": "$plain/",
    "query-only": "$plain?x=1",
}
# How the same topic can be written.
ACCEPTED = {
    "scheme-in-capitals": "KAFKA://$address/$topic",
    "two-slashes": "$plain//$topic",
    "query": "$plain/$topic?x=1",
    "fragment": "$plain/$topic#part",
    "user": "kafka://anybody@$address/$topic",
    "user-and-password": "kafka://anybody:secret@$address/$topic",
    "empty-user": "kafka://@$address/$topic",
    "spaces-before": "'  $plain/$topic'",
    "line-end-behind": "'$plain/$topic\n'",
    "empty-topic-behind": "$plain/$topic,",
    "path-below-topic": "$plain/$topic/more",
    "parameters": "'$plain/$topic;p=1'",
    "percent": "$plain/%74est",
}

URLS = [
    *(Case(name=f"url-{name}-{command}", command=f"{command} --no-auth {url}")
      for name, url in REFUSED.items() for command in ("list-topics", "subscribe", "publish")),
    *(Case(name=f"url-{name}-{command}", command=f"{command} --no-auth {url}", stdin=b"{}\n")
      for name, url in TOPICLESS.items() for command in ("subscribe", "publish")),
    *(Case(name=f"url-{name}", command=f"subscribe --no-auth -q -e -s EARLIEST {url}", messages=[b'{"a": 1}'])
      for name, url in ACCEPTED.items()),
    *(Case(name=f"url-{name}-publish", command=f"publish --no-auth -q -f JSON {url}", stores=True, stdin=b'{"a": 1}\n')
      for name, url in ACCEPTED.items()),
]

CASES = TOPICS + URLS
