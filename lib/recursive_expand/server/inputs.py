"""Text and JSON from outside: what no handler should have to expect is refused before it is asked."""

from __future__ import annotations

import json
import math
import re
from typing import Any
from urllib.parse import parse_qsl

from recursive_expand.errors import InputError

MAX_NAME_BYTES = 255
"""Longest value in a path or a query, in bytes: the longest file name that file systems take."""
MAX_FIELDS = 100
"""Most values in a query."""
MAX_DEPTH = 32
"""Deepest nesting of a JSON value."""
MAX_NOTE_BYTES = 65536
"""Longest JSON text that a client may attach to an image or a label, in bytes."""
MAX_INTEGER, MIN_INTEGER = 2**63 - 1, -(2**63)
"""What the ledger's columns hold."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")


def check_target(path: str, query: bytes) -> None:
    """Refuse a path or a query that no id, tag or number of ours looks like.

    Args:
        path: decoded.
        query: as it was sent.

    Raises:
        InputError: control characters, lone surrogates, values over `MAX_NAME_BYTES`, or over `MAX_FIELDS` values.
    """
    for part in path.split("/"):
        _check_name("path", part)
    try:
        pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True, max_num_fields=MAX_FIELDS)
    except ValueError as error:
        raise InputError("query", f"has over {MAX_FIELDS} values") from error
    for name, value in pairs:
        _check_name("query", name)
        _check_name(f"query {name[:40]!a}", value)


def check_integer(name: str, text: str) -> None:
    """Refuse a number that the ledger cannot hold.

    Raises:
        InputError: an integer beyond 64 bits. (What is no integer at all is left to its handler.)
    """
    bare = text.strip().replace("_", "")
    digits = bare[1:] if bare[:1] in ("+", "-") else bare
    # Leading zeros are not worth an exception.
    if digits.isdecimal() and (len(digits) > 19 or not MIN_INTEGER <= int(bare) <= MAX_INTEGER):
        raise InputError(f"query {name[:40]!a}", "is beyond 64 bits")


def parse_json(text: str | bytes, source: str) -> Any:
    """Read JSON that can be stored, sent and read again.

    Args:
        text: a body or a form's field.
        source: its name, for the error.

    Raises:
        InputError: no JSON; numbers that are not finite or beyond 64 bits, NUL, lone surrogates, or nesting deeper than
            `MAX_DEPTH`.
    """

    def integer(digits: str) -> int:
        if len(digits) > 20 or not MIN_INTEGER <= int(digits) <= MAX_INTEGER:
            raise InputError(source, f"holds {digits[:24]}, a number beyond 64 bits")
        return int(digits)

    def real(digits: str) -> float:
        if not math.isfinite(float(digits)):
            raise InputError(source, f"holds {digits[:24]}, a number that is not finite")
        return float(digits)

    def constant(name: str) -> float:
        raise InputError(source, f"holds {name}, which is no JSON")

    try:
        decoded = text.decode("utf-8") if isinstance(text, bytes) else text
        value = json.loads(decoded, parse_int=integer, parse_float=real, parse_constant=constant)
    except UnicodeDecodeError as error:
        raise InputError(source, "is not UTF-8") from error
    except json.JSONDecodeError as error:
        raise InputError(source, f"is no JSON ({error.msg} at character {error.pos})") from error
    except RecursionError as error:
        raise InputError(source, f"is nested deeper than {MAX_DEPTH} levels") from error
    _check_json(value, source)
    return value


def parse_object(text: str, source: str, *, limit: int = MAX_NOTE_BYTES) -> dict[str, Any]:
    """As `parse_json`, of a JSON object that a form's field holds; {} for an empty field.

    Raises:
        InputError: also for another JSON value, or one over `limit` characters.
    """
    if len(text) > limit:
        raise InputError(source, f"has {len(text)} characters; at most {limit} are taken")
    value = parse_json(text, source) if text else {}
    if not isinstance(value, dict):
        raise InputError(source, f"is a {type(value).__name__}; send a JSON object")
    return value


def _check_name(source: str, text: str) -> None:
    if _CONTROL.search(text):
        raise InputError(source, f"holds a control character: {text[:40]!a}")
    if _SURROGATE.search(text):
        raise InputError(source, f"holds a lone surrogate: {text[:40]!a}")
    if len(text.encode()) > MAX_NAME_BYTES:
        raise InputError(source, f"has over {MAX_NAME_BYTES} bytes: {text[:40]!a}...")


def _check_json(value: Any, source: str) -> None:
    """Look at every value without recursion: the nesting is the sender's."""
    level, depth = [value], 0
    while level:
        if depth > MAX_DEPTH:
            raise InputError(source, f"is nested deeper than {MAX_DEPTH} levels")
        below: list[Any] = []
        for each in level:
            if isinstance(each, dict):
                below += [*each.keys(), *each.values()]
            elif isinstance(each, list):
                below += each
            elif isinstance(each, str) and ("\x00" in each or _SURROGATE.search(each)):
                raise InputError(source, f"holds NUL or a lone surrogate: {each[:40]!a}")
        level, depth = below, depth + 1
