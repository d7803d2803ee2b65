"""What a run does next, decided from the server's status alone."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

_STEPS = {
    "training": "train",
    "proposing": "propose",
    "reviewing": "review",
    "converged": "converged",
    "stopped": "resume_needed",
    "failed": "resume_needed",
}
"""Step by state, for a server whose status has no `step`."""


class Action(StrEnum):
    """What a run does next."""

    WAIT = "wait"
    """The server is busy."""
    REVIEW = "review"
    """The expert reviews the next proposal."""
    LAST_ROUND = "last_round"
    """The verdicts are used up: one more round is trained on them, if they accepted anything."""
    RESUME = "resume"
    """The round failed or was stopped: it is tried again."""
    GIVE_UP = "give_up"
    """There is no expert mask to start from."""
    FINISH = "finish"
    """The recursion is over."""


def step_of(status: Mapping[str, Any]) -> str:
    """The status's `step`, or the one that follows from its `state`."""
    if "step" in status:
        return status["step"]
    if status["state"] == "waiting_for_pixel_labels":
        return "read_studies" if status["message"].startswith("reading") else "wait_for_pixel_labels"
    return _STEPS[status["state"]]


def decide(status: Mapping[str, Any], *, max_rounds: int, max_verdicts: int = 0) -> Action:
    """Decide what a run does next.

    Args:
        status: `GET /recursive/status`.
        max_rounds: recursions after round 0. The last one's proposals need no verdicts: no model would learn from them.
        max_verdicts: verdicts of the whole run; 0: no limit.
    """
    step = step_of(status)
    if step in ("converged", "decided", "offer_end"):
        return Action.FINISH
    if step == "resume_needed":
        return Action.RESUME
    if step in ("wait_for_pixel_labels", "wait_for_proposals"):
        return Action.GIVE_UP
    if step in ("review", "next_round") and status["round"] >= max_rounds:
        return Action.FINISH
    if (status["round"] or 0) > max_rounds:  # where nobody is asked, the server did not wait
        return Action.FINISH
    if step != "review":
        return Action.WAIT
    looks = (status["verdicts"], status.get("second_looks", {}).get("verdicts", {}))
    given = sum(of.get(kind, 0) for of in looks for kind in ("accept", "reject"))
    return Action.LAST_ROUND if max_verdicts and given >= max_verdicts else Action.REVIEW
