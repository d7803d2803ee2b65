"""The ledger's verdicts: who accepted or rejected which proposal, and who took it back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, Row, and_, delete, func, insert, select, update

from recursive_expand.ledger.errors import (
    AlreadyDecided,
    NotWithdrawable,
    NotYours,
    StaleProposal,
    UnknownCase,
    UnknownVerdict,
)
from recursive_expand.ledger.proposals import latest_proposal, to_proposal
from recursive_expand.ledger.records import ProposalRecord, ProposalState, RoundState, VerdictKind, VerdictRecord
from recursive_expand.ledger.store import Store, utc_now
from recursive_expand.ledger.tables import cases, leases, proposals, rounds, verdicts


class Verdicts(Store):
    """Verdicts on proposals."""

    def decide(
        self,
        case_id: str,
        proposal_sha256: str,
        verdict: VerdictKind,
        *,
        rejected_slices: Sequence[int] = (),
        reviewer: str,
        client: str,
        reason: str | None = None,
        comment: str | None = None,
        seconds: float | None = None,
    ) -> VerdictRecord:
        """Record a verdict; it is durable when this returns. Repeating the same verdict returns the first one.

        Args:
            case_id: the case.
            proposal_sha256: the proposal that was looked at.
            verdict: accept (but for `rejected_slices`) or reject (all of it).
            rejected_slices: with accept, slice numbers whose mask is rejected. Rejecting every slice with a mask is
                a reject.
            reviewer, client: who, and from where; `reviewer` may take the verdict back.
            reason, comment, seconds: why, and how long it took.

        Raises:
            UnknownCase: no such case.
            StaleProposal: the case has no proposal, or a newer one.
            AlreadyDecided: it was decided otherwise, or by someone else.
            ValueError: a rejected slice has no mask in this proposal.
        """
        with self.write() as connection:
            current = self._current(connection, case_id)
            proposal = self._looked_at(connection, current, proposal_sha256)
            verdict, accepted, rejected = _split(proposal, verdict, rejected_slices)
            if proposal.proposal_id != current.proposal_id or proposal.state is ProposalState.DECIDED:
                return self._same_or_refuse(connection, current, proposal, verdict, rejected, reviewer)
            ts = utc_now()
            values = {
                "proposal_id": proposal.proposal_id,
                "case_id": case_id,
                "round": proposal.round,
                "verdict": verdict,
                "accepted_slices": accepted,
                "rejected_slices": rejected,
                "reviewer": reviewer,
                "client": client,
                "reason": reason,
                "comment": comment,
                "seconds": seconds,
                "ts": ts,
            }
            connection.execute(insert(verdicts).values(values))
            verdict_id = connection.execute(select(func.max(verdicts.c.verdict_id))).scalar_one()
            connection.execute(
                update(proposals)
                .where(proposals.c.proposal_id == proposal.proposal_id)
                .values(state=ProposalState.DECIDED, position=None)
            )
            # What was accepted whole is not asked again; anything else is proposed anew by the next round, also
            # slices that this proposal left out because they hardly differed from what was rejected.
            settled = verdict is VerdictKind.ACCEPT and not rejected and not proposal.unchanged_slices
            connection.execute(
                update(cases).where(cases.c.case_id == case_id).values(labels_pending=True, settled=settled)
            )
            connection.execute(delete(leases).where(leases.c.case_id == case_id))
            logged = {key: values[key] for key in values if key not in ("ts", "proposal_id")}
            self.record(connection, "verdict", id=verdict_id, proposal=proposal.sha256, **logged)
            return _one(connection, verdict_id)

    def withdraw(self, verdict_id: int, *, reviewer: str | None) -> VerdictRecord:
        """Take one's own verdict back; it stays on record, and the proposal waits for a verdict again.

        Args:
            verdict_id: the verdict.
            reviewer: who takes it back; None where the client does not say (names are taken on trust).

        Raises:
            UnknownVerdict: no such verdict.
            NotYours: it is someone else's.
            NotWithdrawable: a training round used it already, or a newer proposal stands.
        """
        with self.write() as connection:
            row = connection.execute(_select_verdicts().where(verdicts.c.verdict_id == verdict_id)).first()
            if row is None:
                raise UnknownVerdict(verdict_id)
            found = _to_verdict(row)
            if found.withdrawn:
                return found
            if reviewer is not None and found.reviewer != reviewer:
                raise NotYours(f"verdict {verdict_id} is {found.reviewer}'s; only they can take it back")
            current = latest_proposal(connection, found.case_id)
            newest = connection.execute(select(rounds.c.state).order_by(rounds.c.round.desc()).limit(1)).scalar()
            closed = found.used_by is not None or newest in (RoundState.CLOSED, RoundState.CONVERGED)
            if closed or current is None or current.proposal_id != found.proposal_id:
                raise NotWithdrawable(
                    f"verdict {verdict_id} belongs to round {found.round}, whose review is closed; "
                    "the case's next proposal can be judged anew"
                )
            connection.execute(update(verdicts).where(verdicts.c.verdict_id == verdict_id).values(withdrawn=utc_now()))
            state, position = ProposalState.EMPTY, None
            if current.slices:
                last = select(func.coalesce(func.max(proposals.c.position), -1))
                state, position = ProposalState.OPEN, connection.execute(last).scalar_one() + 1
            connection.execute(
                update(proposals)
                .where(proposals.c.proposal_id == found.proposal_id)
                .values(state=state, position=position)
            )
            connection.execute(
                update(cases).where(cases.c.case_id == found.case_id).values(labels_pending=True, settled=False)
            )
            self.record(connection, "verdict_withdrawn", id=verdict_id, reviewer=reviewer)
            return _one(connection, verdict_id)

    def verdicts_of(self, case_id: str) -> list[VerdictRecord]:
        """The verdicts on a case that stand, oldest first."""
        query = _select_verdicts().where(verdicts.c.case_id == case_id, verdicts.c.withdrawn.is_(None))
        with self.read() as connection:
            return [_to_verdict(row) for row in connection.execute(query.order_by(verdicts.c.verdict_id))]

    def standing_verdicts(self) -> Iterator[VerdictRecord]:
        """All verdicts that stand, in order of case and round."""
        query = _select_verdicts().where(verdicts.c.withdrawn.is_(None))
        with self.read() as connection:
            for row in connection.execute(query.order_by(verdicts.c.case_id, verdicts.c.round)).yield_per(1000):
                yield _to_verdict(row)

    def count_verdicts(self, round_index: int | None = None, *, unused: bool = False) -> dict[str, int]:
        """Standing verdicts by kind, and their slices: accept, reject, accepted_slices, rejected_slices.

        Args:
            round_index: only on this round's proposals.
            unused: only those that no round has trained on.
        """
        query = select(
            verdicts.c.verdict,
            func.count(),
            func.sum(func.json_array_length(verdicts.c.accepted_slices)),
            func.sum(func.json_array_length(verdicts.c.rejected_slices)),
        ).where(verdicts.c.withdrawn.is_(None))
        if round_index is not None:
            query = query.where(verdicts.c.round == round_index)
        if unused:
            query = query.where(verdicts.c.used_by.is_(None))
        counts = {"accept": 0, "reject": 0, "accepted_slices": 0, "rejected_slices": 0}
        with self.read() as connection:
            for kind, number, accepted, rejected in connection.execute(query.group_by(verdicts.c.verdict)):
                counts[kind] = number
                counts["accepted_slices"] += accepted or 0
                counts["rejected_slices"] += rejected or 0
        return counts

    def _current(self, connection: Connection, case_id: str) -> ProposalRecord:
        if connection.execute(select(cases.c.case_id).where(cases.c.case_id == case_id)).first() is None:
            raise UnknownCase(case_id)
        current = latest_proposal(connection, case_id)
        if current is None:
            raise StaleProposal(f"case {case_id!r} has no proposal yet; POST /infer makes one")
        if current.state is ProposalState.SUPERSEDED:  # the newest one is, only where an expert mask took its place
            raise StaleProposal(f"case {case_id!r} has an expert mask by now; it takes no verdicts")
        return current

    def _looked_at(self, connection: Connection, current: ProposalRecord, proposal_sha256: str) -> ProposalRecord:
        if current.sha256 == proposal_sha256:
            return current
        older = select(proposals).where(proposals.c.case_id == current.case_id, proposals.c.sha256 == proposal_sha256)
        row = connection.execute(older.order_by(proposals.c.round.desc())).first()
        if row is None:
            raise _stale(current, proposal_sha256)
        return to_proposal(row)

    def _same_or_refuse(
        self,
        connection: Connection,
        current: ProposalRecord,
        judged: ProposalRecord,
        verdict: VerdictKind,
        rejected: list[int],
        reviewer: str,
    ) -> VerdictRecord:
        standing = and_(verdicts.c.proposal_id == judged.proposal_id, verdicts.c.withdrawn.is_(None))
        row = connection.execute(_select_verdicts().where(standing)).first()
        if row is not None:
            found = _to_verdict(row)
            if found.verdict is verdict and list(found.rejected_slices) == rejected and found.reviewer == reviewer:
                return found
            if judged.proposal_id == current.proposal_id:
                by = "you" if found.reviewer == reviewer else found.reviewer
                mend = f"; take verdict {found.verdict_id} back first" if by == "you" else ""
                raise AlreadyDecided(
                    f"this proposal of case {current.case_id!r} was already decided ({found.verdict}) by {by} "
                    f"at {found.ts}{mend}"
                )
        raise _stale(current, judged.sha256)


def _stale(current: ProposalRecord, proposal_sha256: str) -> StaleProposal:
    return StaleProposal(
        f"proposal {proposal_sha256[:12]} of case {current.case_id!r} is stale: round {current.round} proposes "
        f"{current.sha256[:12]}; fetch it and judge that one"
    )


def _split(
    proposal: ProposalRecord, verdict: VerdictKind, rejected_slices: Sequence[int]
) -> tuple[VerdictKind, list[int], list[int]]:
    rejected = sorted(set(rejected_slices))
    if verdict is VerdictKind.REJECT:
        return verdict, [], list(proposal.slices)
    without_mask = sorted(set(rejected) - set(proposal.slices))
    if without_mask:
        raise ValueError(
            f"slices {without_mask} have no mask in this proposal; those that have: {list(proposal.slices)}"
        )
    accepted = [number for number in proposal.slices if number not in rejected]
    if proposal.slices and not accepted:
        return VerdictKind.REJECT, [], rejected
    return verdict, accepted, rejected


def _select_verdicts() -> Any:
    joined = verdicts.join(proposals, proposals.c.proposal_id == verdicts.c.proposal_id)
    return select(verdicts, proposals.c.sha256.label("proposal_sha256"), proposals.c.model_sha256).select_from(joined)


def _one(connection: Connection, verdict_id: int) -> VerdictRecord:
    return _to_verdict(connection.execute(_select_verdicts().where(verdicts.c.verdict_id == verdict_id)).one())


def _to_verdict(row: Row[Any]) -> VerdictRecord:
    return VerdictRecord(
        verdict_id=row.verdict_id,
        proposal_id=row.proposal_id,
        case_id=row.case_id,
        round=row.round,
        proposal_sha256=row.proposal_sha256,
        model_sha256=row.model_sha256,
        verdict=VerdictKind(row.verdict),
        accepted_slices=tuple(row.accepted_slices),
        rejected_slices=tuple(row.rejected_slices),
        reviewer=row.reviewer,
        client=row.client,
        reason=row.reason,
        comment=row.comment,
        seconds=row.seconds,
        ts=row.ts,
        used_by=row.used_by,
        withdrawn=row.withdrawn,
    )
