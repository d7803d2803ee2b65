"""The gate before every handler: who asks, how much is sent, what it holds, and what a failure answers."""

from __future__ import annotations

from http import HTTPStatus

from fastapi import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from recursive_expand.errors import InputError
from recursive_expand.server.access import Access
from recursive_expand.server.faults import answer, failed, route_of
from recursive_expand.server.inputs import check_target, parse_json

MAX_BODY_BYTES = 4 * 2**20
"""Longest body that is no upload: JSON is read whole."""
MAX_UPLOAD_BYTES = 2 * 2**30
"""Longest body with files: a head CT of 2,000 slices of 512 x 512 has 1 GiB."""


class Guard:
    """ASGI middleware over all routes.

    Args:
        app: what is guarded.
        access: who may ask.
    """

    def __init__(self, app: ASGIApp, *, access: Access) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer it."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] == "websocket":
            # No route of ours is one.
            await send({"type": "websocket.close", "code": 1008})
            return
        refusal = self._access.refusal(scope["method"], scope["headers"])
        if refusal is not None:
            await answer(403, refusal)(scope, receive, send)
            return
        try:
            check_target(scope["path"], scope["query_string"])
            body = await _read(scope, receive)
        except InputError as error:
            await answer(422, str(error))(scope, receive, send)
        except HTTPException as error:
            await answer(error.status_code, error.detail)(scope, receive, send)
        except ClientDisconnect:
            return
        else:
            await self._pass(scope, body, send)

    async def _pass(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun = False

        async def watched(message: Message) -> None:
            nonlocal begun
            begun = begun or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, _refusals_in_json(scope, receive, watched))
        except ClientDisconnect:
            return
        except Exception as error:
            fault = failed(route_of(scope), error)
            if begun:
                # Half an answer cannot be turned into an error; the connection is cut instead.
                raise
            await fault(scope, receive, send)


async def _read(scope: Scope, receive: Receive) -> Receive:
    """The request's body as a handler shall see it: JSON is read and checked, an upload is counted as it passes.

    Raises:
        InputError: JSON that `parse_json` refuses.
        HTTPException: 413, a body over its limit.
    """
    headers = dict(scope["headers"])
    kind = headers.get(b"content-type", b"").decode("latin-1").split(";")[0].strip().lower()
    limit = MAX_UPLOAD_BYTES if kind == "multipart/form-data" else MAX_BODY_BYTES
    length = headers.get(b"content-length", b"")
    if length.isdigit() and int(length[:20]) > limit:
        raise _too_long(limit)
    if kind in ("multipart/form-data", "application/x-www-form-urlencoded"):
        return _counted(receive, limit)
    body = bytearray()
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > limit:
            raise _too_long(limit)
    if body and (kind in ("", "application/json") or kind.endswith("+json")):
        parse_json(bytes(body), "body")
    return _again(bytes(body), receive)


def _refusals_in_json(scope: Scope, receive: Receive, send: Send) -> Send:
    """Starlette refuses some requests in plain text (a Range that a file does not have); clients get one form."""
    refused: Message | None = None
    text = bytearray()

    async def in_json(message: Message) -> None:
        nonlocal refused
        if message["type"] == "http.response.start":
            kind = dict(message.get("headers", ())).get(b"content-type", b"")
            if message["status"] < 400 or kind.startswith(b"application/json"):
                await send(message)
            else:
                refused = message
        elif refused is None:
            await send(message)
        else:
            text.extend(message.get("body", b""))
            if not message.get("more_body", False):
                kept = {
                    name.decode("latin-1"): value.decode("latin-1")
                    for name, value in refused["headers"]
                    if name.lower() not in (b"content-type", b"content-length")
                }
                detail = text.decode("utf-8", "replace") or HTTPStatus(refused["status"]).phrase
                await answer(refused["status"], detail, headers=kept)(scope, receive, send)

    return in_json


def _counted(receive: Receive, limit: int) -> Receive:
    seen = 0

    async def counted() -> Message:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > limit:
            raise _too_long(limit)
        return message

    return counted


def _again(body: bytes, receive: Receive) -> Receive:
    pending: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Message:
        return pending.pop() if pending else await receive()

    return again


def _too_long(limit: int) -> HTTPException:
    return HTTPException(413, f"the request is over {limit // 2**20} MiB")
