"""Verdicts given and taken back: who accepted or rejected what, slice by slice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, delete, insert, select, update

from recursive_expand.ledger import states
from recursive_expand.ledger.errors import (
    AlreadyDecided,
    NotWithdrawable,
    NotYours,
    StaleProposal,
    UnknownCase,
    UnknownVerdict,
)
from recursive_expand.ledger.judgement_queries import (
    JudgementQueries,
    read_verdict,
    read_verdicts,
    verdict_given_as,
)
from recursive_expand.ledger.outbox import queue_labels
from recursive_expand.ledger.propagation import follow
from recursive_expand.ledger.proposals import last_key, latest_proposal, to_proposals
from recursive_expand.ledger.readings import keep
from recursive_expand.ledger.records import (
    Actor,
    ProposalRecord,
    ProposalState,
    ReadingFacts,
    RoundState,
    VerdictKind,
    VerdictRecord,
)
from recursive_expand.ledger.store import utc_now
from recursive_expand.ledger.tables import cases, judgements, leases, proposals, reading_facts, rounds, verdicts


class Judgements(JudgementQueries):
    """Verdicts on proposals, given and taken back."""

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
            repeated = facts and verdict_given_as(connection, facts.client_verdict_id, actor, proposal_sha256)
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
            found = next(iter(read_verdicts(connection, verdicts.c.verdict_id == verdict_id)), None)
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
            return read_verdict(connection, verdict_id)


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


def _same_or_refuse(
    connection: Connection,
    current: ProposalRecord,
    judged: ProposalRecord,
    verdict: VerdictKind,
    rejected: Sequence[int],
    actor: Actor,
) -> VerdictRecord:
    standing = read_verdicts(connection, verdicts.c.proposal_id == judged.proposal_id, verdicts.c.withdrawn.is_(None))
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
