"""The ledger's queue: open proposals by their sort key, and the leases under which readers hold them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Integer, Row, and_, cast, delete, distinct, exists, func, insert, select, text

from recursive_expand.ledger.proposals import to_proposals
from recursive_expand.ledger.records import Candidate, Features, JudgedProposal, ProposalRecord, ProposalState
from recursive_expand.ledger.store import Store
from recursive_expand.ledger.tables import judgements, leases, proposal_slices, proposals, verdicts

READERS_PER_CASE = 1
"""How many readers may hold a case at once: the consensus policy `first` asks one."""

_ORDER = (proposals.c.chance, proposals.c.sort_key)

# One statement for any number of proposals: their ids and scores come as one JSON parameter.
_REORDER = text(
    "UPDATE proposals SET sort_key = :first + queued.key, score = json_extract(queued.value, '$[1]') "
    "FROM json_each(:order) AS queued WHERE proposals.proposal_id = json_extract(queued.value, '$[0]')"
)


class Hold(StrEnum):
    """What became of a lease that was asked for."""

    HELD = "held"
    TAKEN = "taken"
    """Another reader has it."""
    GONE = "gone"
    """It waits for no verdict: decided, proposed anew, or no case at all."""


class Queue:
    """What waits for a verdict. A proposal is in the queue because of its state alone; the sort key says where.

    First proposals come before all second chances: readers see everything once first.

    Args:
        store: the database.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def next(self, reader: str, *, now: float, lease_seconds: float, skip: str | None = None) -> str | None:
        """Lease the next open proposal to a reader and return its case id, or None when nothing is left.

        A reader who holds a lease gets the same case again, so that asking twice loses nothing.

        Args:
            reader: who asks.
            now: seconds since the epoch.
            lease_seconds: how long the case is kept from other readers.
            skip: a case id that this reader gives back and does not want now.
        """
        waiting = proposals.c.state == ProposalState.OPEN
        with self._store.write() as connection:
            connection.execute(delete(leases).where(leases.c.expires <= now))
            if skip is not None:
                connection.execute(delete(leases).where(leases.c.case_id == skip, leases.c.reader == reader))
            held = connection.execute(select(leases.c.case_id).where(leases.c.reader == reader)).scalars().all()
            # The state is no condition here: for it SQLite would walk the whole queue instead of these few cases.
            mine = select(proposals.c.chance, proposals.c.sort_key, proposals.c.case_id, proposals.c.state)
            found = connection.execute(mine.where(proposals.c.case_id.in_(held))).all() if held else []
            open_ = [row for row in found if row.state == ProposalState.OPEN]
            case_id = min(open_).case_id if open_ else None
            if case_id is None:
                of_case = select(func.count()).where(leases.c.case_id == proposals.c.case_id)
                free = of_case.correlate(proposals).scalar_subquery() < READERS_PER_CASE
                query = select(proposals.c.case_id).where(waiting, free)
                in_order = query.order_by(*_ORDER)
                if skip is not None:  # the skipped one comes last: only when nothing else is left
                    in_order = query.order_by(proposals.c.case_id == skip, *_ORDER)
                case_id = connection.execute(in_order.limit(1)).scalar()
            if case_id is not None:
                mine_now = and_(leases.c.case_id == case_id, leases.c.reader == reader)
                connection.execute(delete(leases).where(mine_now))
                connection.execute(insert(leases).values(case_id=case_id, reader=reader, expires=now + lease_seconds))
            return case_id

    def waiting(self, reader: str, *, now: float, limit: int = 100) -> list[ProposalRecord]:
        """Open proposals in the order in which they are served, without those that other readers hold; none is leased.

        Args:
            reader: who asks.
            now: seconds since the epoch.
            limit: at most so many.
        """
        others = select(func.count()).where(
            leases.c.case_id == proposals.c.case_id, leases.c.expires > now, leases.c.reader != reader
        )
        free = others.correlate(proposals).scalar_subquery() < READERS_PER_CASE
        query = select(proposals).where(proposals.c.state == ProposalState.OPEN, free)
        with self._store.read() as connection:
            rows = connection.execute(query.order_by(*_ORDER).limit(limit)).all()
            return to_proposals(connection, rows)

    def hold(self, reader: str, case_ids: Sequence[str], *, now: float, lease_seconds: float) -> dict[str, Hold]:
        """Lease these cases to a reader who sees them, or lengthen their leases.

        Args:
            reader: who looks.
            case_ids: at which.
            now: seconds since the epoch.
            lease_seconds: how long a case is kept from other readers.

        Returns:
            What became of each: it is held now, others hold it, or it waits for no verdict.
        """
        found = dict.fromkeys(case_ids, Hold.GONE)
        with self._store.write() as connection:
            connection.execute(delete(leases).where(leases.c.expires <= now))
            open_ = select(proposals.c.case_id).where(
                proposals.c.case_id.in_(found), proposals.c.state == ProposalState.OPEN
            )
            held = select(leases.c.case_id, leases.c.reader).where(leases.c.case_id.in_(found))
            holders: dict[str, set[str]] = {}
            for case_id, holder in connection.execute(held):
                holders.setdefault(case_id, set()).add(holder)
            for case_id in connection.execute(open_).scalars():
                free = len(holders.get(case_id, set()) - {reader}) < READERS_PER_CASE
                found[case_id] = Hold.HELD if free else Hold.TAKEN
            mine = [case_id for case_id, hold in found.items() if hold is Hold.HELD]
            connection.execute(delete(leases).where(leases.c.reader == reader, leases.c.case_id.in_(mine)))
            if mine:
                expires = now + lease_seconds
                connection.execute(
                    insert(leases),
                    [{"case_id": case_id, "reader": reader, "expires": expires} for case_id in mine],
                )
        return found

    def release(self, reader: str, case_ids: Sequence[str]) -> int:
        """Give these cases back; those that the reader does not hold are left alone.

        Returns:
            How many were held.
        """
        with self._store.write() as connection:
            gone = delete(leases).where(leases.c.reader == reader, leases.c.case_id.in_(case_ids))
            return connection.execute(gone).rowcount

    def page(self, *, now: float, limit: int = 100, offset: int = 0) -> list[tuple[ProposalRecord, str | None]]:
        """Open proposals in the order in which they are served, each with the reader who holds its lease."""
        reader = (
            select(func.min(leases.c.reader))
            .where(leases.c.case_id == proposals.c.case_id, leases.c.expires > now)
            .correlate(proposals)
            .scalar_subquery()
        )
        query = (
            select(proposals, reader.label("reader"))
            .where(proposals.c.state == ProposalState.OPEN)
            .order_by(*_ORDER)
            .limit(limit)
            .offset(offset)
        )
        with self._store.read() as connection:
            rows = connection.execute(query).all()
            return [(record, row.reader) for record, row in zip(to_proposals(connection, rows), rows, strict=True)]

    def any_case(self, *, first: bool) -> str | None:
        """A case with an open proposal regardless of leases: the first by id, or a random one."""
        query = select(proposals.c.case_id).where(proposals.c.state == ProposalState.OPEN)
        query = query.order_by(proposals.c.case_id) if first else query.order_by(func.random())
        with self._store.read() as connection:
            return connection.execute(query.limit(1)).scalar()

    def count(self, *, chance: int | None = None) -> int:
        """Number of proposals that wait for a verdict; with `chance`, of first (0) or second (1) looks alone."""
        query = select(func.count()).select_from(proposals).where(proposals.c.state == ProposalState.OPEN)
        if chance is not None:
            query = query.where(proposals.c.chance == chance)
        with self._store.read() as connection:
            return connection.execute(query).scalar_one()

    def expected(self) -> float | None:
        """How many slices of the open first proposals are expected to be accepted; None where no score is known."""
        query = select(func.sum(proposals.c.score * _marked_slices())).where(
            proposals.c.state == ProposalState.OPEN, proposals.c.chance == 0
        )
        with self._store.read() as connection:
            return connection.execute(query).scalar_one()

    def candidates(self, *, round_index: int | None = None) -> list[Candidate]:
        """Every open proposal, as the order looks at it.

        Args:
            round_index: of this round also those that are held until its review opens.
        """
        waiting = proposals.c.state == ProposalState.OPEN
        if round_index is not None:
            waiting = waiting | and_(proposals.c.state == ProposalState.HELD, proposals.c.round == round_index)
        with self._store.read() as connection:
            rows = connection.execute(_candidates().where(waiting).order_by(proposals.c.proposal_id))
            return [Candidate(*_of_candidate(row)) for row in rows]

    def judged(self) -> list[JudgedProposal]:
        """Every first proposal with a standing verdict, of all rounds."""
        accepted = func.coalesce(func.sum(cast(judgements.c.accepted, Integer)), 0)
        query = (
            _candidates(accepted.label("accepted"), (func.count(judgements.c.slice) - accepted).label("rejected"))
            .join(verdicts, verdicts.c.proposal_id == proposals.c.proposal_id)
            .outerjoin(judgements, judgements.c.verdict_id == verdicts.c.verdict_id)
            .where(verdicts.c.withdrawn.is_(None), proposals.c.chance == 0)
            .group_by(proposals.c.proposal_id)
            .order_by(proposals.c.proposal_id)
        )
        with self._store.read() as connection:
            return [
                JudgedProposal(*_of_candidate(row), row.accepted, row.rejected) for row in connection.execute(query)
            ]

    def reorder(self, order: Sequence[int], scores: Mapping[int, float]) -> None:
        """Put these proposals before all others in the queue, in this order.

        Args:
            order: proposal ids. Those that are not named keep their places behind, so that the front of a long queue
                can be put in order anew without writing the rest.
            scores: the predicted probabilities of acceptance that the order rests on, by proposal id.
        """
        with self._store.write() as connection:
            reorder(connection, order, scores)


