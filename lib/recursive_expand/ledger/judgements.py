"""The ledger's verdicts and judgements: who accepted or rejected what, slice by slice, and who took it back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, delete, func, insert, select, update

from recursive_expand.ledger import states
from recursive_expand.ledger.errors import (
    AlreadyDecided,
    NotWithdrawable,
    NotYours,
    StaleProposal,
    UnknownCase,
    UnknownVerdict,
    VerdictIdTaken,
)
from recursive_expand.ledger.outbox import queue_labels
from recursive_expand.ledger.propagation import follow
from recursive_expand.ledger.proposals import last_key, latest_proposal, to_proposals
from recursive_expand.ledger.readings import given_as, keep
from recursive_expand.ledger.records import (
    Actor,
    Judgement,
    ProposalRecord,
    ProposalState,
    ReadingFacts,
    RoundState,
    VerdictKind,
    VerdictRecord,
)
from recursive_expand.ledger.store import Store, utc_now
from recursive_expand.ledger.tables import cases, judgements, leases, proposals, reading_facts, rounds, verdicts


class Judgements:
    """Verdicts on proposals, and what they say of each slice.

    Args:
        store: the database.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def give(
        self,
        actor: Actor,
        case_id: str,
        proposal_sha256: str,
        verdict: VerdictKind,
        *,
        rejected_slices: Sequence[int] = (),
        reason: str | None = None,
        comment: str | None = None,
        seconds: float | None = None,
        facts: ReadingFacts | None = None,
    ) -> VerdictRecord:
        """Record a verdict; it is durable when this returns. Repeating the same verdict returns the first one.

        The label objects that follow from it are put into the outbox.

        Args:
            actor: who, and from where; the reviewer may take the verdict back.
            case_id: the case.
            proposal_sha256: the proposal that was looked at.
            verdict: accept (but for `rejected_slices`) or reject (all of it).
            rejected_slices: with accept, slice numbers whose mask is rejected. Rejecting every slice with a mask is
                a reject.
            reason, comment, seconds: why, and how long it took.
            facts: how it was read. Under a `client_verdict_id` that is known, that verdict is returned, also where it
                was taken back or its round is over.

        Raises:
            UnknownCase: no such case.
            StaleProposal: the case has no proposal, or a newer one.
            AlreadyDecided: it was decided otherwise, or by someone else.
            VerdictIdTaken: the id belongs to a verdict on another proposal, or of somebody else.
            ValueError: a rejected slice has no mask in this proposal.
        """
        with self._store.write() as connection:
            repeated = facts and _repeated(connection, facts.client_verdict_id, actor, proposal_sha256)
            if repeated:
                return repeated
            current = _current(connection, case_id)
            proposal = _looked_at(connection, current, proposal_sha256)
            if proposal == current and _has_expert_mask(current):
                raise _stale(current, proposal_sha256)
            verdict, rejected = _whole(proposal, verdict, rejected_slices)
            if proposal.proposal_id != current.proposal_id or proposal.state is ProposalState.DECIDED:
                return _same_or_refuse(connection, current, proposal, verdict, rejected, actor)
            ts = utc_now()
            said: dict[str, Any] = {
                "proposal_id": proposal.proposal_id,
                "case_id": case_id,
                "round": proposal.round,
                "verdict": verdict,
                "reviewer": actor.reviewer,
                "client": actor.client,
                "authenticated": actor.authenticated,
                "reason": reason,
                "comment": comment,
                "seconds": seconds,
                "ts": ts,
            }
            inserted = connection.execute(insert(verdicts).values(said))
            (verdict_id,) = inserted.inserted_primary_key or (None,)
            assert verdict_id is not None
            accepted = tuple(number for number in proposal.slices if number not in rejected)
            rows = [
                {"verdict_id": verdict_id, "slice": number, "accepted": number in accepted}
                for number in proposal.slices
            ]
            if rows:
                connection.execute(insert(judgements), rows)
            if facts is not None and verdict_id is not None:
                keep(connection, verdict_id, facts)
            states.refresh(connection, _of_round(case_id, proposal.round))
            follow(self._store, connection, proposal.proposal_id)
            connection.execute(delete(leases).where(leases.c.case_id == case_id))
            queue_labels(connection, case_id, ts)
            self._store.record(
                connection,
                "verdict",
                (verdicts, verdicts.c.verdict_id == verdict_id),
                (judgements, judgements.c.verdict_id == verdict_id),
                (reading_facts, reading_facts.c.verdict_id == verdict_id),
                case_id=case_id,
                proposal=proposal.sha256,
            )
        return VerdictRecord(
            verdict_id=verdict_id,
            proposal_sha256=proposal.sha256,
            model_sha256=proposal.model_sha256,
            tool=proposal.tool,
            chance=proposal.chance,
            accepted_slices=accepted,
            rejected_slices=tuple(rejected),
            used_by=None,
            withdrawn=None,
            **said,
        )

    def withdraw(self, actor: Actor, verdict_id: int) -> VerdictRecord:
        """Take one's own verdict back; it stays on record, and the proposal waits for a verdict again.

        The second chance of what was rejected goes with it, and so does a verdict on that, whoever's it is: it is about
        a mask of which nobody says any more that it is wrong. It comes back if the same slices are rejected again.

        Raises:
            UnknownVerdict: no such verdict.
            NotYours: it is someone else's.
            NotWithdrawable: a training round used it already, or a newer proposal stands.
        """
        with self._store.write() as connection:
            found = next(iter(_records(connection, verdicts.c.verdict_id == verdict_id)), None)
            if found is None:
                raise UnknownVerdict(verdict_id)
            if found.reviewer != actor.reviewer:
                raise NotYours(f"verdict {verdict_id} is {found.reviewer}'s; only they can take it back")
            if found.withdrawn:
                return found
            current = latest_proposal(connection, found.case_id)
            newest = connection.execute(select(rounds.c.state).order_by(rounds.c.round.desc()).limit(1)).scalar()
            closed = found.used_by is not None or newest in (RoundState.CLOSED, RoundState.CONVERGED)
            if closed or current is None or current.round != found.round or current.chance < found.chance:
                raise NotWithdrawable(
                    f"verdict {verdict_id} belongs to round {found.round}, whose review is closed; "
                    "the case's next proposal can be judged anew"
                )
            this = proposals.c.proposal_id == found.proposal_id
            later = select(proposals.c.proposal_id).where(
                _of_round(found.case_id, found.round), proposals.c.chance >= found.chance
            )
            standing = select(verdicts.c.verdict_id).where(
                verdicts.c.proposal_id.in_(later), verdicts.c.withdrawn.is_(None)
            )
            taken_back = verdicts.c.verdict_id.in_(connection.execute(standing).scalars().all())
            connection.execute(update(verdicts).where(taken_back).values(withdrawn=utc_now()))
            connection.execute(
                update(proposals).where(this).values(sort_key=last_key())
            )  # it is shown again after all others
            states.refresh(connection, _of_round(found.case_id, found.round))
            follow(self._store, connection, found.proposal_id)
            queue_labels(connection, found.case_id, utc_now())
            self._store.record(
                connection,
                "verdict_withdrawn",
                (verdicts, taken_back),
                case_id=found.case_id,
                reviewer=actor.reviewer,
                client=actor.client,
            )
            return _one(connection, verdict_id)

    def verdict(self, verdict_id: int) -> VerdictRecord:
        """One verdict, standing or withdrawn.

        Raises:
            UnknownVerdict: no such verdict.
        """
        with self._store.read() as connection:
            found = _records(connection, verdicts.c.verdict_id == verdict_id)
        if not found:
            raise UnknownVerdict(verdict_id)
        return found[0]

    def repeated(self, client_verdict_id: str, actor: Actor, proposal_sha256: str) -> VerdictRecord | None:
        """The verdict that was given under this id, standing or withdrawn; None where there is none.

        Raises:
            VerdictIdTaken: the id belongs to a verdict on another proposal, or of somebody else.
        """
        with self._store.read() as connection:
            return _repeated(connection, client_verdict_id, actor, proposal_sha256)

    def of_case(self, case_id: str) -> list[VerdictRecord]:
        """The verdicts on a case that stand, oldest first."""
        with self._store.read() as connection:
            return _records(connection, verdicts.c.case_id == case_id, verdicts.c.withdrawn.is_(None))

    def verdicts(self) -> list[VerdictRecord]:
        """All verdicts that stand, oldest first."""
        with self._store.read() as connection:
            return _records(connection, verdicts.c.withdrawn.is_(None))

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
    """`Judgements.watermark` within a transaction; with `until`, of the verdicts up to this one."""
    standing = select(func.count()).select_from(verdicts).where(verdicts.c.withdrawn.is_(None))
    if until is not None:
        return until, connection.execute(standing.where(verdicts.c.verdict_id <= until)).scalar_one()
    newest = connection.execute(select(func.coalesce(func.max(verdicts.c.verdict_id), 0))).scalar_one()
    return newest, connection.execute(standing).scalar_one()


