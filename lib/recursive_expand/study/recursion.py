"""The recursion of one run: a server, a simulated expert, rounds until it stops."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import requests

from recursive_expand.errors import RecursiveExpandError
from recursive_expand.study.expert import SimulatedExpert
from recursive_expand.study.server import ServerProcess

POLL_SECONDS = 0.2
STUCK_SECONDS = 60.0
"""How long a server may report the same problem without getting on."""

Tell = Callable[[str], None]
"""Takes a line for the person who waits."""


def recurse(
    server: ServerProcess, expert: SimulatedExpert, *, max_rounds: int, max_verdicts: int = 0, tell: Tell
) -> None:
    """Review what a server proposes until the recursion is over; where it was interrupted, it goes on.

    It is over when it has converged, when the model of recursion `max_rounds` has proposed (its proposals need no
    verdicts: no further model would learn from them), or when the verdicts are used up and nothing new can come of
    those that were given.

    Args:
        server: running.
        expert: who reviews.
        max_rounds: recursions after round 0.
        max_verdicts: verdicts of the whole run; 0: no limit.
        tell: told when a round changes.

    Raises:
        RecursiveExpandError: a round failed (it is tried once more), the server ended or does not get on, or there is
            no expert mask to begin with.
    """
    try:
        _recurse(server, expert, max_rounds, max_verdicts, tell)
    except requests.RequestException as error:
        raise RecursiveExpandError(f"the server does not answer ({error}); see {server.log}") from error


def _recurse(server: ServerProcess, expert: SimulatedExpert, max_rounds: int, max_verdicts: int, tell: Tell) -> None:
    told: tuple[Any, ...] = ()
    retried: set[int | None] = set()
    well = time.monotonic()
    while True:
        status = server.status()
        state, round_index = status["state"], status["round"]
        if told != (state, round_index or 0):
            told = (state, round_index or 0)
            tell(f"round {round_index or 0}: {status['message']}")
        if state == "converged":
            return
        if state == "reviewing":
            if round_index >= max_rounds:
                return
            given = status["verdicts"]["accept"] + status["verdicts"]["reject"]
            if max_verdicts and given >= max_verdicts:
                if not server.get("/recursive/rounds")[-1]["accepted_slices"]:
                    return
                _next_round(server, round_index)
                continue
            if expert.review_next() is not None:
                well = time.monotonic()
                continue
            # The conductor is about to close the round.
        if state in ("failed", "stopped"):
            if round_index in retried:
                raise RecursiveExpandError(f"round {round_index} {state}: {status['last_error']}; see {server.log}")
            retried.add(round_index)
            _next_round(server, round_index, after=state)
        elif state == "waiting_for_pixel_labels" and not status["message"].startswith("reading"):
            raise RecursiveExpandError("the studies hold no case with an expert mask to begin with")
        if not status["last_error"]:
            well = time.monotonic()
        elif time.monotonic() - well > STUCK_SECONDS:
            raise RecursiveExpandError(f"the server does not get on: {status['last_error']}; see {server.log}")
        time.sleep(POLL_SECONDS)


def _next_round(server: ServerProcess, round_index: int | None, after: str = "reviewing") -> None:
    """Ask for the round that is due, and wait until it has begun."""
    answer = server.post("/recursive/rounds")
    if answer.status_code not in (202, 409):  # 409: it has begun already
        raise RecursiveExpandError(f"the next round was refused ({answer.text})")
    server.wait(lambda status: (status["round"], status["state"]) != (round_index, after), 120, failing=True)
