"""A service that keeps messages too large for a topic, as Hopskotch has one; of this machine only."""

import base64
import threading
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from hop import bson
from scramp import ScramMechanism

MECHANISM = "SCRAM-SHA-512"


class StoreServer:
    """Keeps what users with a password send, and gives it to them; `asked` says who asked for what."""

    def __init__(self, passwords):
        self.scram = ScramMechanism(MECHANISM)
        self.users = {name: self.scram.make_auth_info(password, iteration_count=4096)
                      for name, password in passwords.items()}
        self.kept = {}
        self.asked = []
        self.sessions = {}
        # Status and body of every answer, where it is not to be what it should.
        self.answer = None
        # What the service says to prove that it knows the password.
        self.proof = None
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self.handler())
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"http://localhost:{self.server.server_port}/store"

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def keep(self, payload, headers, key=None, topic="t"):
        """Keeps a message as if a user had sent it; its URL."""
        number = str(uuid.uuid4())
        metadata = {"headers": headers, "timestamp": 1_700_000_000_000, "topic": topic}
        if key is not None:
            metadata["key"] = key
        self.kept[f"/store/msg/{number}"] = bson.dumps({"message": payload, "metadata": metadata})
        return f"{self.url}/msg/{number}"

    def handler(self):
        outer = self

        class Handler(BaseHTTPRequestHandler):
            """SCRAM over HTTP (RFC 7804)."""

            protocol_version = "HTTP/1.1"

            def do_GET(self):
                self.answer_to("GET", b"")

            def do_POST(self):
                self.answer_to("POST", self.rfile.read(int(self.headers["Content-Length"])))

            def answer_to(self, method, body):
                if outer.answer is not None:
                    return self.reply(*outer.answer)
                user, proof = self.login(body)
                if user is None:
                    return None
                outer.asked.append((method, self.path, user))
                if method == "POST":
                    document = bson.loads(body)
                    headers = dict(document["headers"])
                    number = uuid.UUID(bytes=headers["_id"])
                    metadata = {"headers": document["headers"], "timestamp": 1_700_000_000_000,
                                "topic": self.path.removeprefix("/store/topic/")}
                    if "key" in document:
                        metadata["key"] = document["key"]
                    outer.kept[f"/store/msg/{number}"] = bson.dumps(
                        {"message": document["message"], "metadata": metadata})
                    return self.reply(201, b"", proof)
                if self.path not in outer.kept:
                    return self.reply(404, b"no such message", proof)
                return self.reply(200, outer.kept[self.path], proof)

            def login(self, body):
                """Who asks, and what proves that we know them; None while they have not proved themselves."""
                scheme, _, parameters = self.headers.get("Authorization", "").partition(" ")
                if scheme != MECHANISM:
                    # Anybody may read.
                    if self.command == "GET":
                        return "nobody", None
                    self.reply(401, b"who?")
                    return None, None
                values = dict(item.strip().split("=", 1) for item in parameters.split(","))
                data = base64.b64decode(values["data"]).decode()
                if "sid" not in values:
                    assert body == b"", "a body before the challenge"
                    name = data.split("n=")[1].split(",")[0].replace("=2C", ",").replace("=3D", "=")
                    if name not in outer.users:
                        self.reply(401, b"no such user")
                        return None, None
                    server = outer.scram.make_server(lambda _: outer.users[name])
                    server.set_client_first(data)
                    session = uuid.uuid4().hex
                    outer.sessions[session] = (server, name)
                    challenge = base64.b64encode(server.get_server_first().encode()).decode()
                    self.reply(401, b"", {"WWW-Authenticate": f"{MECHANISM} sid={session},data={challenge}"})
                    return None, None
                server, name = outer.sessions.pop(values["sid"])
                try:
                    server.set_client_final(data)
                except Exception:
                    self.reply(401, b"wrong password")
                    return None, None
                final = outer.proof or server.get_server_final()
                proof = base64.b64encode(final.encode()).decode()
                return name, {"Authentication-Info": f"sid={values['sid']},data={proof}"}

            def reply(self, status, body, headers=None):
                self.send_response(status)
                for name, value in (headers or {}).items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        return Handler
