"""The audit: the ledger's tables are held against what its events recorded."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Table, select

from recursive_expand.ledger import chain
from recursive_expand.ledger.audited import AUDITED, key_of, rows_of
from recursive_expand.ledger.records import Actor
from recursive_expand.ledger.snapshot import ACCEPTED, UPGRADED, snapshot
from recursive_expand.ledger.states import state_of_proposal
from recursive_expand.ledger.store import Store, utc_now
from recursive_expand.ledger.tables import events, proposals, rounds

_Recorded = dict[Table, dict[tuple[Any, ...], tuple[int, list[Any]]]]
"""Newest recorded row and its event's number, by table and primary key."""


@dataclass(frozen=True)
class Difference:
    """The first thing in the ledger that is not as it was recorded.

    Attributes:
        what: which row or event.
        found: what is there.
        recorded: what the events say.
    """

    what: str
    found: str
    recorded: str

    def __str__(self) -> str:
        """The line for status and log, with the way on."""
        return (
            f"the ledger is not as it was recorded: {self.what} {self.found}, but {self.recorded}; restore "
            "ledger.sqlite from a backup, or take it as it is: recursive-expand ledger accept WORKSPACE --reason WHY"
        )


class Audit:
    """Verification of the ledger, and the way on where it fails.

    Args:
        store: the database.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def verify(self) -> Difference | None:
        """Check the chain of events, and replay the events against the tables.

        Returns:
            The first difference, or None. Covered is all that training, proposals and label objects follow from
            (`audited.AUDITED`). Notes, leases, image info and the queue's order are not.
        """
        with self._store.read() as connection:
            first = _last_snapshot(connection)
            return (
                _broken(connection, first)
                or _cut_off(connection, first)
                or _not_as_recorded(connection, _replayed(connection, first))
                or _not_derived(connection)
            )

    def head(self) -> tuple[int, str]:
        """(number, SHA-256) of the newest event."""
        with self._store.read() as connection:
            return chain.head(connection)

    def accept(self, actor: Actor, reason: str) -> int:
        """Take the tables as they are now: they are recorded whole, with who says so and why.

        Earlier events stay as they are and no longer count.

        Returns:
            Number of rows recorded.
        """
        before = self.verify()
        with self._store.write() as connection:
            body = {"reviewer": actor.reviewer, "reason": reason, "difference": str(before) if before else None}
            return snapshot(connection, utc_now(), ACCEPTED, body)


def _last_snapshot(connection: Connection) -> int:
    """Number of the event from which on events count: the last snapshot's first one, else 1."""
    found = select(events.c.seq, events.c.body).where(events.c.kind.in_((UPGRADED, ACCEPTED))).order_by(events.c.seq)
    starts = [row.seq for row in connection.execute(found) if json.loads(row.body).get("snapshot") == "first"]
    return starts[-1] if starts else 1


def _broken(connection: Connection, first: int) -> Difference | None:
    accepted = connection.execute(select(events.c.kind).where(events.c.seq == first)).scalar() == ACCEPTED
    start = first if accepted else 1
    previous = chain.GENESIS if start == 1 else None
    expected = start
    for row in connection.execute(select(events).where(events.c.seq >= start).order_by(events.c.seq)).yield_per(1000):
        sha256 = chain.event_sha256(previous=row.previous, ts=row.ts, kind=row.kind, body=row.body)
        if row.seq != expected or row.sha256 != sha256 or (previous is not None and row.previous != previous):
            found = "is missing" if row.seq != expected else f"({row.kind}) was changed"
            return Difference(f"event {expected}", found, "the hash chain has it")
        previous, expected = sha256, expected + 1
    return None


def _cut_off(connection: Connection, first: int) -> Difference | None:
    """A round keeps the chain's head of its start: without that event the chain has lost its end."""
    missing = select(rounds.c.round, rounds.c.head).where(
        rounds.c.head != chain.GENESIS, rounds.c.head.not_in(select(events.c.sha256))
    )
    row = connection.execute(missing.order_by(rounds.c.round.desc()).limit(1)).first()
    accepted = connection.execute(select(events.c.kind).where(events.c.seq == first)).scalar() == ACCEPTED
    if row is None or accepted:
        return None
    return Difference("the chain of events", f"ends at {chain.head(connection)[0]}", f"round {row.round} began later")


def _replayed(connection: Connection, first: int) -> _Recorded:
    by_name = {table.name: table for table in AUDITED}
    recorded: _Recorded = {table: {} for table in AUDITED}
    query = select(events.c.seq, events.c.body).where(events.c.seq >= first).order_by(events.c.seq)
    for seq, body in connection.execute(query).yield_per(1000):
        if '"rows"' not in body:
            continue
        for name, rows in json.loads(body).get("rows", {}).items():
            table = by_name[name]
            recorded[table].update((key_of(table, row), (seq, row)) for row in rows)
    return recorded


def _not_as_recorded(connection: Connection, recorded: _Recorded) -> Difference | None:
    for table, names in AUDITED.items():
        expected = recorded[table]
        met = 0
        for row in rows_of(connection, table):
            key = key_of(table, row)
            what = f"{table.name} {', '.join(map(str, key))}"
            if key not in expected:
                return Difference(what, "is there", "no event recorded it")
            met += 1
            seq, wanted = expected[key]
            if row != wanted:
                name = next(name for name, a, b in zip(names, row, wanted, strict=True) if a != b)
                values = dict(zip(names, zip(row, wanted, strict=True), strict=True))[name]
                found, said = (_short(value) for value in values)
                return Difference(what, f"has {name} {found}", f"event {seq} recorded {said}")
        if met != len(expected):
            key, (seq, _) = _first_missing(connection, table, expected)
            return Difference(f"{table.name} {', '.join(map(str, key))}", "is missing", f"event {seq} recorded it")
    return None


def _first_missing(
    connection: Connection, table: Table, expected: dict[tuple[Any, ...], tuple[int, list[Any]]]
) -> tuple[tuple[Any, ...], tuple[int, list[Any]]]:
    there = {key_of(table, row) for row in rows_of(connection, table)}
    return next((key, found) for key, found in expected.items() if key not in there)


def _not_derived(connection: Connection) -> Difference | None:
    """`proposals.state` follows from the facts: it is written by one statement, and must be what that would write."""
    wanted = state_of_proposal()
    query = select(proposals.c.proposal_id, proposals.c.state, wanted.label("wanted")).where(
        proposals.c.state != wanted
    )
    row = connection.execute(query.limit(1)).first()
    if row is None:
        return None
    return Difference(f"proposals {row.proposal_id}", f"has state {row.state}", f"its verdicts make it {row.wanted}")


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
