"""The ledger's outbox: cases whose label objects in the archive do not show their verdicts yet."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import Connection, func, insert, select, update

from recursive_expand.ledger.store import Store, utc_now
from recursive_expand.ledger.tables import outbox

FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 2.0, 600.0
"""How long an entry waits after its first failure, and at most: each failure doubles the wait."""


@dataclass(frozen=True)
class OutboxCount:
    """The outbox in numbers: entries that wait, those of them that failed at least once, those that were sent."""

    waiting: int
    failing: int
    sent: int
    error: str | None


class Outbox:
    """What is still to be written to the archive, in order.

    An entry stands for a case: its label objects are derived from its verdicts when they are written, so that writing
    twice changes nothing, and one write settles all entries that were there before it.

    Args:
        store: the database.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def add(self, case_ids: Iterable[str]) -> None:
        """Have these cases' label objects written anew."""
        with self._store.write() as connection:
            for case_id in case_ids:
                queue_labels(connection, case_id, utc_now())

    def due(self, now: float) -> list[str]:
        """Ids of the cases with an entry that may be tried now, the oldest first."""
        query = (
            select(outbox.c.case_id)
            .where(outbox.c.sent.is_(None), outbox.c.not_before <= now)
            .group_by(outbox.c.case_id)
            .order_by(func.min(outbox.c.entry_id))
        )
        with self._store.read() as connection:
            return list(connection.execute(query).scalars())

    def newest(self, case_id: str) -> int | None:
        """The number of a case's newest entry that waits; None where none does."""
        query = select(func.max(outbox.c.entry_id)).where(outbox.c.case_id == case_id, outbox.c.sent.is_(None))
        with self._store.read() as connection:
            return connection.execute(query).scalar()

    def sent(self, case_id: str, entry_id: int) -> None:
        """The archive shows what a case's verdicts said when this entry was its newest."""
        waiting = (outbox.c.case_id == case_id, outbox.c.entry_id <= entry_id, outbox.c.sent.is_(None))
        with self._store.write() as connection:
            connection.execute(update(outbox).where(*waiting).values(sent=utc_now(), error=None))

    def failed(self, case_id: str, error: str, now: float) -> None:
        """Writing a case's label objects failed: it is tried again later, and later still."""
        waiting = (outbox.c.case_id == case_id, outbox.c.sent.is_(None))
        with self._store.write() as connection:
            attempts = connection.execute(select(func.max(outbox.c.attempts)).where(*waiting)).scalar() or 0
            wait = min(FIRST_WAIT_SECONDS * 2.0 ** min(attempts, 20), LONGEST_WAIT_SECONDS)
            values = {"attempts": attempts + 1, "error": error, "not_before": now + wait}
            connection.execute(update(outbox).where(*waiting).values(values))

    def retry(self) -> int:
        """Try everything that waits at once; returns how many entries wait."""
        with self._store.write() as connection:
            return connection.execute(update(outbox).where(outbox.c.sent.is_(None)).values(not_before=0.0)).rowcount

    def count(self) -> OutboxCount:
        """The outbox in numbers, with the newest error."""
        waiting = outbox.c.sent.is_(None)
        # What was sent stays, so it is only counted, and what waits is looked up by its index.
        pending_now = select(func.count(), func.count().filter(outbox.c.attempts > 0)).where(waiting)
        total = select(func.count()).select_from(outbox)
        newest = select(outbox.c.error).where(waiting, outbox.c.error.is_not(None)).order_by(outbox.c.entry_id.desc())
        with self._store.read() as connection:
            pending, failing = connection.execute(pending_now.select_from(outbox)).one()
            every = connection.execute(total).scalar_one()
            return OutboxCount(pending, failing, every - pending, connection.execute(newest.limit(1)).scalar())


def queue_labels(connection: Connection, case_id: str, ts: str) -> None:
    """Put a case into the outbox, in the transaction that changed its verdicts."""
    values = {"case_id": case_id, "queued": ts, "attempts": 0, "not_before": 0.0}
    connection.execute(insert(outbox).values(values))
