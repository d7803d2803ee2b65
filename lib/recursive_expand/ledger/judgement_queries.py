"""What is read of the ledger's verdicts and judgements: which stand, what they say slice by slice, and how many."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, func, select

from recursive_expand.ledger import states
from recursive_expand.ledger.errors import UnknownVerdict, VerdictIdTaken
from recursive_expand.ledger.readings import given_as
from recursive_expand.ledger.records import Actor, Judgement, VerdictKind, VerdictRecord
from recursive_expand.ledger.store import Store
from recursive_expand.ledger.tables import judgements, proposals, verdicts


class JudgementQueries:
    """Verdicts on proposals, and what they say of each slice, as they stand.

    Args:
        store: the database.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def verdict(self, verdict_id: int) -> VerdictRecord:
        """One verdict, standing or withdrawn.

        Raises:
            UnknownVerdict: no such verdict.
        """
        with self._store.read() as connection:
            found = read_verdicts(connection, verdicts.c.verdict_id == verdict_id)
        if not found:
            raise UnknownVerdict(verdict_id)
        return found[0]

    def repeated(self, client_verdict_id: str, actor: Actor, proposal_sha256: str) -> VerdictRecord | None:
        """The verdict that was given under this id, standing or withdrawn; None where there is none.

        Raises:
            VerdictIdTaken: the id belongs to a verdict on another proposal, or of somebody else.
        """
        with self._store.read() as connection:
            return verdict_given_as(connection, client_verdict_id, actor, proposal_sha256)

    def of_case(self, case_id: str) -> list[VerdictRecord]:
        """The verdicts on a case that stand, oldest first."""
        with self._store.read() as connection:
            return read_verdicts(connection, verdicts.c.case_id == case_id, verdicts.c.withdrawn.is_(None))

    def verdicts(self) -> list[VerdictRecord]:
        """All verdicts that stand, oldest first."""
        with self._store.read() as connection:
            return read_verdicts(connection, verdicts.c.withdrawn.is_(None))

    def standing(self) -> Iterator[Judgement]:
        """Every slice's judgements that stand, by case, round, verdict and slice."""
        query = (
            select(
                verdicts.c.case_id,
                verdicts.c.round,
                proposals.c.sha256,
                verdicts.c.verdict_id,
                verdicts.c.reviewer,
                judgements.c.slice,
                judgements.c.accepted,
                states.used_by().label("used_by"),
            )
            .join(verdicts, verdicts.c.verdict_id == judgements.c.verdict_id)
            .join(proposals, proposals.c.proposal_id == verdicts.c.proposal_id)
            .where(verdicts.c.withdrawn.is_(None))
            .order_by(verdicts.c.case_id, verdicts.c.round, verdicts.c.verdict_id, judgements.c.slice)
        )
        with self._store.read() as connection:
            for row in connection.execute(query).yield_per(1000):
                yield Judgement(*row)

    def watermark(self) -> tuple[int, int]:
        """(id of the newest verdict, number of those that stand): tells whether a training set is up to date."""
        with self._store.read() as connection:
            return watermark(connection)

    def count(
        self, round_index: int | None = None, *, unused: bool = False, chance: int | None = None
    ) -> dict[str, int]:
        """Standing verdicts by kind, and their slices: accept, reject, accepted_slices, rejected_slices.

        Args:
            round_index: only on this round's proposals.
            unused: only those that no round has trained on.
            chance: only those on first proposals (0) or on second chances (1).
        """
        where: list[ColumnElement[bool]] = [verdicts.c.withdrawn.is_(None)]
        if chance is not None:
            second = select(proposals.c.proposal_id).where(proposals.c.chance > 0)
            on_second = verdicts.c.proposal_id.in_(second)
            where.append(on_second if chance else ~on_second)
        if round_index is not None:
            where.append(verdicts.c.round == round_index)
        if unused:
            where.append(states.unused())
        # Sums in one pass: grouping would sort 25,000 rows for two groups, at every look at the status.
        accepting = verdicts.c.verdict == VerdictKind.ACCEPT
        kinds = select(func.count().filter(accepting), func.count()).select_from(verdicts).where(*where)
        slices = (
            select(func.count().filter(judgements.c.accepted), func.count())
            .select_from(judgements)
            .join(verdicts, verdicts.c.verdict_id == judgements.c.verdict_id)
            .where(*where)
        )
        with self._store.read() as connection:
            accept, given = connection.execute(kinds).one()
            accepted, judged = connection.execute(slices).one()
        return {
            "accept": accept,
            "reject": given - accept,
            "accepted_slices": accepted,
            "rejected_slices": judged - accepted,
        }

    def given(self, round_index: int) -> int:
        """Number of standing verdicts on a round's proposals, without a look at their slices."""
        query = select(func.count()).select_from(verdicts)
        where = (verdicts.c.round == round_index, verdicts.c.withdrawn.is_(None))
        with self._store.read() as connection:
            return connection.execute(query.where(*where)).scalar_one()


