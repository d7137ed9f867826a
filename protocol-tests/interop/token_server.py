"""A token endpoint as an OpenID Connect provider has one, of this machine only; its tokens are unsecured, as the
listener takes them."""

import base64
import json
import ssl
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs


def unsecured_token(subject, lifetime):
    """A JSON web token that is not signed (RFC 7519, section 6)."""
    def part(value):
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()
    now = time.time()
    return f"{part({'alg': 'none'})}.{part({'sub': subject, 'iat': now, 'exp': now + lifetime})}."


class TokenServer:
    """Gives tokens to one client. `certificate` is a PEM file with a key, for TLS."""

    def __init__(self, client="hop", secret="s3cret:%41", lifetime=3600, certificate=None):
        self.client, self.secret, self.lifetime = client, secret, lifetime
        self.given = 0
        self.answer = None
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self.handler())
        self.scheme = "http"
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
            self.scheme = "https"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"{self.scheme}://localhost:{self.server.server_port}/oauth2/token"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    def handler(self):
        outer = self

        class Handler(BaseHTTPRequestHandler):
            """Client credentials (RFC 6749, section 4.4)."""

            def do_POST(self):
                body = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
                pair = base64.b64encode(f"{outer.client}:{outer.secret}".encode()).decode()
                asked_well = (self.path == "/oauth2/token" and body.get("grant_type") == ["client_credentials"]
                              and self.headers["Content-Type"] == "application/x-www-form-urlencoded")
                if outer.answer is not None:
                    self.reply(*outer.answer)
                elif not asked_well:
                    self.reply(400, {"error": "invalid_request"})
                elif self.headers["Authorization"] != f"Basic {pair}":
                    self.reply(401, {"error": "invalid_client"})
                else:
                    outer.given += 1
                    self.reply(200, {"access_token": unsecured_token(outer.client, outer.lifetime),
                                     "token_type": "Bearer", "expires_in": outer.lifetime})

            def reply(self, status, value):
                body = value if isinstance(value, bytes) else json.dumps(value).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        return Handler
