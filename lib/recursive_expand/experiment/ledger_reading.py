"""What a run's ledger recorded: the experiment's only access to ledgers and proposals."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recursive_expand.archives.images import read_geometry
from recursive_expand.errors import RecursiveExpandError
from recursive_expand.expand.frozen import frozen_mask
from recursive_expand.expand.workspace import Workspace
from recursive_expand.ledger import Ledger, ProposalRecord, RoundRecord, VerdictRecord


@dataclass(frozen=True)
class RunRound:
    """A round that published a model.

    Attributes:
        record: the ledger's record.
        model: SHA-256 of the weights that it proposed with.
        weights: their file.
        proposed: number of cases with a proposal.
        accepted, rejected: number of verdicts.
        accepted_slices, rejected_slices: number of slices.
    """

    record: RoundRecord
    model: str
    weights: Path
    proposed: int
    accepted: int
    rejected: int
    accepted_slices: int
    rejected_slices: int

    @property
    def index(self) -> int:
        """The round's number, from 0."""
        return self.record.round


@dataclass(frozen=True)
class Reviewed:
    """A standing verdict with its proposal.

    Attributes:
        verdict: the ledger's record.
        confidence: the proposal's.
        score: the probability of acceptance by which the queue was ordered; None if it was not.
        voxels: marked voxels of each of the proposal's slices, by class: K numbers per slice number.
    """

    verdict: VerdictRecord
    confidence: float
    score: float | None
    voxels: dict[int, tuple[int, ...]]


@dataclass(frozen=True)
class RunRecord:
    """What a run recorded.

    Attributes:
        rounds: in order.
        reviewed: in the order of the review.
        roles: number of usable cases by role.
    """

    rounds: tuple[RunRound, ...]
    reviewed: tuple[Reviewed, ...]
    roles: dict[str, int]


def read_run(workspace: Workspace, classes: int) -> RunRecord:
    """Read a run's ledger; its server need not be running.

    Args:
        workspace: the run's.
        classes: number K of classes.

    Raises:
        RecursiveExpandError: the ledger's hash chain is broken.
    """
    ledger = Ledger(workspace.ledger)
    try:
        broken = ledger.first_broken_event()
        if broken is not None:
            raise RecursiveExpandError(f"{workspace.ledger}: the hash chain is broken at event {broken}")
        standing = sorted(ledger.standing_verdicts(), key=lambda verdict: verdict.verdict_id)
        return RunRecord(
            rounds=tuple(_round(ledger, workspace, record) for record in ledger.list_rounds() if record.model),
            reviewed=tuple(_reviewed(ledger, workspace, verdict, classes) for verdict in standing),
            roles=ledger.count_by_role(),
        )
    finally:
        ledger.close()


def _round(ledger: Ledger, workspace: Workspace, record: RoundRecord) -> RunRound:
    assert record.model is not None
    counts = ledger.count_verdicts(record.round)
    return RunRound(
        record=record,
        model=record.model,
        weights=workspace.model(record.model),
        proposed=sum(ledger.count_proposals(record.round).values()),
        accepted=counts["accept"],
        rejected=counts["reject"],
        accepted_slices=counts["accepted_slices"],
        rejected_slices=counts["rejected_slices"],
    )


def _reviewed(ledger: Ledger, workspace: Workspace, verdict: VerdictRecord, classes: int) -> Reviewed:
    proposal = ledger.proposal_of_round(verdict.case_id, verdict.round)
    assert proposal is not None
    return Reviewed(verdict, proposal.confidence, proposal.score, _voxels(workspace, proposal, classes))


def _voxels(workspace: Workspace, proposal: ProposalRecord, classes: int) -> dict[int, tuple[int, ...]]:
    geometry = read_geometry(workspace.proposal(proposal.round, proposal.case_id))
    mask = geometry.orientation.to_slices(frozen_mask(workspace, proposal.round, proposal.case_id))
    counts = {number: np.bincount(mask[number].ravel(), minlength=classes + 1)[1:] for number in proposal.slices}
    return {number: tuple(int(voxels) for voxels in by_class) for number, by_class in counts.items()}
