"""The hash chain over the ledger's events: what was recorded cannot be changed unnoticed."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from sqlalchemy import Connection, func, insert, select

from recursive_expand.ledger.tables import events

GENESIS = "0" * 64


def canonical(body: Any) -> str:
    """JSON text that is the same for equal bodies: sorted keys, no spaces, no NaN."""
    return json.dumps(body, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False)


def event_sha256(*, previous: str, ts: str, kind: str, body: str) -> str:
    """SHA-256 over an event and the hash of the one before it."""
    return hashlib.sha256("\n".join((previous, ts, kind, body)).encode()).hexdigest()


def append(connection: Connection, ts: str, entries: list[tuple[str, dict[str, Any]]]) -> None:
    """Append events; the caller holds the write transaction, so no other writer comes between.

    Args:
        connection: inside a write transaction.
        ts: ISO 8601 time of all these events.
        entries: (kind, body) pairs.
    """
    if not entries:
        return
    last = connection.execute(
        select(events.c.seq, events.c.sha256).where(events.c.seq == select(func.max(events.c.seq)).scalar_subquery())
    ).first()
    seq, previous = (last.seq, last.sha256) if last else (0, GENESIS)
    rows = []
    for kind, body in entries:
        seq += 1
        text = canonical(body)
        sha256 = event_sha256(previous=previous, ts=ts, kind=kind, body=text)
        rows.append({"seq": seq, "ts": ts, "kind": kind, "body": text, "previous": previous, "sha256": sha256})
        previous = sha256
    connection.execute(insert(events), rows)


def first_broken(connection: Connection) -> int | None:
    """Number of the first event that does not fit the chain, or None when all do."""
    previous, expected_seq = GENESIS, 1
    for row in connection.execute(select(events).order_by(events.c.seq)).yield_per(1000):
        sha256 = event_sha256(previous=row.previous, ts=row.ts, kind=row.kind, body=row.body)
        if row.seq != expected_seq or row.previous != previous or row.sha256 != sha256:
            return expected_seq
        previous, expected_seq = sha256, expected_seq + 1
    return None
