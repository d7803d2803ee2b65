"""Proposals, as the ledger takes them and answers with them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class ProposalState(StrEnum):
    """What became of a proposal."""

    OPEN = "open"
    """It waits for a verdict and is served."""
    HELD = "held"
    """Not served now: its round is still proposing, or its case was set aside."""
    EMPTY = "empty"
    """No foreground: not served."""
    UNCHANGED = "unchanged"
    """Hardly differs from one that was rejected: not served."""
    DECIDED = "decided"
    PROPAGATED = "propagated"
    """Nobody judged it: it is accepted because those of its cluster that were judged all are."""
    SUPERSEDED = "superseded"
    """A later round proposed anew before anyone decided; or it is a second chance whose rejection was taken back."""


@dataclass(frozen=True)
class ProposedSlice:
    """What a proposal marks of one class in one slice.

    Attributes:
        slice: its number.
        class_name: the class.
        voxels: number of voxels.
        confidence: mean probability of the slice's mask, 0..1.
    """

    slice: int
    class_name: str
    voxels: int
    confidence: float | None = None


@dataclass(frozen=True)
class Features:
    """What acceptance of a proposal is predicted from, beside its confidence and leading class.

    Attributes:
        log_area: natural logarithm of the foreground's area in mm2, over all slices.
        components: number of 8-connected components, over all slices.
        flip_dice: mean Dice with the prediction of the mirror image; None without flips.
        snapshot_dice: mean Dice of every two of f and its snapshots; None without snapshots.
    """

    log_area: float
    components: int
    flip_dice: float | None = None
    snapshot_dice: float | None = None


@dataclass(frozen=True)
class ProposalDraft:
    """A proposal that is about to be frozen; its files are already durable.

    Attributes:
        case_id: whose mask it is.
        sha256: of the decoded native voxels (`LabelMap.sha256`).
        model_sha256: of the weights that made it; of an imported mask, of the file that it was imported from.
        file: the mask's file, relative to the workspace.
        marked: what it marks, by slice and class; empty for an empty mask.
        confidence: mean probability of the mask's voxels, 0..1; 0 where empty or not known.
        unchanged_slices: slices emptied because their mask hardly differed from a rejected one.
        unchanged: whether the whole proposal hardly differs from a rejected one.
        features: what its acceptance is predicted from; None for an empty mask.
        tool: who made an imported mask; None for f and g.
        chance: 0 for the round's first proposal of the case, 1 for its second chance.
        follows: of a second chance, the id of the verdict whose rejection it answers.
    """

    case_id: str
    sha256: str
    model_sha256: str
    file: str
    marked: tuple[ProposedSlice, ...]
    confidence: float
    unchanged_slices: tuple[int, ...] = ()
    unchanged: bool = False
    features: Features | None = None
    tool: str | None = None
    chance: int = 0
    follows: int | None = None


@dataclass(frozen=True)
class ProposalRecord:
    """A frozen proposal: see `ProposalDraft`.

    `slices` are the numbers of the slices with a mask, `voxels` its voxels by class; `score` is the probability with
    which it was expected to be accepted when the queue was last put in order, None before.
    """

    proposal_id: int
    case_id: str
    round: int
    sha256: str
    model_sha256: str
    file: str
    state: ProposalState
    slices: tuple[int, ...]
    unchanged_slices: tuple[int, ...]
    voxels: dict[str, int]
    confidence: float
    score: float | None = None
    tool: str | None = None
    chance: int = 0


@dataclass(frozen=True)
class Rejected:
    """A first proposal that was rejected, whole or in part, and has had no second chance yet.

    Attributes:
        proposal: the proposal.
        verdict_id: the verdict.
        slices: numbers of the rejected slices.
        flip_dice, snapshot_dice: of the proposal's `Features`.
    """

    proposal: ProposalRecord
    verdict_id: int
    slices: tuple[int, ...]
    flip_dice: float | None
    snapshot_dice: float | None


@dataclass(frozen=True)
class Candidate:
    """A proposal as the queue's order looks at it.

    Attributes:
        proposal_id: the proposal.
        leading_class: has most of its voxels.
        confidence: mean probability of its voxels, 0..1.
        features: None for an empty mask, and in ledgers of 0.1.0.
        slices: number of slices with a mask.
        judged_before: whether an earlier proposal of the case was judged: what is left was rejected, or not marked. Of
            a second chance too.
    """

    proposal_id: int
    leading_class: str
    confidence: float
    features: Features | None
    slices: int
    judged_before: bool


@dataclass(frozen=True)
class JudgedProposal(Candidate):
    """A proposal with a standing verdict: the number of its slices that were accepted and rejected."""

    accepted: int
    rejected: int


@dataclass(frozen=True)
class CalibrationSlice:
    """What a round's model proposes on a slice whose true mask is known, and that it did not learn from.

    Attributes:
        key: which slice: the same in every round.
        leading_class, confidence, features, judged_before: as of a `Candidate` of this one slice.
        wrong: share of its marked voxels that are not in the true mask, or there of another class.
    """

    key: str
    leading_class: str
    confidence: float
    features: Features
    judged_before: bool
    wrong: float
