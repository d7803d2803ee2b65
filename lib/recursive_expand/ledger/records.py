"""What the ledger answers with: one frozen record per table row."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from recursive_expand.cases import ImageLabels, Role


class CaseState(StrEnum):
    """Whether a case can be used."""

    READY = "ready"
    SET_ASIDE = "set_aside"
    """Bad input: kept out, with the reason, until its file changes."""


class RoundState(StrEnum):
    """Where a round stands: training -> proposing -> reviewing -> closed, or out of the first two: failed, stopped."""

    TRAINING = "training"
    PROPOSING = "proposing"
    REVIEWING = "reviewing"
    CLOSED = "closed"
    """Its review is over and it expanded: the next round follows."""
    CONVERGED = "converged"
    """Its review is over and it expanded to nothing new: the recursion has stopped."""
    FAILED = "failed"
    STOPPED = "stopped"


class ProposalState(StrEnum):
    """What became of a proposal."""

    OPEN = "open"
    EMPTY = "empty"
    """No foreground: not served."""
    UNCHANGED = "unchanged"
    """Hardly differs from one that was rejected: not served."""
    DECIDED = "decided"
    SUPERSEDED = "superseded"
    """A later round proposed anew before anyone decided."""


class VerdictKind(StrEnum):
    """An expert's answer."""

    ACCEPT = "accept"
    REJECT = "reject"


@dataclass(frozen=True)
class CaseRecord:
    """One image of the datastore.

    Attributes:
        case_id: the image id that clients use.
        role: what the case may be used for.
        state: whether it can be used; `reason` says why not.
        uri: where the archive keeps the image.
        signature: changes when the image changes.
        slices: number of slices, 0 while it has never been usable.
        image_labels: classes said to be present, by slice number; None is the whole case.
        pixel_label: the expert mask's file, for the roles pixel and test.
        pixel_sha256: of that mask's decoded voxels (`voxel_sha256`).
        validation: whether a pixel case belongs to the locked validation share.
        info: what clients attached to the image.
        patient: whose it is, as a pseudonym; None where that is not known.
    """

    case_id: str
    role: Role
    state: CaseState
    reason: str | None
    uri: str
    signature: str
    slices: int
    image_labels: dict[int | None, ImageLabels]
    pixel_label: str | None
    pixel_sha256: str | None
    validation: bool
    info: dict[str, Any]
    patient: str | None = None


@dataclass(frozen=True)
class ProposalDraft:
    """A proposal that is about to be frozen; its files are already durable.

    Attributes:
        case_id: whose mask it is.
        sha256: of the decoded native voxels.
        model_sha256: of the weights that made it.
        slices: numbers of the slices with foreground.
        unchanged_slices: slices emptied because their mask hardly differed from a rejected one.
        voxels: foreground voxels by class name.
        confidence: mean probability of the mask's voxels, 0..1; 0 where empty.
        unchanged: whether the whole proposal hardly differs from a rejected one.
        features: what its acceptance is foretold from; None unless the queue is ordered by that.
    """

    case_id: str
    sha256: str
    model_sha256: str
    slices: tuple[int, ...]
    unchanged_slices: tuple[int, ...]
    voxels: dict[str, int]
    confidence: float
    unchanged: bool
    features: dict[str, float] | None = None


@dataclass(frozen=True)
class ProposalRecord:
    """A frozen proposal: see `ProposalDraft`.

    `position` is its place in the queue, None when not served; `score` the probability with which it was expected to
    be accepted when the queue opened, None unless the queue is ordered by that.
    """

    proposal_id: int
    case_id: str
    round: int
    sha256: str
    model_sha256: str
    state: ProposalState
    slices: tuple[int, ...]
    unchanged_slices: tuple[int, ...]
    voxels: dict[str, int]
    confidence: float
    position: int | None
    score: float | None = None


@dataclass(frozen=True)
class Candidate:
    """An open proposal, as triage looks at it: see `ProposalDraft`; `leading_class` has most of its voxels."""

    proposal_id: int
    leading_class: str
    confidence: float
    features: dict[str, float] | None


@dataclass(frozen=True)
class JudgedProposal:
    """A proposal with a standing verdict: the number of its slices that were accepted and rejected."""

    proposal_id: int
    leading_class: str
    features: dict[str, float] | None
    accepted: int
    rejected: int


@dataclass(frozen=True)
class VerdictRecord:
    """An expert's verdict on a proposal.

    Attributes:
        accepted_slices: slices of the proposal that were accepted; rejected_slices: those that were rejected.
        reviewer, client: who, and from which client; reason, comment: why; seconds: how long it took, if known.
        ts: when, ISO 8601 in UTC.
        used_by: the round whose training set first saw it; None while it can be taken back.
        withdrawn: when it was taken back, else None.
    """

    verdict_id: int
    proposal_id: int
    case_id: str
    round: int
    proposal_sha256: str
    model_sha256: str
    verdict: VerdictKind
    accepted_slices: tuple[int, ...]
    rejected_slices: tuple[int, ...]
    reviewer: str
    client: str
    reason: str | None
    comment: str | None
    seconds: float | None
    ts: str
    used_by: int | None
    withdrawn: str | None


@dataclass(frozen=True)
class RoundRecord:
    """One recursion.

    Attributes:
        round: its number, from 0.
        state: where it stands; `error` says why it failed.
        base_model: SHA-256 of the weights it started from, None in round 0.
        trained_model: SHA-256 of the weights it made, None until trained.
        model: SHA-256 of the weights it proposes with: the trained ones, or the old ones if the gate held them back.
        config: the task it runs, as JSON.
        training_set_sha256: hash of what it trains on (`Rounds.training_set`).
        report: losses, validation, seconds and counts, as JSON.
        attempts: how often it was started without getting further.
    """

    round: int
    state: RoundState
    error: str | None
    started: str
    finished: str | None
    base_model: str | None
    trained_model: str | None
    model: str | None
    promoted: bool | None
    config: dict[str, Any]
    config_sha256: str
    training_set_sha256: str
    report: dict[str, Any]
    attempts: int
