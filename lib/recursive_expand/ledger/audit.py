"""The audit: the ledger's tables are held against what its events recorded."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Table, select, true

from recursive_expand.ledger import chain
from recursive_expand.ledger.audited import AUDITED
from recursive_expand.ledger.chain import OPERATING_POINT, POINT
from recursive_expand.ledger.records import Actor
from recursive_expand.ledger.replay import Broken, Replay, lost_heads, present_rows, recorded_row, replay
from recursive_expand.ledger.snapshot import ACCEPTED, snapshot
from recursive_expand.ledger.states import refresh, state_of_proposal
from recursive_expand.ledger.store import Store, utc_now
from recursive_expand.ledger.tables import events, proposals, rounds


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
            found, broken = _broken(connection)
            return (
                broken
                or _cut_off(connection, found)
                or _not_as_recorded(connection, found)
                or _not_as_chosen(connection, found)
                or _not_derived(connection)
            )

    def head(self) -> tuple[int, str]:
        """(number, SHA-256) of the newest event."""
        with self._store.read() as connection:
            return chain.head(connection)

    def accept(self, actor: Actor, reason: str) -> int:
        """Take the tables as they are now: they are recorded whole, with who says so, why, and what was wrong.

        Earlier events stay as they are and no longer count. What follows from the rows is written anew.

        Returns:
            Number of rows recorded.
        """
        before = self.verify()
        with self._store.write() as connection:
            refresh(connection, true())
            body = {"reviewer": actor.reviewer, "reason": reason, "difference": str(before) if before else None}
            return snapshot(connection, utc_now(), ACCEPTED, body)


def _broken(connection: Connection) -> tuple[Replay, Difference | None]:
    try:
        return replay(connection), None
    except Broken as broken:
        return Replay(), Difference(f"event {broken.seq}", str(broken), "the hash chain has it")


def _cut_off(connection: Connection, found: Replay) -> Difference | None:
    lost = lost_heads(connection, found.taken)
    if not lost:
        return None
    newest, _ = chain.head(connection)
    return Difference(
        "the chain of events", f"ends at {newest}", f"round {max(lost)} began after an event that is gone"
    )


def _not_as_recorded(connection: Connection, found: Replay) -> Difference | None:
    for table, names in AUDITED.items():
        recorded = found.rows[table]
        for key, fingerprint, row in present_rows(connection, table):
            seq, wanted = recorded.pop(key, (0, b""))
            if wanted == fingerprint:
                continue
            if not seq:
                return Difference(_name(table, key), "is there", "no event recorded it")
            said = recorded_row(connection, seq, table, key)
            column = next(index for index, value in enumerate(row) if value != said[index])
            is_ = f"has {names[column]} {_short(row[column])}"
            return Difference(_name(table, key), is_, f"event {seq} recorded {_short(said[column])}")
        for key, (seq, _) in recorded.items():
            return Difference(_name(table, key), "is missing", f"event {seq} recorded it")
    return None


def _not_as_chosen(connection: Connection, found: Replay) -> Difference | None:
    """Where a round proposes is in its report, and in the event of the choice."""
    choices = select(events.c.seq, events.c.body).where(events.c.kind == OPERATING_POINT).order_by(events.c.seq)
    bodies = [(seq, json.loads(body)) for seq, body in connection.execute(choices)]
    chosen = {body["round"]: (seq, _point(body)) for seq, body in bodies}
    for number, report in connection.execute(select(rounds.c.round, rounds.c.report)):
        is_ = _point(report.get("operating_point") or {})
        seq, wanted = chosen.get(number, (0, None))
        if is_ != wanted and number not in found.taken:
            said = f"event {seq} recorded {_short(wanted)}" if seq else "no event recorded it"
            return Difference(f"rounds {number}", f"proposes at {_short(is_)}", said)
    return None


def _point(said: dict[str, Any]) -> dict[str, Any] | None:
    return {name: said[name] for name in POINT if said.get(name) is not None} or None


def _name(table: Table, key: Any) -> str:
    return f"{table.name} {', '.join(map(str, key)) if isinstance(key, tuple) else key}"


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
