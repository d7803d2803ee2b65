"""The module's requests where the server has accounts, refuses, or is none."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest

from .conftest import library

client = library("client")

PASSWORD = "right"


class Accounts(BaseHTTPRequestHandler):
    """MONAI Label's questions about sign-in; its own answers need a realm."""

    def log_message(self, *_):
        pass

    def do_GET(self):
        if self.path == "/auth/":
            return self._answer(200, {"enabled": True})
        if self.path.startswith("/elsewhere"):
            self.send_response(302)
            self.send_header("Location", self.server.stolen)
            self.end_headers()
            return None
        self.server.seen.append((urlsplit(self.path).path, self.headers.get("Authorization")))
        if self.headers.get("Authorization") != "Bearer t0ken":
            return self._answer(401, {"detail": "sign in"})
        if self.path.startswith("/nonsense"):
            return self._answer(200, None)
        return self._answer(200, [])

    def do_POST(self):
        form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        if form["password"] != [PASSWORD]:
            return self._answer(401, {"detail": "the realm did not accept this name and password"})
        return self._answer(200, {"access_token": "t0ken", "token_type": "bearer"})

    def _answer(self, status, content):
        body = b"<html>" if content is None else json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def accounts():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Accounts)
    server.seen = []
    server.url = f"http://127.0.0.1:{server.server_port}"
    server.stolen = f"{server.url}/stolen"
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def test_a_token_goes_with_each_request_after_signing_in(accounts):
    ann = client.Client(accounts.url + "/", "")
    assert ann.needs_sign_in()
    with pytest.raises(client.ServerError, match="sign in") as refused:
        ann.items(1)
    assert refused.value.status == 401
    with pytest.raises(client.ServerError, match="did not accept"):
        ann.sign_in("ann", "wrong")
    ann.sign_in("ann", PASSWORD)
    assert ann.items(1) == [] and ann.reviewer == "ann"
    assert accounts.seen == [("/recursive/desk/items", None), ("/recursive/desk/items", "Bearer t0ken")]


def test_a_token_does_not_follow_a_redirect(accounts):
    ann = client.Client(accounts.url, "")
    ann.sign_in("ann", PASSWORD)
    with pytest.raises(client.ServerError) as refused:
        ann._json("GET", "/elsewhere")
    assert refused.value.status == 302 and accounts.seen == []


def test_what_is_no_server_of_proposals_is_named(accounts):
    ann = client.Client(accounts.url, "")
    ann.sign_in("ann", PASSWORD)
    with pytest.raises(client.ServerError, match="is no server of proposals"):
        ann._json("GET", "/nonsense")
    for address in ("file:///etc/passwd", "127.0.0.1:8000", ""):
        with pytest.raises(client.ServerError, match="no server's address"):
            client.Client(address, "ann")


def test_nobody_there_is_said(accounts):
    accounts.shutdown()
    accounts.server_close()
    with pytest.raises(client.ServerError, match="does not answer") as silent:
        client.Client(accounts.url, "ann").state()
    assert silent.value.status is None
