"""A round of the recursion, as the ledger answers with it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any


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
    def proposes_at(self) -> dict[str, Any] | None:
        """The settings that it chose for its proposals, by their names; None if it did not."""
        if self.operating_point is None:
            return None
        area = self.operating_point.get("min_area")
        return {"foreground_threshold": self.thresholds} | ({} if area is None else {"min_area": area})

    @property
    def may_propose(self) -> bool:
        """Whether it has its model and, where it is to choose that, where to propose."""
        fixed = self.config.get("method", {}).get("operating_point", "fixed") == "fixed"
        return self.model is not None and (fixed or self.thresholds is not None)

    @property
    def imported(self) -> bool:
        """Whether its proposals are masks of other tools: it is under review, or was, without ever having a model."""
        return self.model is None and self.state in (RoundState.REVIEWING, RoundState.CLOSED, RoundState.CONVERGED)
