"""The replay: what a ledger's events say that its tables hold."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any

from sqlalchemy import JSON, Connection, Table, select

from recursive_expand.ledger import chain
from recursive_expand.ledger.audited import AUDITED, DIGESTED, rows_of
from recursive_expand.ledger.snapshot import ACCEPTED, FIRST_OF, UPGRADED
from recursive_expand.ledger.tables import events, rounds

_KEY = {
    table: itemgetter(*(names.index(column.name) for column in table.primary_key)) for table, names in AUDITED.items()
}
"""The primary key of an audited row: the value of one column, or a tuple of several."""
_NESTED = {
    table: [index for index, name in enumerate(names) if isinstance(table.c[name].type, JSON) and name not in DIGESTED]
    for table, names in AUDITED.items()
}


class Broken(Exception):
    """The chain does not fit at this event; says how."""

    def __init__(self, seq: int, how: str) -> None:
        super().__init__(how)
        self.seq = seq


@dataclass
class Replay:
    """What the events say.

    Attributes:
        rows: by table and primary key, the number of the newest event that recorded the row, and the row's
            fingerprint: rows themselves would take four times the memory.
        taken: rounds that a person has taken as they were, with the tables; what was lost before stays lost.
    """

    rows: dict[Table, dict[Any, tuple[int, bytes]]] = field(default_factory=lambda: {table: {} for table in AUDITED})
    taken: set[int] = field(default_factory=set)


def replay(connection: Connection) -> Replay:
    """Read the events once: the chain is checked link by link, the rows are remembered.

    Events before the last snapshot do not count for the rows. Before one that a person has asked for they need not
    fit either: that is what was accepted.

    Raises:
        Broken: an event was changed or is missing.
    """
    first, kind = _last_snapshot(connection)
    start = first if kind == ACCEPTED else 1
    found, previous, expected = Replay(), None if start > 1 else chain.GENESIS, start
    query = select(events).where(events.c.seq >= start).order_by(events.c.seq)
    for seq, ts, kind, body, before, sha256 in connection.execute(query).yield_per(1000):
        if seq != expected:
            raise Broken(expected, "is missing")
        right = chain.event_sha256(previous=before, ts=ts, kind=kind, body=body)
        if sha256 != right or before != (previous or before):
            raise Broken(seq, f"({kind}) was changed")
        previous, expected = right, expected + 1
        if seq >= first and '"rows":' in body:
            _take(found, seq, kind, json.loads(body))
    return found


def recorded_row(connection: Connection, seq: int, table: Table, key: Any) -> list[Any]:
    """The row that an event recorded under this key."""
    body = connection.execute(select(events.c.body).where(events.c.seq == seq)).scalar_one()
    return next(row for row in json.loads(body)["rows"][table.name] if _KEY[table](row) == key)


def present_rows(connection: Connection, table: Table) -> Any:
    """(primary key, fingerprint, row) of every audited row of a table."""
    for row in rows_of(connection, table):
        yield _KEY[table](row), _fingerprint(table, row), row


def lost_heads(connection: Connection, excused: set[int]) -> list[int]:
    """Rounds whose start is not in the chain any more, newest first: each keeps the chain's head of its start."""
    heads = select(rounds.c.round, rounds.c.head).where(rounds.c.head != chain.GENESIS).order_by(rounds.c.round.desc())
    wanted = {head: number for number, head in connection.execute(heads) if number not in excused}
    there = select(events.c.sha256).where(events.c.sha256.in_(wanted))
    return [wanted[head] for head in wanted.keys() - set(connection.execute(there).scalars())]


def _last_snapshot(connection: Connection) -> tuple[int, str | None]:
    """Number and kind of the first event of the last snapshot; (1, None) where there is none."""
    query = select(events.c.seq, events.c.kind).where(
        events.c.kind.in_((UPGRADED, ACCEPTED)), events.c.body.contains(FIRST_OF)
    )
    row = connection.execute(query.order_by(events.c.seq.desc()).limit(1)).first()
    return (row.seq, row.kind) if row else (1, None)


def _take(found: Replay, seq: int, kind: str, body: dict[str, Any]) -> None:
    for table in AUDITED:
        known, key_of = found.rows[table], _KEY[table]
        for key in body.get("removed", {}).get(table.name, ()):
            known.pop(tuple(key) if len(key) > 1 else key[0], None)
        for row in body["rows"].get(table.name, ()):
            known[key_of(row)] = (seq, _fingerprint(table, row))
    if kind == ACCEPTED:
        found.taken.update(row[0] for row in body["rows"].get(rounds.name, ()))


def _fingerprint(table: Table, row: list[Any]) -> bytes:
    values = row
    for index in _NESTED[table]:
        if row[index]:
            values = list(values)
            values[index] = chain.canonical(row[index])
    return hashlib.blake2b(repr(values).encode(), digest_size=16).digest()