def reorder(connection: Connection, order: Sequence[int], scores: Mapping[int, float]) -> None:
    """`Queue.reorder` within a transaction."""
    lowest = connection.execute(select(func.coalesce(func.min(proposals.c.sort_key), 0))).scalar_one()
    entries = json.dumps([[proposal_id, scores.get(proposal_id)] for proposal_id in order])
    connection.execute(_REORDER, {"first": lowest - len(order), "order": entries})


def _candidates(*more: Any) -> Any:
    columns = ("proposal_id", "leading_class", "confidence", "log_area", "components", "flip_dice")
    earlier = verdicts.alias("earlier")
    judged_before = exists(earlier.c.verdict_id).where(
        earlier.c.case_id == proposals.c.case_id, earlier.c.withdrawn.is_(None), earlier.c.round < proposals.c.round
    )
    return select(
        *(proposals.c[name] for name in columns),
        _marked_slices().label("slices"),
        ((proposals.c.chance > 0) | judged_before.correlate(proposals)).label("judged_before"),
        *more,
    )


def _marked_slices() -> Any:
    marked = select(func.count(distinct(proposal_slices.c.slice)))
    of_proposal = marked.where(proposal_slices.c.proposal_id == proposals.c.proposal_id)
    return of_proposal.correlate(proposals).scalar_subquery()


def _of_candidate(row: Row[Any]) -> tuple[int, str, float, Features | None, int, bool]:
    features = None if row.log_area is None else Features(row.log_area, row.components, row.flip_dice)
    return row.proposal_id, row.leading_class or "", row.confidence, features, row.slices, bool(row.judged_before)
