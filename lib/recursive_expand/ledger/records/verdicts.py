"""Verdicts: who gave them, what they say slice by slice, and how they were read."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class VerdictKind(StrEnum):
    """An expert's answer."""

    ACCEPT = "accept"
    REJECT = "reject"


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
