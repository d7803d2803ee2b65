"""A PACS that answers what it is told to, for what a real one cannot be made to say."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit


class FakePacs:
    """Answers what it is told to; keeps what it was asked."""

    def __init__(self, tls=None):
        self.answer = lambda path, query: (200, "application/dicom+json", b"[]")
        self.asked = []
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                parts = urlsplit(self.path)
                length = int(self.headers.get("Content-Length") or 0)
                fake.body = self.rfile.read(length)
                fake.asked.append((self.command, parts.path, dict(self.headers)))
                answer = fake.answer(parts.path, {key: value[0] for key, value in parse_qs(parts.query).items()})
                status, kind, body, *told = answer
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(told[0] if told else len(body)))
                self.end_headers()
                self.wfile.write(body)
                if told:
                    self.close_connection = True

            def do_POST(self):
                self.do_GET()

            def do_DELETE(self):
                self.do_GET()

            def log_message(self, *arguments):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.handle_error = lambda *_: None  # clients that go away
        if tls is not None:
            self.server.socket = tls.wrap_socket(self.server.socket, server_side=True)
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.server.server_port}/dicom-web"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()
