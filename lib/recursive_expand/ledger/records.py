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
        name: what clients call the image's file.
        signature: changes when the image changes.
        slices: number of slices, 0 while it has never been usable.
        image_labels: classes said to be present, by slice number; None is the whole case.
        pixel_sha256: of the expert mask's decoded voxels (`LabelMap.sha256`), for the roles pixel and test; None where
            there is none.
        validation: whether it is locked: never trained on, by its mask or its accepted slices models are compared.
        info: what clients attached to the image.
        patient: whose it is, as a pseudonym; None where that is not known.
        series_instance_uid: of the DICOM series that it came from, where that is known.
    """

    case_id: str
    role: Role
    state: CaseState
    reason: str | None
    name: str
    signature: str
    slices: int
    image_labels: dict[int | None, ImageLabels]
    pixel_sha256: str | None
    validation: bool
    info: dict[str, Any]
    patient: str | None = None
    series_instance_uid: str | None = None

    @property
    def has_expert_mask(self) -> bool:
        """Whether an expert's mask of it counts."""
        return self.role in (Role.PIXEL, Role.TEST) and self.pixel_sha256 is not None


@dataclass(frozen=True)
class Actor:
    """Who acts.

    Attributes:
        reviewer: the person, or the client that did not say for whom.
        client: the program.
        authenticated: whether the reviewer logged in; else the name is self-declared.
    """

    reviewer: str
    client: str
    authenticated: bool = False


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


@dataclass(frozen=True)
class Judgement:
    """What a standing verdict says of one slice.

    Attributes:
        case_id, round, proposal_sha256: of the proposal.
        verdict_id: the verdict that it is part of.
        reviewer: who gave it.
        slice: the slice's number.
        accepted: whether the slice's mask was accepted.
        used_by: the round whose training set first saw it, None if none did.
    """

    case_id: str
    round: int
    proposal_sha256: str
    verdict_id: int
    reviewer: str
    slice: int
    accepted: bool
    used_by: int | None


QUICK_SECONDS = 0.3
"""A verdict that comes sooner after its picture was answered by a finger, not by an eye."""


@dataclass(frozen=True)
class ReadingFacts:
    """How a verdict was read. Which proposal and which model it was is in the verdict's own row.

    Attributes:
        client_verdict_id: made by the client; a verdict that is sent again has the same.
        session: one opening of the page; seed: what the queue's order rests on; position: place in the session, from 0.
        first_paint, first_input, decided: seconds since the epoch by the client's clock; no first input where the
            verdict was it.
        visible_seconds: how long the picture was in view.
        slices_seen: numbers of the slices that were drawn.
        window_level, window_width: in HU, at the time of the verdict; zoom: 1 where a slice fills its tile.
        overlay: whether the contours were on; overlay_off_seconds: how long they were not.
        view: sheet or case; input_device: keyboard, mouse or touch.
        client_version: of the page.
        bulk: whether it was given to all that a sheet showed at once.
    """

    client_verdict_id: str
    session: str
    seed: int
    position: int
    first_paint: float
    first_input: float | None
    decided: float
    visible_seconds: float
    slices_seen: tuple[int, ...]
    window_level: float
    window_width: float
    zoom: float
    overlay: bool
    overlay_off_seconds: float
    view: str
    input_device: str
    client_version: str
    bulk: bool = False

    @property
    def quick(self) -> bool:
        """Whether it came within `QUICK_SECONDS` of its first paint."""
        return self.decided - self.first_paint < QUICK_SECONDS


@dataclass(frozen=True)
class VerdictRecord:
    """An expert's verdict on a proposal.

    Attributes:
        accepted_slices: slices of the proposal that were accepted; rejected_slices: those that were rejected.
        reviewer, client, authenticated: see `Actor`; reason, comment: why; seconds: how long it took, if known.
        ts: when, ISO 8601 in UTC.
        used_by: the round whose training set first saw it; None while it can be taken back.
        withdrawn: when it was taken back, else None.
        tool: who made the proposal, if it was imported.
        chance: of the proposal: 1 for a second chance.
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
    authenticated: bool
    reason: str | None
    comment: str | None
    seconds: float | None
    ts: str
    used_by: int | None
    withdrawn: str | None
    tool: str | None = None
    chance: int = 0


@dataclass(frozen=True)
class RoundRecord:
    """One recursion.

    Attributes:
        round: its number, from 0.
        state: where it stands; `error` says why it failed.
        base_model: SHA-256 of the weights it started from, None in round 0.
        trained_model: SHA-256 of the weights it made, None until trained.
        model: SHA-256 of the weights it proposes with: the trained ones, or the old ones if the gate held them back.
            None until then, and where its proposals were imported.
        config: the task it runs, as JSON.
        training_set_sha256: hash of what it trains on (`Rounds.training_set`).
        last_verdict: the newest verdict that its training set knew, 0 if there was none.
        head: the audit chain's head when it started.
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
    last_verdict: int
    head: str
    report: dict[str, Any]
    attempts: int

    @property
    def operating_point(self) -> dict[str, Any] | None:
        """What it chose for its model under its present settings (`Rounds.choose_operating_point`); None if nothing."""
        chosen: dict[str, Any] | None = self.report.get("operating_point")
        return None if chosen is None or chosen["config_sha256"] != self.config_sha256 else chosen

    @property
    def thresholds(self) -> dict[str, float] | None:
        """The foreground thresholds by class that it chose; None if it did not."""
        return None if self.operating_point is None else dict(self.operating_point["thresholds"])

    @property
    def may_propose(self) -> bool:
        """Whether it has its model and, where it is to choose them, the thresholds to propose at."""
        fixed = self.config.get("method", {}).get("operating_point", "fixed") == "fixed"
        return self.model is not None and (fixed or self.thresholds is not None)

    @property
    def imported(self) -> bool:
        """Whether its proposals are masks of other tools: it is under review, or was, without ever having a model."""
        return self.model is None and self.state in (RoundState.REVIEWING, RoundState.CLOSED, RoundState.CONVERGED)