def watermark(connection: Connection, *, until: int | None = None) -> tuple[int, int]:
    """`JudgementQueries.watermark` within a transaction; with `until`, of the verdicts up to this one."""
    standing = select(func.count()).select_from(verdicts).where(verdicts.c.withdrawn.is_(None))
    if until is not None:
        return until, connection.execute(standing.where(verdicts.c.verdict_id <= until)).scalar_one()
    newest = connection.execute(select(func.coalesce(func.max(verdicts.c.verdict_id), 0))).scalar_one()
    return newest, connection.execute(standing).scalar_one()


def verdict_given_as(
    connection: Connection, client_verdict_id: str, actor: Actor, proposal_sha256: str
) -> VerdictRecord | None:
    """`JudgementQueries.repeated` within a transaction."""
    verdict_id = given_as(connection, client_verdict_id)
    if verdict_id is None:
        return None
    found = read_verdict(connection, verdict_id)
    if found.reviewer != actor.reviewer or found.proposal_sha256 != proposal_sha256:
        raise VerdictIdTaken(client_verdict_id, found.case_id)
    return found


def read_verdict(connection: Connection, verdict_id: int | None) -> VerdictRecord:
    """One verdict, which must exist, within a transaction."""
    return read_verdicts(connection, verdicts.c.verdict_id == verdict_id)[0]


def read_verdicts(connection: Connection, *where: ColumnElement[bool]) -> list[VerdictRecord]:
    """Verdicts with their judgements, oldest first, within a transaction.

    Args:
        connection: the transaction.
        where: over `verdicts`.
    """
    query = (
        select(
            verdicts,
            *(proposals.c[name] for name in ("sha256", "model_sha256", "tool", "chance")),
            states.used_by().label("used_by"),
        )
        .join(proposals, proposals.c.proposal_id == verdicts.c.proposal_id)
        .where(*where)
        .order_by(verdicts.c.verdict_id)
    )
    said = (
        select(judgements)
        .join(verdicts, verdicts.c.verdict_id == judgements.c.verdict_id)
        .where(*where)
        .order_by(judgements.c.verdict_id, judgements.c.slice)
    )
    slices: dict[tuple[int, bool], list[int]] = {}
    for verdict_id, number, accepted in connection.execute(said):
        slices.setdefault((verdict_id, accepted), []).append(number)
    return [_to_verdict(row, slices) for row in connection.execute(query)]


def _to_verdict(row: Row[Any], slices: dict[tuple[int, bool], list[int]]) -> VerdictRecord:
    return VerdictRecord(
        verdict_id=row.verdict_id,
        proposal_id=row.proposal_id,
        case_id=row.case_id,
        round=row.round,
        proposal_sha256=row.sha256,
        model_sha256=row.model_sha256,
        tool=row.tool,
        chance=row.chance,
        verdict=VerdictKind(row.verdict),
        accepted_slices=tuple(slices.get((row.verdict_id, True), ())),
        rejected_slices=tuple(slices.get((row.verdict_id, False), ())),
        reviewer=row.reviewer,
        client=row.client,
        authenticated=row.authenticated,
        reason=row.reason,
        comment=row.comment,
        seconds=row.seconds,
        ts=row.ts,
        used_by=row.used_by,
        withdrawn=row.withdrawn,
    )
