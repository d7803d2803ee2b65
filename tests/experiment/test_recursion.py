"""When the recursion of a run goes on, and when it is over."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import requests

from recursive_expand.errors import RecursiveExpandError
from recursive_expand.experiment import recursion
from recursive_expand.experiment.recursion import People, recurse
from recursive_expand.experiment.steps import Action, decide


class _Server:
    """A server whose rounds propose three cases each, of which the expert accepts `accepts` in turn."""

    log = Path("server.log")

    def __init__(self, accepts: list[int], *, states: list[str] | None = None) -> None:
        self.accepts = accepts
        self.round = 0
        self.waiting = 3
        self.given = 0
        self.asked = 0
        self.states = states or []
        self.stuck = False

    def status(self) -> dict[str, Any]:
        if self.states:
            state = self.states.pop(0)
        elif self.waiting == 0 and self.accepts[self.round] == 0:
            state = "converged"
        else:
            if self.waiting == 0:
                self._next()
            state = "reviewing"
        return {
            "state": state,
            "round": self.round,
            "message": state,
            "last_error": "no memory" if state == "failed" or self.stuck else None,
            "verdicts": {"accept": self.given, "reject": 0},
        }

    def get(self, path: str) -> list[dict[str, int]]:
        assert path == "/recursive/rounds"
        return [{"accepted_slices": self.accepts[self.round]}]

    def post(self, path: str) -> Any:
        assert path == "/recursive/rounds"
        self.asked += 1
        if not self.states:
            self._next()
        return type("Answer", (), {"status_code": 202})

    def wait(self, *_: object, **__: object) -> None:
        """Begun at once."""

    def review_next(self) -> object:
        self.waiting -= 1
        self.given += 1
        return object()

    def _next(self) -> None:
        self.round += 1
        self.waiting = 3


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch) -> None:
    monkeypatch.setattr(recursion, "POLL_SECONDS", 0)


def _recurse(server: _Server, **limits: int) -> list[str]:
    lines: list[str] = []
    limited = partial(decide, **{"max_rounds": 9, **limits})
    recurse(server, server, decide=limited, on_message=lines.append)  # type: ignore[arg-type]
    return lines


def test_it_does_what_is_decided() -> None:
    actions = [Action.WAIT, Action.REVIEW, Action.WAIT, Action.REVIEW, Action.FINISH]
    server = _Server([1, 0])
    recurse(server, server, decide=lambda _: actions.pop(0), on_message=lambda _: None)  # type: ignore[arg-type]
    assert (server.given, server.asked, actions) == (2, 0, [])


def test_people_are_waited_for_and_nothing_is_reviewed_on_their_behalf() -> None:
    server = _Server([1, 0])
    lines: list[str] = []

    def judged_meanwhile(status: dict[str, Any]) -> Action:
        if not server.waiting and status["state"] == "converged":
            return Action.FINISH
        server.review_next()  # at the review desk
        return Action.REVIEW

    recurse(server, People(), decide=judged_meanwhile, on_message=lines.append)  # type: ignore[arg-type]
    assert (server.given, server.asked, lines[-1]) == (6, 0, "round 1: converged")


def test_it_ends_at_convergence() -> None:
    server = _Server([2, 1, 0])
    lines = _recurse(server)
    assert (server.round, server.given) == (2, 9)
    assert lines == ["round 0: reviewing", "round 1: reviewing", "round 2: reviewing", "round 2: converged"]


def test_the_last_recursions_proposals_need_no_verdicts() -> None:
    server = _Server([2, 1, 1, 0])
    _recurse(server, max_rounds=2)
    assert (server.round, server.given) == (2, 6)


@pytest.mark.parametrize("max_rounds", [0, 1])
def test_a_round_with_nothing_to_review_ends_it(max_rounds: int) -> None:
    server = _Server([], states=["training", "proposing", "converged"])
    _recurse(server, max_rounds=max_rounds)
    assert (server.given, server.asked, server.states) == (0, 0, [])


def test_used_up_verdicts_train_one_more_round() -> None:
    server = _Server([2, 1, 0])
    _recurse(server, max_verdicts=4)
    assert (server.given, server.asked) == (4, 1)
    assert server.round == 2


def test_used_up_verdicts_that_brought_nothing_end_it() -> None:
    server = _Server([0])
    _recurse(server, max_verdicts=2)
    assert (server.given, server.asked, server.round) == (2, 0, 0)


def test_a_failed_round_is_tried_once_more() -> None:
    server = _Server([0], states=["failed", "training"])
    _recurse(server)
    assert server.asked == 1
    with pytest.raises(RecursiveExpandError, match=r"round 0 failed: no memory; see server.log"):
        _recurse(_Server([0], states=["failed", "training", "failed"]))


def test_without_expert_masks_there_is_nothing_to_wait_for() -> None:
    with pytest.raises(RecursiveExpandError, match="no case with an expert mask"):
        _recurse(_Server([0], states=["waiting_for_pixel_labels"]))


def test_a_server_without_progress_ends_it(monkeypatch) -> None:
    monkeypatch.setattr(recursion, "STUCK_SECONDS", 0.05)
    server = _Server([1, 0])
    server.stuck = True
    monkeypatch.setattr(server, "review_next", lambda: None)
    with pytest.raises(RecursiveExpandError, match="makes no progress: no memory"):
        _recurse(server)


def test_a_server_that_died_ends_it(monkeypatch) -> None:
    server = _Server([0])

    def status() -> None:
        raise requests.ConnectionError("refused")

    monkeypatch.setattr(server, "status", status)
    with pytest.raises(RecursiveExpandError, match=r"does not answer \(refused\); see server.log"):
        _recurse(server)
