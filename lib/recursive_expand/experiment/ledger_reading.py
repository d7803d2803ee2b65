"""What a run's ledger recorded: the experiment's only access to ledgers and proposals."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recursive_expand.cases import Role
from recursive_expand.errors import RecursiveExpandError
from recursive_expand.expand.observed import observed_acceptance
from recursive_expand.expand.workspace import Workspace
from recursive_expand.ledger import Ledger, RoundRecord, VerdictRecord
from recursive_expand.ledger.backup import back_up


@dataclass(frozen=True)
class RunRound:
    """A round that published a model.

    Attributes:
        record: the ledger's record.
        model: SHA-256 of the weights that it proposed with.
        weights: their file.
        proposed: number of cases with a proposal.
        accepted, rejected: number of verdicts on first looks.
        accepted_slices, rejected_slices: number of slices of first looks.
        second: the same four of second looks, as `Judgements.count` names them.
        observed: see `observed_acceptance`.
    """

    record: RoundRecord
    model: str
    weights: Path
    proposed: int
    accepted: int
    rejected: int
    accepted_slices: int
    rejected_slices: int
    second: dict[str, int]
    observed: dict[str, Any] | None = None

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
        learned_from: the cases of the pixel set by the hash of their expert mask's voxels.
        head: hash of the ledger's last event.
    """

    rounds: tuple[RunRound, ...]
    reviewed: tuple[Reviewed, ...]
    roles: dict[str, int]
    learned_from: dict[str, str]
    head: str


def read_run(workspace: Workspace, classes: Sequence[str] | None = None) -> RunRecord:
    """Read a run's ledger; its server may be running or not. Nothing is written in the workspace.

    Args:
        workspace: the run's.
        classes: the K class names; None: as the first round recorded them.

    Raises:
        InputError: there is no ledger.
        RecursiveExpandError: the ledger is not as it was recorded.
    """
    with _copied(workspace.ledger) as ledger:
        difference = ledger.audit.verify()
        if difference is not None:
            raise RecursiveExpandError(f"{workspace.ledger}: {difference}")
        if classes is None:
            config: dict[str, Any] = next((record.config for record in ledger.rounds.all()), {})
            classes = config.get("task", config).get("classes", ())
        return RunRecord(
            rounds=tuple(_round(ledger, workspace, record) for record in ledger.rounds.all() if record.model),
            reviewed=tuple(_reviewed(ledger, verdict, classes) for verdict in ledger.judgements.verdicts()),
            roles=ledger.cases.count_by_role(),
            learned_from={
                case.pixel_sha256: case.case_id
                for case in ledger.cases.iterate(roles=[Role.PIXEL])
                if case.pixel_sha256 is not None
            },
            head=ledger.audit.head()[1],
        )


@contextmanager
def _copied(location: Path) -> Iterator[Ledger]:
    """A ledger's copy: to open the original would write beside it, and bring an older one to the present schema."""
    with tempfile.TemporaryDirectory(prefix="recursive_expand_ledger_") as folder:
        back_up(location, Path(folder) / location.name)
        ledger = Ledger(Path(folder) / location.name)
        try:
            yield ledger
        finally:
            ledger.close()


def _round(ledger: Ledger, workspace: Workspace, record: RoundRecord) -> RunRound:
    assert record.model is not None
    counts = ledger.judgements.count(record.round, chance=0)
    return RunRound(
        record=record,
        model=record.model,
        weights=workspace.model(record.model),
        proposed=sum(ledger.proposals.count(record.round).values()),
        accepted=counts["accept"],
        rejected=counts["reject"],
        accepted_slices=counts["accepted_slices"],
        rejected_slices=counts["rejected_slices"],
        second=ledger.judgements.count(record.round, chance=1),
        observed=observed_acceptance(ledger, record),
    )


def _reviewed(ledger: Ledger, verdict: VerdictRecord, classes: Sequence[str]) -> Reviewed:
    proposal = ledger.proposals.of_round(verdict.case_id, verdict.round, sha256=verdict.proposal_sha256)
    assert proposal is not None
    counts = {number: dict.fromkeys(classes, 0) for number in proposal.slices}
    for one in ledger.proposals.marked(proposal.proposal_id):
        counts[one.slice][one.class_name] += one.voxels
    voxels = {number: tuple(by_class.values()) for number, by_class in counts.items()}
    return Reviewed(verdict, proposal.confidence, proposal.score, voxels)
