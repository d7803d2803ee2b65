"""The server's requests, over HTTP with the standard library alone."""

from __future__ import annotations

import json
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from email import message_from_bytes
from http.client import HTTPException, HTTPMessage
from typing import Any

CLIENT = "slicer"
"""What the module calls itself in a verdict."""
SECONDS = 30.0
"""Longest wait for an answer."""
IMAGE_TYPES = (".nii.gz", ".nii", ".nrrd")
"""Names of image files end so."""


class ServerError(Exception):
    """The server refused, or does not answer; the text is for the reader.

    Args:
        text: what went wrong and what to do.
        status: the HTTP status; None where there was no answer.
    """

    def __init__(self, text: str, status: int | None = None) -> None:
        super().__init__(text)
        self.status = status


@dataclass(frozen=True)
class State:
    """Where the review stands.

    Attributes:
        classes: names; class k, counted from 1, has the mask value k.
        level, width: the display window that the server suggests, in HU.
        round: None before the first.
        state: `reviewing`, `training`, ...; `message` says it in words.
        remaining: proposals that wait for a verdict, whoever reads them.
        lease_seconds: how long a case is kept for its reader.
        seed: what the queue's order rests on.
    """

    classes: tuple[str, ...]
    level: float
    width: float
    round: int | None
    state: str
    message: str
    remaining: int
    lease_seconds: float
    seed: int


@dataclass(frozen=True)
class Item:
    """A proposal that waits for a verdict.

    Attributes:
        case_id: the image's id.
        proposal: SHA-256 of the mask.
        round: that made it.
        slices: numbers of the slices with a mask, as the server counts them.
        classes: what it marks.
        image_labels: classes said to be present by slice number, `case` for the whole; an empty list means clean.
    """

    case_id: str
    proposal: str
    round: int
    slices: tuple[int, ...]
    classes: tuple[str, ...]
    image_labels: dict[str, list[str]]


