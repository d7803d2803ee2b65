"""What a run does next, for every step of a server and for every state of one without steps."""

from __future__ import annotations

from typing import Any

import pytest

from recursive_expand.experiment.steps import Action, decide, step_of


def _status(step: str | None, *, state: str = "reviewing", index: int | None = 0, given: int = 0) -> dict[str, Any]:
    status = {"state": state, "round": index, "message": state, "verdicts": {"accept": given, "reject": 1}}
    return status if step is None else {**status, "step": step}


@pytest.mark.parametrize(
    ("step", "action"),
    [
        ("wait_for_pixel_labels", Action.GIVE_UP),
        ("read_studies", Action.WAIT),
        ("train", Action.WAIT),
        ("propose", Action.WAIT),
        ("review", Action.REVIEW),
        ("next_round", Action.WAIT),
        ("converged", Action.FINISH),
        ("resume_needed", Action.RESUME),
    ],
)
def test_every_step_has_its_action(step: str, action: Action) -> None:
    assert decide(_status(step), max_rounds=1) is action


@pytest.mark.parametrize(
    ("state", "step"),
    [
        ("training", "train"),
        ("proposing", "propose"),
        ("reviewing", "review"),
        ("converged", "converged"),
        ("stopped", "resume_needed"),
        ("failed", "resume_needed"),
        ("waiting_for_pixel_labels", "wait_for_pixel_labels"),
    ],
)
def test_without_a_step_the_state_decides(state: str, step: str) -> None:
    assert step_of(_status(None, state=state)) == step


def test_without_a_step_the_message_tells_reading_from_waiting() -> None:
    status = _status(None, state="waiting_for_pixel_labels", index=None)
    assert step_of({**status, "message": "reading the studies for the first time"}) == "read_studies"


def test_the_step_goes_before_the_state() -> None:
    assert decide(_status("next_round", state="reviewing"), max_rounds=1) is Action.WAIT


@pytest.mark.parametrize("step", ["review", "next_round"])
def test_the_last_recursions_proposals_need_no_verdicts(step: str) -> None:
    assert decide(_status(step, index=2), max_rounds=2) is Action.FINISH
    assert decide(_status(step, index=1), max_rounds=2) is not Action.FINISH


def test_the_last_recursion_is_trained_and_proposes_before_the_end() -> None:
    for step in ("train", "propose"):
        assert decide(_status(step, index=2), max_rounds=2) is Action.WAIT


@pytest.mark.parametrize("step", ["train", "propose", "next_round", "review"])
def test_where_nobody_is_asked_the_server_may_be_a_round_ahead(step: str) -> None:
    assert decide(_status(step, index=3), max_rounds=2) is Action.FINISH


def test_used_up_verdicts_lead_to_the_last_round() -> None:
    assert decide(_status("review", given=3), max_rounds=2, max_verdicts=5) is Action.REVIEW
    assert decide(_status("review", given=4), max_rounds=2, max_verdicts=5) is Action.LAST_ROUND
    assert decide(_status("next_round", given=4), max_rounds=2, max_verdicts=5) is Action.WAIT
    assert decide(_status("review", given=4), max_rounds=2) is Action.REVIEW