def _current(connection: Connection, case_id: str) -> ProposalRecord:
    current = latest_proposal(connection, case_id)
    if current is None:
        if connection.execute(select(cases.c.case_id).where(cases.c.case_id == case_id)).first() is None:
            raise UnknownCase(case_id)
        raise StaleProposal(f"case {case_id!r} has no proposal yet; POST /infer makes one")
    return current


def _of_round(case_id: str, round_index: int) -> ColumnElement[bool]:
    return (proposals.c.case_id == case_id) & (proposals.c.round == round_index)


def _looked_at(connection: Connection, current: ProposalRecord, proposal_sha256: str) -> ProposalRecord:
    if current.sha256 == proposal_sha256:
        return current
    older = select(proposals).where(proposals.c.case_id == current.case_id, proposals.c.sha256 == proposal_sha256)
    rows = connection.execute(older.order_by(proposals.c.round.desc(), proposals.c.chance).limit(1)).all()
    if not rows:
        raise _stale(current, proposal_sha256)
    return to_proposals(connection, rows)[0]


def _repeated(
    connection: Connection, client_verdict_id: str, actor: Actor, proposal_sha256: str
) -> VerdictRecord | None:
    verdict_id = given_as(connection, client_verdict_id)
    if verdict_id is None:
        return None
    found = _one(connection, verdict_id)
    if found.reviewer != actor.reviewer or found.proposal_sha256 != proposal_sha256:
        raise VerdictIdTaken(client_verdict_id, found.case_id)
    return found


