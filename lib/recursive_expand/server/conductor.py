"""The conductor: drives the rounds from within the server."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from monailabel.utils.async_tasks.task import AsyncTask
from monailabel.utils.async_tasks.utils import tasks

from recursive_expand.errors import RecursiveExpandError
from recursive_expand.expand.due import check_something_to_do, close_review, end_recursion, round_due
from recursive_expand.expand.foretelling import Foretold, foretell
from recursive_expand.expand.labels import deliver_due, heal
from recursive_expand.expand.progress import read_progress
from recursive_expand.expand.queue import VERDICTS_PER_FIT, refit
from recursive_expand.expand.recursion import Recursion
from recursive_expand.expand.registration import register_cases
from recursive_expand.expand.second_chances import propose_second_chances
from recursive_expand.expand.steps import State, Step, next_step, read_state
from recursive_expand.ledger import MovedOn, RoundRecord, RoundState

logger = logging.getLogger(__name__)

SECONDS_BETWEEN_LOOKS = 1.0
"""How often the conductor looks on its own; a verdict wakes it at once."""
SECONDS_BETWEEN_SCANS = 10.0
"""How often the archive is looked at again while it cannot be used."""
DEATHS_BEFORE_GIVING_UP = 3
"""How often the training subprocess may die at the same spot (out of memory, say) before the round counts as failed."""


class Conductor(threading.Thread):
    """Starts each round when it is due, in MONAI Label's training subprocess, and takes note of how that ended.

    What is due is decided by `next_step` from the ledger, so that a restart goes on where the last server was.

    Args:
        recursion: the recursion.
    """

    def __init__(self, recursion: Recursion) -> None:
        super().__init__(name="conductor", daemon=True)
        self._recursion = recursion
        self._wake = threading.Event()
        self._handled: set[str] = set()
        self._asked = False
        self._deaths = 0
        self._died_at: object = None
        self._fitted: tuple[int, int] | None = None
        self._foretold_at: object = None
        self.foretold: Foretold | None = None
        """What the round under review, or the next, is expected to bring."""
        self.held: str | None = None
        """Why no round begins until somebody asks: it was stopped, its process died, or something is to be mended."""
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
        check_something_to_do(self._recursion)
        due = round_due(self._recursion)
        self._asked = True
        self._deaths = 0
        self.held = None
        self.wake()
        return due

    def end(self) -> RoundRecord:
        """A person ends the recursion with the round under review.

        Raises:
            RecursiveExpandError: a round is running, or none is under review.
        """
        if self.running():
            raise RecursiveExpandError("a round is running; DELETE /train/ stops it")
        ended = end_recursion(self._recursion)
        self._asked = False
        self.wake()
        return ended

    def state(self) -> State:
        """Where the recursion stands, with what only the conductor knows."""
        # A round that a person asked for stays asked for while it runs.
        asked = self._asked or self.running()
        return read_state(self._recursion, indexing=self.indexing, asked=asked, held=self.held)

    def hold(self, reason: str) -> None:
        """Begin no round until somebody asks."""
        self.held = reason

    @staticmethod
    def running() -> bool:
        """Whether MONAI Label's training subprocess runs or is about to."""
        return any(task["status"] in ("SUBMITTED", "RUNNING") for task in tasks("train"))

    def run(self) -> None:
        """Look, act, wait; for as long as the server lives."""
        self._guard(self._verify)
        while self.indexing:
            self._guard(self._prepare)
            if self.indexing:
                self._pause(SECONDS_BETWEEN_SCANS)
        while True:
            self._guard(self._look)
            self._pause(SECONDS_BETWEEN_LOOKS)

    def _pause(self, seconds: float) -> None:
        self._wake.wait(seconds)
        self._wake.clear()

    def _guard(self, act: Callable[[], None]) -> None:
        """Whatever goes wrong is said in the status, and tried again; the server stays."""
        try:
            act()
            self.problem = None
        except RecursiveExpandError as error:
            if self.problem != str(error):
                logger.warning("%s; trying again", error)
            self.problem = str(error)
        except Exception as error:
            if self.problem is None:
                logger.exception("The conductor could not go on; trying again")
            self.problem = f"{type(error).__name__}: {error}"

    def _verify(self) -> None:
        difference = self._recursion.ledger.audit.verify()
        if difference is not None:
            logger.error("%s", difference)
            self.hold(str(difference))

    def _prepare(self) -> None:
        def show(done: int, total: int) -> None:
            if done % 100 == 0 or done == total:
                logger.info("Read %d of %d new cases", done, total)

        register_cases(self._recursion, show)
        heal(self._recursion)
        self.indexing = False
        if not self._recursion.archive.immediate:
            threading.Thread(target=self._poll, name="archive poll", daemon=True).start()

    def _poll(self) -> None:
        """Look for new cases now and then, beside everything else: an archive elsewhere may take its time."""
        while True:
            time.sleep(self._recursion.settings.pacs.pacs_poll_seconds)
            try:
                if register_cases(self._recursion):
                    self.wake()
            except RecursiveExpandError as error:
                logger.warning("Looking for new cases failed: %s", error)
            except Exception:
                logger.exception("Looking for new cases failed")

    def _look(self) -> None:
        deliver_due(self._recursion)
        if self.running():
            return
        self._note_ended_tasks()
        step = next_step(self.state(), self._recursion.settings.review)
        current = self._recursion.ledger.rounds.current()
        try:
            if step is Step.REVIEW and current is not None:
                self._review(current)
            elif step is Step.SECOND_CHANCES and current is not None:
                propose_second_chances(self._recursion, current)
                self.wake()  # without a pause: readers may be waiting for them
            elif step is Step.CONVERGED and current is not None and current.state is RoundState.REVIEWING:
                close_review(self._recursion, current, converged=True)
                logger.info("Round %d expanded to nothing new: the recursion has converged", current.round)
            elif step is Step.NEXT_ROUND and current is not None and current.state is RoundState.REVIEWING:
                # With a person's request the subprocess closes it: it may turn out that the round cannot begin.
                if not self._asked:
                    close_review(self._recursion, current, converged=False)
                self._start()
            elif step in (Step.TRAIN, Step.PROPOSE, Step.NEXT_ROUND):
                self._start()
        except MovedOn as moved:
            logger.info("%s", moved)
        self._foretell(current)

    def _foretell(self, current: RoundRecord | None) -> None:
        """Anew when a round moves on, when its last proposal is decided, and with every prediction of acceptance."""
        ledger = self._recursion.ledger
        given, decided = ledger.judgements.watermark()[0] // VERDICTS_PER_FIT, not ledger.queue.count()
        at = (current and (current.round, current.state), given, decided)
        if at != self._foretold_at:
            self.foretold, self._foretold_at = foretell(self._recursion), at

    def _review(self, current: RoundRecord) -> None:
        """Keep the queue in order while experts judge; a converged round with new proposals opens again."""
        if current.state is RoundState.CONVERGED:
            self._recursion.ledger.rounds.reopen_review(current.round)
        given = self._recursion.ledger.judgements.watermark()[0]
        if self._fitted is None or self._fitted[0] != current.round:
            self._fitted = current.round, given
        elif given - self._fitted[1] >= VERDICTS_PER_FIT:
            self._fitted = current.round, given
            refit(self._recursion)

    def _start(self) -> None:
        request: dict[str, Any] = {"model": self._recursion.settings.task.name, "only": round_due(self._recursion)}
        logger.info("Starting round %d", request["only"])
        self._asked = False
        # The last attempt's: a process that dies before it looks would leave it standing.
        self._recursion.workspace.not_ready.unlink(missing_ok=True)
        AsyncTask.run("train", request=request)

    def _note_ended_tasks(self) -> None:
        ended = [task for task in tasks("train") if task["id"] not in self._handled]
        if not ended:
            return
        self._handled.update(task["id"] for task in ended)
        not_ready = self._recursion.workspace.read_not_ready()
        if not_ready is not None:
            # Whatever state the round is in: a review that a person wanted to end early is open still.
            logger.error("%s", not_ready)
            self.hold(not_ready)
            return
        current = self._recursion.ledger.rounds.current()
        under_way = (RoundState.TRAINING, RoundState.PROPOSING, RoundState.CLOSED)
        if current is not None and current.state not in under_way:
            return
        # Until the round is in the ledger there is nothing to mark: the conductor itself holds back.
        begun = current if current is not None and current.state is not RoundState.CLOSED else None
        status = ended[-1]["status"]
        if status == "STOPPED":
            logger.info("The round was stopped")
            self._give_up(begun, None)
        elif status == "ERROR" or begun is not None:
            progress = read_progress(self._recursion.workspace.progress)
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
            self._recursion.ledger.rounds.interrupt(begun.round, error=error)
        else:
            self.hold(error or "the round was stopped before it began")
