"""The train task (one call is one round) and batch inference (propose for all cases)."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from monailabel.interfaces.datastore import Datastore
from monailabel.interfaces.tasks.train import TrainTask

from recursive_expand.expand.due import NothingToDo, NotReady
from recursive_expand.expand.progress import read_progress
from recursive_expand.expand.recursion import Recursion
from recursive_expand.server.parent import end_with_server, give_way

logger = logging.getLogger(__name__)


class RoundTrain(TrainTask):
    """One call is one round: train, gate, publish, propose.

    Args:
        recursion: the recursion.
        in_server: whether this is the server's process (as opposed to MONAI Label's training subprocess).
    """

    def __init__(self, recursion: Recursion, in_server: Callable[[], bool]) -> None:
        super().__init__(f"{recursion.settings.task.title}: one round (train, gate, publish, propose)")
        self._recursion = recursion
        self._in_server = in_server

    def config(self) -> dict[str, Any]:
        """What clients may set."""
        return {"multi_gpu": True}

    def stats(self) -> dict[str, Any]:
        """Progress and the newest validation Dice, in the form that 3D Slicer's module shows."""
        progress = read_progress(self._recursion.workspace.progress)
        training = progress if progress is not None and progress.stage == "training" else None
        epochs = self._recursion.settings.method.training.epochs
        dices = [(r.report.get("validation") or {}).get("dice") for r in self._recursion.ledger.rounds.all()]
        return {
            "epoch": training.done if training else epochs,
            "total_epochs": training.total if training else epochs,
            "best_metric": max((dice for dice in dices if dice is not None), default=0.0),
        }

    def __call__(self, request: dict[str, Any], datastore: Datastore) -> dict[str, Any]:
        """Run the round that is due; `only` in the request names it, so that it is not run twice."""
        if not self._in_server():
            end_with_server()
            give_way()
        # Here: it imports PyTorch, which the server's own process has no need of.
        from recursive_expand.expand.rounds import run_round

        try:
            round_ = run_round(
                self._recursion, only=request.get("only"), multi_gpu=bool(request.get("multi_gpu", True))
            )
        except (NothingToDo, NotReady) as nothing:
            logger.warning("%s", nothing)
            return {"message": str(nothing)}
        return {"round": round_.round, "state": round_.state, "model_sha256": round_.model}


class ProposeAll:
    """Batch inference: proposals for all undecided cases that have none in this round (cases added since).

    Args:
        recursion: the recursion.
        in_server: as in `RoundTrain`.
    """

    def __init__(self, recursion: Recursion, in_server: Callable[[], bool]) -> None:
        self._recursion = recursion
        self._in_server = in_server

    def __call__(self, request: dict[str, Any], datastore: Datastore, infer: Callable[..., Any]) -> dict[str, Any]:
        """Propose; returns what was proposed, by case id."""
        if not self._in_server():
            end_with_server()
            give_way()
        rounds = self._recursion.ledger.rounds
        current = rounds.current_model()
        if current is None:
            raise NothingToDo("there is no model yet: round 0 is still to be trained")
        from recursive_expand.expand.proposer import Proposer, cases_to_propose

        round_ = rounds.get(current[0])
        proposer = Proposer.of(self._recursion, round_)
        made = proposer.propose(cases_to_propose(self._recursion.under(round_), round_.round), serve=True)
        return {p.case_id: {"proposal": p.sha256, "round": p.round, "state": p.state} for p in made}
