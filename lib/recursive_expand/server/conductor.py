"""The conductor: drives the rounds from within the server."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

from monailabel.utils.async_tasks.task import AsyncTask
from monailabel.utils.async_tasks.utils import tasks

from recursive_expand.cases import Role
from recursive_expand.errors import RecursiveExpandError
from recursive_expand.expand.labels import write_pending_labels
from recursive_expand.expand.progress import read_progress
from recursive_expand.expand.registration import register_cases
from recursive_expand.expand.rounds import check_something_to_do, close_review_if_done, round_due
from recursive_expand.expand.study import Study
from recursive_expand.ledger import RoundRecord, RoundState

logger = logging.getLogger(__name__)

SECONDS_BETWEEN_LOOKS = 1.0
"""How often the conductor looks on its own; a verdict wakes it at once."""
DEATHS_BEFORE_GIVING_UP = 3
"""How often the training subprocess may die at the same spot (out of memory, say) before the round counts as failed."""


class Conductor(threading.Thread):
    """Starts each round when it is due, in MONAI Label's training subprocess, and takes note of how that ended.

    The server's other threads only read the ledger; what is due is decided here, from the ledger alone, so that a
    restart goes on where the last server was.

    Args:
        study: the study.
    """

    def __init__(self, study: Study) -> None:
        super().__init__(name="conductor", daemon=True)
        self._study = study
        self._wake = threading.Event()
        self._handled: set[str] = set()
        self._asked = False
        self._deaths = 0
        self._died_at: object = None
        self.held: str | None = None
        """Why no round is begun until somebody asks: it was stopped, or its process died, before the ledger had it."""
        self.indexing = True
        """Whether the archive is still being read for the first time."""
        self.problem: str | None = None
        """What keeps the conductor from working, if anything."""

    def wake(self) -> None:
        """Something happened: look now."""
        self._wake.set()

    def ask(self) -> int:
        """A person asks for the round that is due: after a failure, a stop, or before all verdicts are in.

        Returns:
            The number of the round that will run.

        Raises:
            RecursiveExpandError: a round is running, or there is nothing (new) to train on.
        """
        if self.running():
            raise RecursiveExpandError("a round is running already; DELETE /train/ stops it")
        check_something_to_do(self._study)
        due = round_due(self._study)
        self._asked = True
        self._deaths = 0
        self.held = None
        self.wake()
        return due

    @staticmethod
    def running() -> bool:
        """Whether MONAI Label's training subprocess runs or is about to."""
        return any(task["status"] in ("SUBMITTED", "RUNNING") for task in tasks("train"))

    def run(self) -> None:
        """Look, act, wait; for as long as the server lives."""
        self._guard(self._prepare)
        self.indexing = False
        while True:
            self._guard(self._look)
            self._wake.wait(SECONDS_BETWEEN_LOOKS)
            self._wake.clear()

    def _guard(self, act: Callable[[], None]) -> None:
        """Whatever goes wrong is said in the status, and tried again; the server stays."""
        try:
            act()
            self.problem = None
        except RecursiveExpandError as error:
            self.problem = str(error)
        except Exception as error:
            if self.problem is None:
                logger.exception("The conductor could not go on; trying again")
            self.problem = f"{type(error).__name__}: {error}"

    def _prepare(self) -> None:
        write_pending_labels(self._study)

        def show(done: int, total: int) -> None:
            if done % 100 == 0 or done == total:
                logger.info("Read %d of %d new cases", done, total)

        register_cases(self._study, show)

    def _look(self) -> None:
        if self.running():
            self.held = None
            return
        self._note_ended_tasks()
        current = self._study.ledger.current_round()
        state = current.state if current else None
        if state is RoundState.REVIEWING and not self._asked:
            closed = close_review_if_done(self._study)
            if closed is not None:
                state = closed.state
                if state is RoundState.CONVERGED:
                    logger.info("Round %d expanded to nothing new: the recursion has converged", closed.round)
        elif state is RoundState.CONVERGED and current is not None and self._study.ledger.count_undecided():
            self._study.ledger.reopen_review(current.round)
        due = state in (RoundState.TRAINING, RoundState.PROPOSING, RoundState.CLOSED)
        if state is None:
            due = any(True for _ in self._study.ledger.iter_cases(roles=[Role.PIXEL]))
        if self._asked or (due and self.held is None):
            self._start()

    def _start(self) -> None:
        request: dict[str, Any] = {"model": self._study.task.name, "only": round_due(self._study)}
        logger.info("Starting round %d", request["only"])
        self._asked = False
        AsyncTask.run("train", request=request)

    def _note_ended_tasks(self) -> None:
        ended = [task for task in tasks("train") if task["id"] not in self._handled]
        if not ended:
            return
        self._handled.update(task["id"] for task in ended)
        current = self._study.ledger.current_round()
        if current is not None and current.state not in (RoundState.TRAINING, RoundState.PROPOSING, RoundState.CLOSED):
            return
        # Until the round is in the ledger there is nothing to mark: the conductor itself holds back.
        begun = current if current is not None and current.state is not RoundState.CLOSED else None
        status = ended[-1]["status"]
        if status == "STOPPED":
            logger.info("The round was stopped")
            self._give_up(begun, None)
        elif status == "ERROR" or begun is not None:
            progress = read_progress(self._study.workspace.progress)
            spot = (begun and (begun.round, begun.state), progress and (progress.stage, progress.done, progress.total))
            self._deaths = self._deaths + 1 if spot == self._died_at else 1
            self._died_at = spot
            if self._deaths >= DEATHS_BEFORE_GIVING_UP:
                self._give_up(
                    begun, f"the training process ended {self._deaths} times at the same spot; is there enough memory?"
                )
            else:
                logger.warning("The training process was killed; resuming")

    def _give_up(self, begun: RoundRecord | None, error: str | None) -> None:
        if begun is not None:
            self._study.ledger.interrupt_round(begun.round, error=error)
        else:
            self.held = error or "the round was stopped before it began; POST /recursive/rounds starts it"
