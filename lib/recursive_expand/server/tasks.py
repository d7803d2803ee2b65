"""The train task (one call is one round) and batch inference (propose for all cases)."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from monailabel.interfaces.datastore import Datastore
from monailabel.interfaces.tasks.train import TrainTask

from recursive_expand.expand.progress import read_progress
from recursive_expand.expand.proposing import cases_to_propose, propose
from recursive_expand.expand.rounds import NothingToDo, run_round
from recursive_expand.expand.study import Study, choose_device
from recursive_expand.segment.predict import Predictor
from recursive_expand.server.parent import end_with_parent, give_way

logger = logging.getLogger(__name__)


class RoundTrain(TrainTask):
    """One call is one round: train, gate, publish, propose.

    Args:
        study: the study.
        in_server: whether this is the server's process (as opposed to MONAI Label's training subprocess).
    """

    def __init__(self, study: Study, in_server: Callable[[], bool]) -> None:
        super().__init__(f"{study.task.title}: one round (train, gate, publish, propose)")
        self._study = study
        self._in_server = in_server

    def config(self) -> dict[str, Any]:
        """What clients may set."""
        return {"multi_gpu": True}

    def stats(self) -> dict[str, Any]:
        """Progress and the newest validation Dice, in the form that 3D Slicer's module shows."""
        progress = read_progress(self._study.workspace.progress)
        training = progress if progress is not None and progress.stage == "training" else None
        epochs = self._study.task.training.epochs
        dices = [(r.report.get("validation") or {}).get("dice") for r in self._study.ledger.list_rounds()]
        return {
            "epoch": training.done if training else epochs,
            "total_epochs": training.total if training else epochs,
            "best_metric": max((dice for dice in dices if dice is not None), default=0.0),
        }

    def __call__(self, request: dict[str, Any], datastore: Datastore) -> dict[str, Any]:
        """Run the round that is due; `only` in the request names it, so that it is not run twice."""
        if not self._in_server():
            end_with_parent()
            give_way()
        try:
            round_ = run_round(self._study, only=request.get("only"), multi_gpu=bool(request.get("multi_gpu", True)))
        except NothingToDo as nothing:
            logger.info("%s", nothing)
            return {"message": str(nothing)}
        return {"round": round_.round, "state": round_.state, "model_sha256": round_.model}


class ProposeAll:
    """Batch inference: proposals for all undecided cases that have none in this round (cases added since).

    Args:
        study: the study.
        in_server: as in `RoundTrain`.
    """

    def __init__(self, study: Study, in_server: Callable[[], bool]) -> None:
        self._study = study
        self._in_server = in_server

    def __call__(self, request: dict[str, Any], datastore: Datastore, infer: Callable[..., Any]) -> dict[str, Any]:
        """Propose; returns what was proposed, by case id."""
        if not self._in_server():
            end_with_parent()
            give_way()
        current = self._study.ledger.current_model()
        if current is None:
            raise NothingToDo("there is no model yet: round 0 is still to be trained")
        round_index, model = current
        study = self._study.under(self._study.ledger.round(round_index))
        predictor = Predictor(study.task, study.network(model), choose_device())
        cases = cases_to_propose(study, round_index)
        made = propose(study, predictor, model, round_index, cases, serve=True)
        return {p.case_id: {"proposal": p.sha256, "round": p.round, "state": p.state} for p in made}
