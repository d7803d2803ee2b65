"""The recursion of one run: a server, a simulated expert, and rounds until it is over."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Protocol

import requests

from recursive_expand.errors import RecursiveExpandError
from recursive_expand.experiment.expert import ExpertAnswer
from recursive_expand.experiment.server import ServerProcess, Status
from recursive_expand.experiment.steps import Action, step_of

POLL_SECONDS = 0.2
STUCK_SECONDS = 60.0
"""How long a server may report the same problem without progress."""

OnMessage = Callable[[str], None]
"""Called with each line of progress."""
Decide = Callable[[Status], Action]
"""Decides from a status what to do next: see `steps.decide`."""


class Expert(Protocol):
    """Who reviews the proposals of a run."""

    def review_next(self) -> ExpertAnswer | None:
        """Review the next proposal; None where nothing is left, or somebody else reviews."""


class People:
    """Readers at the server's review desk, or in any client, for whom the run waits."""

    def review_next(self) -> None:
        """Nothing is reviewed on their behalf: the next look at the status shows what they have done."""


def recurse(server: ServerProcess, expert: Expert, *, decide: Decide, on_message: OnMessage) -> None:
    """Review a server's proposals until the recursion is over; an interrupted one continues.

    Args:
        server: running.
        expert: reviews the proposals.
        decide: called with every status.
        on_message: called when the round or its state changes.

    Raises:
        RecursiveExpandError: a round failed twice, the server ended or makes no progress, or there is no expert mask
            to start from.
    """
    try:
        _recurse(server, expert, decide, on_message)
    except requests.RequestException as error:
        raise RecursiveExpandError(f"the server does not answer ({error}); see {server.log}") from error


def _recurse(server: ServerProcess, expert: Expert, decide: Decide, on_message: OnMessage) -> None:
    shown: tuple[Any, ...] = ()
    resumed: set[int | None] = set()
    last_progress = time.monotonic()
    while True:
        status = server.status()
        round_index = status["round"]
        if shown != (status["state"], round_index or 0):
            shown = (status["state"], round_index or 0)
            on_message(f"round {round_index or 0}: {status['message']}")
        action = decide(status)
        if action is Action.FINISH:
            return
        if action is Action.GIVE_UP:
            raise RecursiveExpandError("the studies hold no case with an expert mask to start from")
        if action is Action.LAST_ROUND:
            newest = server.get("/recursive/rounds")[-1]
            if not newest["accepted_slices"] + newest.get("second_chances", {}).get("accepted_slices", 0):
                return
            _start_round(server, status)
            continue
        if action is Action.REVIEW and expert.review_next() is not None:
            last_progress = time.monotonic()
            continue  # without a pause: the next proposal waits
        if action is Action.RESUME:
            if round_index in resumed:
                problem = f"round {round_index} {status['state']}: {status['last_error']}"
                raise RecursiveExpandError(f"{problem}; see {server.log}")
            resumed.add(round_index)
            _start_round(server, status)
        if not status["last_error"]:
            last_progress = time.monotonic()
        elif time.monotonic() - last_progress > STUCK_SECONDS:
            raise RecursiveExpandError(f"the server makes no progress: {status['last_error']}; see {server.log}")
        time.sleep(POLL_SECONDS)


def _start_round(server: ServerProcess, before: Status) -> None:
    """Request the round that is due, and wait until it has started."""
    response = server.post("/recursive/rounds")
    if response.status_code not in (202, 409):  # 409: it has started already
        raise RecursiveExpandError(f"the next round was refused ({response.text})")
    old = (before["round"], step_of(before))
    server.wait(lambda status: (status["round"], step_of(status)) != old, 120, failing=True)