def _same_or_refuse(
    connection: Connection,
    current: ProposalRecord,
    judged: ProposalRecord,
    verdict: VerdictKind,
    rejected: Sequence[int],
    actor: Actor,
) -> VerdictRecord:
    standing = _records(connection, verdicts.c.proposal_id == judged.proposal_id, verdicts.c.withdrawn.is_(None))
    for found in standing:
        same = found.verdict is verdict and list(found.rejected_slices) == list(rejected)
        if same and found.reviewer == actor.reviewer:
            return found
        if judged.round == current.round:
            by = "you" if found.reviewer == actor.reviewer else found.reviewer
            mend = f"; take verdict {found.verdict_id} back first" if by == "you" else ""
            raise AlreadyDecided(
                f"this proposal of case {current.case_id!r} was already decided ({found.verdict}) by {by} "
                f"at {found.ts}{mend}"
            )
    raise _stale(current, judged.sha256)


def _has_expert_mask(current: ProposalRecord) -> bool:
    """The newest proposal of a case is superseded only where an expert mask took its place."""
    return current.state is ProposalState.SUPERSEDED


def _stale(current: ProposalRecord, proposal_sha256: str) -> StaleProposal:
    if _has_expert_mask(current):
        return StaleProposal(f"case {current.case_id!r} has an expert mask by now; it takes no verdicts")
    return StaleProposal(
        f"proposal {proposal_sha256[:12]} of case {current.case_id!r} is stale: round {current.round} proposes "
        f"{current.sha256[:12]}; fetch it and judge that one"
    )


def _whole(
    proposal: ProposalRecord, verdict: VerdictKind, rejected_slices: Sequence[int]
) -> tuple[VerdictKind, list[int]]:
    """The verdict on the proposal as a whole, and the slices that it rejects."""
    if verdict is VerdictKind.REJECT:
        return verdict, list(proposal.slices)
    rejected = sorted(set(rejected_slices))
    without_mask = sorted(set(rejected) - set(proposal.slices))
    if without_mask:
        raise ValueError(
            f"slices {without_mask} have no mask in this proposal; those that have: {list(proposal.slices)}"
        )
    if proposal.slices and len(rejected) == len(proposal.slices):
        return VerdictKind.REJECT, rejected
    return verdict, rejected


def _one(connection: Connection, verdict_id: int | None) -> VerdictRecord:
    return _records(connection, verdicts.c.verdict_id == verdict_id)[0]


def _records(connection: Connection, *where: ColumnElement[bool]) -> list[VerdictRecord]:
    """These verdicts with their judgements, oldest first."""
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
