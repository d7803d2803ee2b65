"""The ledger's proposals: frozen masks, the queue that serves them, and its leases."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from sqlalchemy import Connection, Row, and_, case, delete, exists, func, insert, select, update

from recursive_expand.ledger.errors import OutdatedDraft
from recursive_expand.ledger.records import (
    Candidate,
    CaseState,
    JudgedProposal,
    ProposalDraft,
    ProposalRecord,
    ProposalState,
)
from recursive_expand.ledger.store import Store
from recursive_expand.ledger.tables import cases, leases, proposals, verdicts

UNDECIDED = (ProposalState.OPEN, ProposalState.EMPTY, ProposalState.UNCHANGED)


class Proposals(Store):
    """Proposals, their queue and its leases."""

    def freeze(
        self, round_index: int, draft: ProposalDraft, *, serve: bool = False, judged: Collection[int] | None = None
    ) -> ProposalRecord:
        """Record a proposal whose files are durable; the case's undecided older one is superseded.

        A case has one proposal a round: if it has one already, that one stands and is returned.

        Args:
            round_index: the round it belongs to.
            draft: what is frozen.
            serve: put it at the end of the queue at once (it was made outside the round's bulk proposing).
            judged: ids of the case's standing verdicts that the draft takes account of, if it does.

        Raises:
            OutdatedDraft: those are no longer the case's standing verdicts.
        """
        with self.write() as connection:
            existing = connection.execute(_of_round(draft.case_id, round_index)).first()
            if existing:
                return to_proposal(existing)
            standing = select(verdicts.c.verdict_id).where(
                verdicts.c.case_id == draft.case_id, verdicts.c.withdrawn.is_(None)
            )
            if judged is not None and set(connection.execute(standing).scalars()) != set(judged):
                raise OutdatedDraft(f"case {draft.case_id!r} was judged while it was proposed anew; propose it again")
            if draft.unchanged:
                state = ProposalState.UNCHANGED
            else:
                state = ProposalState.OPEN if draft.slices else ProposalState.EMPTY
            connection.execute(
                update(proposals)
                .where(proposals.c.case_id == draft.case_id, proposals.c.state.in_(UNDECIDED))
                .values(state=ProposalState.SUPERSEDED, position=None)
            )
            connection.execute(delete(leases).where(leases.c.case_id == draft.case_id))
            last = select(func.coalesce(func.max(proposals.c.position), -1))
            position = connection.execute(last).scalar_one() + 1 if serve and state is ProposalState.OPEN else None
            leading = max(draft.voxels, key=lambda name: draft.voxels[name], default=None)
            connection.execute(
                insert(proposals).values(
                    case_id=draft.case_id,
                    round=round_index,
                    sha256=draft.sha256,
                    model_sha256=draft.model_sha256,
                    state=state,
                    slices=list(draft.slices),
                    unchanged_slices=list(draft.unchanged_slices),
                    voxels=draft.voxels,
                    confidence=draft.confidence,
                    leading_class=leading,
                    position=position,
                    features=draft.features,
                )
            )
            self.record(
                connection,
                "proposal_frozen",
                case_id=draft.case_id,
                round=round_index,
                proposal=draft.sha256,
                model=draft.model_sha256,
                state=state,
            )
            return to_proposal(connection.execute(_of_round(draft.case_id, round_index)).one())

    def proposed_in(self, round_index: int) -> set[str]:
        """Ids of the cases that have a proposal of this round."""
        with self.read() as connection:
            return set(
                connection.execute(select(proposals.c.case_id).where(proposals.c.round == round_index)).scalars()
            )

    def proposals_of(self, case_id: str) -> list[ProposalRecord]:
        """All proposals of a case, oldest first."""
        query = select(proposals).where(proposals.c.case_id == case_id).order_by(proposals.c.round)
        with self.read() as connection:
            return [to_proposal(row) for row in connection.execute(query)]

    def current_proposal(self, case_id: str) -> ProposalRecord | None:
        """The newest proposal of a case, decided or not."""
        with self.read() as connection:
            return latest_proposal(connection, case_id)

    def proposal_of_round(self, case_id: str, round_index: int) -> ProposalRecord | None:
        """A case's proposal of one round."""
        with self.read() as connection:
            row = connection.execute(_of_round(case_id, round_index)).first()
        return to_proposal(row) if row else None

    def open_candidates(self) -> list[Candidate]:
        """Every open proposal, as the queue's order and triage look at it."""
        query = select(proposals).where(proposals.c.state == ProposalState.OPEN).order_by(proposals.c.proposal_id)
        with self.read() as connection:
            return [
                Candidate(row.proposal_id, row.leading_class or "", row.confidence, row.features)
                for row in connection.execute(query)
            ]

    def judged_proposals(self) -> list[JudgedProposal]:
        """Every proposal whose verdict stands, of all rounds."""
        query = (
            select(
                proposals.c.proposal_id,
                proposals.c.leading_class,
                proposals.c.features,
                verdicts.c.accepted_slices,
                verdicts.c.rejected_slices,
            )
            .join(verdicts, verdicts.c.proposal_id == proposals.c.proposal_id)
            .where(verdicts.c.withdrawn.is_(None))
            .order_by(proposals.c.proposal_id)
        )
        with self.read() as connection:
            return [
                JudgedProposal(
                    row.proposal_id,
                    row.leading_class or "",
                    row.features,
                    len(row.accepted_slices),
                    len(row.rejected_slices),
                )
                for row in connection.execute(query)
            ]

    def next_proposal(self, client: str, *, now: float, lease_seconds: float, skip: str | None = None) -> str | None:
        """Lease the next undecided proposal to a client and return its case id, or None when nothing is left.

        A client that holds a lease gets the same case again, so that asking twice loses nothing.

        Args:
            client: who asks.
            now: seconds since the epoch.
            lease_seconds: how long the case is kept from other clients.
            skip: a case id that this client gives back and does not want now.
        """
        queued = and_(_waiting(), proposals.c.position.is_not(None))
        with self.write() as connection:
            connection.execute(delete(leases).where(leases.c.expires <= now))
            if skip is not None:
                given_back = and_(leases.c.case_id == skip, leases.c.client == client)
                connection.execute(delete(leases).where(given_back))
            held = connection.execute(select(leases.c.case_id).where(leases.c.client == client)).scalars().all()
            # `queued` is no condition here: for it SQLite would walk the whole queue instead of looking up these cases.
            mine = select(proposals.c.position, proposals.c.case_id, queued.label("queued"))
            found = connection.execute(mine.where(proposals.c.case_id.in_(held))).all() if held else []
            case_id = min(((row.position, row.case_id) for row in found if row.queued), default=(None, None))[1]
            if case_id is None:
                free = select(proposals.c.case_id).where(
                    queued, ~exists().where(leases.c.case_id == proposals.c.case_id)
                )
                in_order = free.order_by(proposals.c.position)
                if skip is not None:  # the skipped one comes last: only when nothing else is left
                    in_order = free.order_by(proposals.c.case_id == skip, proposals.c.position)
                case_id = connection.execute(in_order.limit(1)).scalar()
            if case_id is not None:
                connection.execute(delete(leases).where(leases.c.case_id == case_id))
                connection.execute(insert(leases).values(case_id=case_id, client=client, expires=now + lease_seconds))
            return case_id

    def queue(self, *, now: float, limit: int = 100, offset: int = 0) -> list[tuple[ProposalRecord, str | None]]:
        """Undecided proposals in the order in which they are served, each with the client that holds its lease."""
        held = and_(leases.c.case_id == proposals.c.case_id, leases.c.expires > now)
        query = (
            select(proposals, leases.c.client)
            .outerjoin(leases, held)
            .where(_waiting(), proposals.c.position.is_not(None))
            .order_by(proposals.c.position)
            .limit(limit)
            .offset(offset)
        )
        with self.read() as connection:
            return [(to_proposal(row), row.client) for row in connection.execute(query)]

    def queued_case(self, *, first: bool) -> str | None:
        """An undecided, queued case regardless of leases: the first by id, or a random one."""
        query = select(proposals.c.case_id).where(_waiting(), proposals.c.position.is_not(None))
        query = query.order_by(proposals.c.case_id) if first else query.order_by(func.random())
        with self.read() as connection:
            return connection.execute(query.limit(1)).scalar()

    def count_proposals(self, round_index: int) -> dict[str, int]:
        """Number of a round's proposals by state."""
        counts = {state.value: 0 for state in ProposalState}
        query = select(proposals.c.state, func.count()).where(proposals.c.round == round_index)
        with self.read() as connection:
            counts.update({s: n for s, n in connection.execute(query.group_by(proposals.c.state))})
        return counts

    def count_undecided(self) -> int:
        """Number of proposals that still wait for a verdict."""
        every = select(func.count()).select_from(proposals).where(proposals.c.state == ProposalState.OPEN)
        # The few of cases set aside are counted by case: to look up each open proposal's case takes 0.1 s at 25,000.
        aside = select(func.coalesce(func.sum(case((proposals.c.state == ProposalState.OPEN, 1), else_=0)), 0)).where(
            proposals.c.case_id.in_(select(cases.c.case_id).where(cases.c.state == CaseState.SET_ASIDE))
        )
        with self.read() as connection:
            return connection.execute(every).scalar_one() - connection.execute(aside).scalar_one()

    def order_queue(self, connection: Connection, order: Iterable[int], scores: Mapping[int, float]) -> None:
        """Give the open proposals with these ids their places in the queue, and the scores behind these."""
        for position, proposal_id in enumerate(order):
            connection.execute(
                update(proposals)
                .where(proposals.c.proposal_id == proposal_id)
                .values(position=position, score=scores.get(proposal_id))
            )


def _waiting() -> Any:
    """A proposal waits for a verdict: it is undecided, and its case has not been set aside since."""
    usable = exists().where(cases.c.case_id == proposals.c.case_id, cases.c.state == CaseState.READY)
    return and_(proposals.c.state == ProposalState.OPEN, usable)


def _of_round(case_id: str, round_index: int) -> Any:
    return select(proposals).where(proposals.c.case_id == case_id, proposals.c.round == round_index)


def latest_proposal(connection: Connection, case_id: str) -> ProposalRecord | None:
    """The newest proposal of a case, within a transaction."""
    query = select(proposals).where(proposals.c.case_id == case_id).order_by(proposals.c.round.desc()).limit(1)
    row = connection.execute(query).first()
    return to_proposal(row) if row else None


def to_proposal(row: Row[Any]) -> ProposalRecord:
    """A row of the proposals table as a record."""
    return ProposalRecord(
        proposal_id=row.proposal_id,
        case_id=row.case_id,
        round=row.round,
        sha256=row.sha256,
        model_sha256=row.model_sha256,
        state=ProposalState(row.state),
        slices=tuple(row.slices),
        unchanged_slices=tuple(row.unchanged_slices),
        voxels=row.voxels,
        confidence=row.confidence,
        position=row.position,
        score=row.score,
    )
