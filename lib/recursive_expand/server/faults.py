"""What a client is told when something is wrong: one JSON line; a fault of ours has an id that the log carries."""

from __future__ import annotations

import json
import logging
import secrets
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from recursive_expand.errors import RecursiveExpandError
from recursive_expand.server.refusals import as_http

logger = logging.getLogger(__name__)

SHOWN = 100
"""Longest offending text that is sent back, in characters."""


def install_faults(app: FastAPI) -> None:
    """Answer errors in our form; the app's middleware must be built after this."""
    app.exception_handlers[HTTPException] = _refused
    app.exception_handlers[RequestValidationError] = _invalid
    app.exception_handlers[RecursiveExpandError] = _expected


def answer(status: int, detail: Any, *, headers: Mapping[str, str] | None = None, **more: Any) -> Response:
    """A refusal: `{"detail": ...}` on one line, whatever the detail holds."""
    detail = " ".join(detail.splitlines()) if isinstance(detail, str) else detail
    content = json.dumps({"detail": detail, **more}, default=repr)
    return Response(content, status, headers=dict(headers or {}), media_type="application/json")


def failed(what: str, error: BaseException) -> Response:
    """500 for a fault of ours: what happened is in the log, under the id.

    Args:
        what: the request, without anything that its sender chose.
        error: the exception.
    """
    fault = secrets.token_hex(6)
    logger.error("Fault %s: %s failed", fault, what, exc_info=error)
    return answer(500, "the server failed at this; its log says why, under this id", id=fault)


def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code < 500:
        return answer(error.status_code, error.detail, headers=error.headers)
    fault = secrets.token_hex(6)
    logger.error("Fault %s: %s answered %d", fault, route_of(request.scope), error.status_code, exc_info=error)
    return answer(error.status_code, error.detail, headers=error.headers, id=fault)


def _invalid(request: Request, error: Exception) -> Response:
    """422 in FastAPI's form, without the parts of its input that JSON cannot carry."""
    assert isinstance(error, RequestValidationError)
    return answer(422, [_fault_of_field(found) for found in error.errors()])


def _expected(request: Request, error: Exception) -> Response:
    try:
        with as_http():
            raise error
    except HTTPException as refusal:
        return answer(refusal.status_code, refusal.detail)


def _fault_of_field(found: Mapping[str, Any]) -> dict[str, Any]:
    fault = {"type": found.get("type"), "loc": list(found.get("loc", ())), "msg": found.get("msg")}
    value = found.get("input")
    if isinstance(value, str | int | bool) or value is None:
        fault["input"] = value[:SHOWN] if isinstance(value, str) else value
    return fault


def route_of(scope: Mapping[str, Any]) -> str:
    """A request's method and route, with no value that its sender chose."""
    return f"{scope.get('method', '?')} {getattr(scope.get('route'), 'path', '(no route)')}"
