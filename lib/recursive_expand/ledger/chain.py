"""The hash chain over the ledger's events: what was recorded cannot be changed unnoticed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, func, insert, select

from recursive_expand.ledger.tables import events

GENESIS = "0" * 64


OPERATING_POINT = "operating_point_chosen"
"""Kind of the event that holds where a round chose to propose."""
POINT = ("thresholds", "min_area")
"""What it holds of that: thresholds by class, mm^2."""


def canonical(body: Any) -> str:
    """JSON text that is the same for equal bodies: sorted keys, no spaces, no NaN."""
    return json.dumps(body, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False)


def event_sha256(*, previous: str, ts: str, kind: str, body: str) -> str:
    """SHA-256 over an event and the hash of the one before it."""
    return hashlib.sha256("\n".join((previous, ts, kind, body)).encode()).hexdigest()


def head(connection: Connection) -> tuple[int, str]:
    """(number, SHA-256) of the newest event; (0, `GENESIS`) before the first."""
    newest = select(func.max(events.c.seq)).scalar_subquery()
    last = connection.execute(select(events.c.seq, events.c.sha256).where(events.c.seq == newest)).first()
    return (last.seq, last.sha256) if last else (0, GENESIS)


def append(connection: Connection, ts: str, entries: Sequence[tuple[str, dict[str, Any]]]) -> None:
    """Append events; the caller holds the write transaction, so no other writer comes between.

    Args:
        connection: inside a write transaction.
        ts: ISO 8601 time of all these events.
        entries: (kind, body) pairs.
    """
    if not entries:
        return
    seq, previous = head(connection)
    rows = []
    for kind, body in entries:
        seq += 1
        text = canonical(body)
        sha256 = event_sha256(previous=previous, ts=ts, kind=kind, body=text)
        rows.append({"seq": seq, "ts": ts, "kind": kind, "body": text, "previous": previous, "sha256": sha256})
        previous = sha256
    connection.execute(insert(events), rows)