class Client:
    """One reader's requests to one server.

    Args:
        url: the server's address, `http://...` or `https://...`.
        reviewer: the reader's name.

    Raises:
        ServerError: the address is none.
    """

    def __init__(self, url: str, reviewer: str) -> None:
        self.url = url.strip().rstrip("/")
        self.reviewer = reviewer.strip()
        if urllib.parse.urlsplit(self.url).scheme not in ("http", "https"):
            raise ServerError(f"{url!r} is no server's address; it begins with http:// or https://")
        self._token = ""
        self._opener = urllib.request.build_opener(_NoRedirect)
        self._model = ""

    def needs_sign_in(self) -> bool:
        """Whether the server has accounts."""
        return bool(self._json("GET", "/auth/").get("enabled"))

    def sign_in(self, user: str, password: str) -> None:
        """Exchange a name and a password for the token that goes with each later request.

        Raises:
            ServerError: they are not accepted.
        """
        form = urllib.parse.urlencode({"username": user, "password": password, "grant_type": "password"}).encode()
        found = self._json("POST", "/auth/token", body=form, kind="application/x-www-form-urlencoded")
        token = found.get("access_token")
        if not token:
            raise ServerError("the server gave no token for this name and password", 401)
        # The scheme is called so whatever the server's spelling (RFC 6750, 2.1).
        self._token, self.reviewer = f"Bearer {token}", user.strip()

    def state(self) -> State:
        """Where the review stands."""
        found = self._json("GET", "/recursive/desk/state")
        window = found["window"]
        names = ("round", "state", "message", "remaining", "lease_seconds", "seed")
        return State(tuple(found["classes"]), window["level"], window["width"], *(found[name] for name in names))

    def items(self, limit: int) -> list[Item]:
        """What waits for this reader, in the order in which it is served; nothing is leased by asking."""
        found = self._json("GET", "/recursive/desk/items", reviewer=self.reviewer, limit=limit)
        return [
            Item(
                one["case_id"],
                one["proposal"],
                one["round"],
                tuple(one["slices"]),
                tuple(one["classes"]),
                one["image_labels"],
            )
            for one in found
        ]

    def hold(self, case_id: str) -> str:
        """Lease a case that the reader sees, or lengthen its lease: `held`, `taken` (by another reader) or `gone`."""
        found = self._json("POST", "/recursive/desk/leases", body=self._named({"case_ids": [case_id]}))
        return str(found["cases"][case_id])

    def release(self, case_id: str) -> None:
        """Give a case back."""
        self._json("POST", "/recursive/desk/leases/release", body=self._named({"case_ids": [case_id]}))

    def image(self, case_id: str) -> tuple[str, bytes]:
        """(extension, content) of a case's image file."""
        headers, content = self._send("GET", "/datastore/image", query={"image": case_id})
        name = (headers.get_filename() or "").lower()
        return next((each for each in IMAGE_TYPES if name.endswith(each)), IMAGE_TYPES[0]), content

    def mask(self, case_id: str) -> tuple[str, bytes]:
        """(SHA-256 of the proposal, the mask as an uncompressed NRRD file on the image's grid)."""
        if not self._model:
            self._model = next(iter(self._json("GET", "/info/")["models"]))
        form = urllib.parse.urlencode({"params": json.dumps({"result_extension": ".nrrd", "result_dtype": "uint8"})})
        headers, content = self._send(
            "POST",
            f"/infer/{urllib.parse.quote(self._model, safe='')}",
            query={"image": case_id},
            body=form.encode(),
            kind="application/x-www-form-urlencoded",
        )
        parts = _parts(headers, content)
        if "params" not in parts or "image" not in parts:
            raise ServerError(f"the server's answer holds no mask of case {case_id}")
        return str(json.loads(parts["params"])["proposal"]), parts["image"]

    def give(self, verdict: dict[str, Any]) -> dict[str, Any]:
        """Send a verdict; the same `id` again is the same verdict."""
        return self._json("POST", "/recursive/desk/verdicts", body=self._named(verdict))

    def take_back(self, verdict_id: str) -> None:
        """Take one's own verdict back by the id that this module made; again is harmless."""
        path = f"/recursive/desk/verdicts/{urllib.parse.quote(verdict_id, safe='')}"
        self._json("DELETE", path, reviewer=self.reviewer)

    def _named(self, body: dict[str, Any]) -> bytes:
        return json.dumps({**body, "reviewer": self.reviewer, "client": CLIENT}).encode()

    def _json(
        self, method: str, path: str, *, body: bytes | None = None, kind: str = "application/json", **query: object
    ) -> Any:
        _, content = self._send(method, path, query=query, body=body, kind=kind)
        try:
            return json.loads(content)
        except ValueError as error:
            raise ServerError(f"{self.url} is no server of proposals: its answer to {path} is no JSON") from error

    def _send(
        self,
        method: str,
        path: str,
        *,
        query: dict[str, Any],
        body: bytes | None = None,
        kind: str = "application/json",
    ) -> tuple[HTTPMessage, bytes]:
        address = self.url + path + (f"?{urllib.parse.urlencode(query)}" if query else "")
        headers = {"Accept": "*/*"}
        if body is not None:
            headers["Content-Type"] = kind
        if self._token:
            headers["Authorization"] = self._token
        request = urllib.request.Request(address, data=body, headers=headers, method=method)
        try:
            with self._opener.open(request, timeout=SECONDS) as answer:
                return answer.headers, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                raise ServerError(_said(error.read(), error.code), error.code) from error
        except (OSError, HTTPException) as error:
            reason = getattr(error, "reason", error)
            raise ServerError(f"the server at {self.url} does not answer ({reason}); is it running?") from error


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect would take the token to another address."""

    def redirect_request(self, *_: object) -> None:
        return None


def _said(content: bytes, status: int) -> str:
    """The sentence of a refusal."""
    try:
        detail = json.loads(content)["detail"]
    except (ValueError, KeyError, TypeError):
        return f"the server answered {status}"
    if isinstance(detail, list):
        return "; ".join(str(one.get("msg", one)) if isinstance(one, dict) else str(one) for one in detail)
    return str(detail)


def _parts(headers: HTTPMessage, content: bytes) -> dict[str, bytes]:
    """The parts of a multipart answer by their names (RFC 7578)."""
    boundary = headers.get_boundary()
    found: dict[str, bytes] = {}
    for part in content.split(b"--" + boundary.encode("latin-1"))[1:-1] if boundary else ():
        head, _, body = part.partition(b"\r\n\r\n")
        name = message_from_bytes(head.lstrip()).get_param("name", header="Content-Disposition")
        found[str(name)] = body[: -len(b"\r\n")]
    return found
