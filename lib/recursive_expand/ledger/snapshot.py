"""Snapshots: events that record all audited rows as they are."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection

from recursive_expand.ledger import chain
from recursive_expand.ledger.audited import AUDITED, rows_of

SNAPSHOT_ROWS = 500
"""Rows in one event."""
UPGRADED, ACCEPTED = "ledger_upgraded", "audit_accepted"
"""Kinds of snapshots: after a migration, and where a person has taken the tables as they are."""
FIRST_OF = '"snapshot":"first"'
"""What the first event of a snapshot has in its body."""


def snapshot(connection: Connection, ts: str, kind: str, body: dict[str, Any]) -> int:
    """Append all audited rows as events of this kind, the first one marked as such.

    Returns:
        Number of rows.
    """
    entries: list[tuple[str, dict[str, Any]]] = [(kind, {**body, "snapshot": "first"})]
    total = 0
    for table in AUDITED:
        rows = list(rows_of(connection, table))
        total += len(rows)
        for start in range(0, len(rows), SNAPSHOT_ROWS):
            entries.append((kind, {"snapshot": "more", "rows": {table.name: rows[start : start + SNAPSHOT_ROWS]}}))
    chain.append(connection, ts, entries)
    return total
