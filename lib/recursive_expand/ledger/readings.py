"""The ledger's reading facts: how verdicts were read, and the ids that clients gave them."""

from __future__ import annotations

import dataclasses

from sqlalchemy import Connection, Integer, case, cast, func, insert, select

from recursive_expand.ledger.records import QUICK_SECONDS, ReadingFacts
from recursive_expand.ledger.states import unused
from recursive_expand.ledger.store import Store
from recursive_expand.ledger.tables import judgements, proposal_slices, proposals, reading_facts, verdicts


class Readings:
    """What is known of the reading beside the verdicts themselves.

    Args:
        store: the database.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def verdict_id(self, client_verdict_id: str) -> int | None:
        """The verdict that was given under a client's id, standing or withdrawn; None where there is none."""
        with self._store.read() as connection:
            return given_as(connection, client_verdict_id)

    def facts(self, verdict_id: int) -> ReadingFacts | None:
        """How a verdict was read; None where its client does not say."""
        columns = [reading_facts.c[field.name] for field in dataclasses.fields(ReadingFacts)]
        with self._store.read() as connection:
            row = connection.execute(select(*columns).where(reading_facts.c.verdict_id == verdict_id)).first()
        return None if row is None else ReadingFacts(**{**row._mapping, "slices_seen": tuple(row.slices_seen)})

    def acceptance(self) -> list[tuple[int, str, int, int]]:
        """(round, class, slices accepted, slices judged) of first proposals' standing verdicts, by round and class."""
        accepted = func.sum(cast(judgements.c.accepted, Integer))
        query = (
            select(verdicts.c.round, proposal_slices.c["class"], accepted, func.count())
            .join(verdicts, verdicts.c.verdict_id == judgements.c.verdict_id)
            .join(proposals, (proposals.c.proposal_id == verdicts.c.proposal_id) & (proposals.c.chance == 0))
            .join(
                proposal_slices,
                (proposal_slices.c.proposal_id == verdicts.c.proposal_id)
                & (proposal_slices.c.slice == judgements.c.slice),
            )
            .where(verdicts.c.withdrawn.is_(None))
            .group_by(verdicts.c.round, proposal_slices.c["class"])
            .order_by(verdicts.c.round, proposal_slices.c["class"])
        )
        with self._store.read() as connection:
            return [(row[0], row[1], row[2], row[3]) for row in connection.execute(query)]

    def given(self, reviewer: str, *, limit: int) -> list[tuple[str, str, int]]:
        """(client's id, case, verdict) of a reader's newest verdicts that stand and no round has used, oldest first."""
        query = (
            select(reading_facts.c.client_verdict_id, verdicts.c.case_id, verdicts.c.verdict_id)
            .join(verdicts, verdicts.c.verdict_id == reading_facts.c.verdict_id)
            .where(unused(), verdicts.c.reviewer == reviewer)
            .order_by(verdicts.c.verdict_id.desc())
            .limit(limit)
        )
        with self._store.read() as connection:
            return [(row[0], row[1], row[2]) for row in reversed(connection.execute(query).all())]

    def flagged(self, round_index: int) -> dict[str, int]:
        """Of a round's standing verdicts, how many came within `QUICK_SECONDS` (`quick`) or many at once (`bulk`)."""
        quick = case((reading_facts.c.decided - reading_facts.c.first_paint < QUICK_SECONDS, 1), else_=0)
        query = (
            select(func.sum(quick), func.sum(cast(reading_facts.c.bulk, Integer)))
            .join(verdicts, verdicts.c.verdict_id == reading_facts.c.verdict_id)
            .where(verdicts.c.withdrawn.is_(None), verdicts.c.round == round_index)
        )
        with self._store.read() as connection:
            found = connection.execute(query).one()
        return {"quick": found[0] or 0, "bulk": found[1] or 0}


def given_as(connection: Connection, client_verdict_id: str) -> int | None:
    """`Readings.verdict_id` within a transaction."""
    query = select(reading_facts.c.verdict_id).where(reading_facts.c.client_verdict_id == client_verdict_id)
    return connection.execute(query).scalar()


def keep(connection: Connection, verdict_id: int, facts: ReadingFacts) -> None:
    """Write down how a verdict was read, in the transaction that records it."""
    values = dataclasses.asdict(facts) | {"verdict_id": verdict_id, "slices_seen": list(facts.slices_seen)}
    connection.execute(insert(reading_facts).values(**values))
