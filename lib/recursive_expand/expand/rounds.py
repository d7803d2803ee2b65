"""One round: train, gate, publish, propose, open the review. Every step can be resumed after a kill."""

from __future__ import annotations

import hashlib
import logging
import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from filelock import FileLock
from numpy.typing import NDArray

from recursive_expand.archives.atomic import sweep
from recursive_expand.cases import Role, Volume
from recursive_expand.errors import RecursiveExpandError
from recursive_expand.expand.constraints import allowed_classes
from recursive_expand.expand.gate import choose_model
from recursive_expand.expand.ordering import queue_order
from recursive_expand.expand.progress import Progress
from recursive_expand.expand.proposing import cases_to_propose, propose
from recursive_expand.expand.registration import register_cases
from recursive_expand.expand.stopping import Review, expansion, judge_review
from recursive_expand.expand.study import Study, choose_device
from recursive_expand.expand.targets import PredictSlices, build_examples
from recursive_expand.expand.training_set import TrainingSet, build_training_set, lock_validation
from recursive_expand.expand.triage import acceptance_scores
from recursive_expand.ledger import RoundRecord, RoundState
from recursive_expand.ledger.chain import canonical
from recursive_expand.segment.losses import IGNORE
from recursive_expand.segment.multi_gpu import spawn_training
from recursive_expand.segment.predict import Predictor
from recursive_expand.segment.weights import mean_weights, save_weights

logger = logging.getLogger(__name__)

OVER = (RoundState.REVIEWING, RoundState.CLOSED, RoundState.CONVERGED)
"""States of a round whose own work, training and proposing, is done: the round that is due is the next one."""


class NothingToDo(RecursiveExpandError):
    """No round can run now; the message says what is missing."""


def run_round(study: Study, *, only: int | None = None, multi_gpu: bool = True) -> RoundRecord:
    """Run the round that is due: resume the one in flight, or begin the next.

    Args:
        study: the study, under the server's present settings.
        only: do nothing unless this round is the one that is due (two requests may ask for the same one).
        multi_gpu: train on all GPUs.

    Returns:
        The round, whose review is open, or which has converged.

    Raises:
        NothingToDo: there are no expert masks to begin with, or nothing new to train on.
        RecursiveExpandError: the round failed; the ledger says why, and the previous model stays.
    """
    with FileLock(study.workspace.round_lock):
        progress = Progress(study.workspace.progress)
        _read_cases(study, progress)
        if only is not None and only != round_due(study):
            raise NothingToDo(f"round {only} is not due (any more)")
        round_ = _begin_or_resume(study)
        progress.round_index = round_.round
        try:
            study = study.under(round_)
            if study.task.threads:
                torch.set_num_threads(study.task.threads)
            if round_.model is None:
                round_ = _train_and_publish(study, round_, progress, multi_gpu=multi_gpu)
            return _propose_and_open(study, round_, progress)
        except Exception as error:
            reason = str(error) if isinstance(error, RecursiveExpandError) else f"{type(error).__name__}: {error}"
            study.ledger.interrupt_round(round_.round, error=" ".join(reason.split()) or repr(error))
            raise


def _read_cases(study: Study, progress: Progress) -> None:
    def on_case(done: int, total: int) -> None:
        if done == 1:
            progress.begin("reading cases", total)
        progress.step(done)

    register_cases(study, on_case)


def round_due(study: Study) -> int:
    """Number of the round that `run_round` would run: the interrupted one, or the next."""
    current = study.ledger.current_round()
    if current is None:
        return 0
    return current.round + 1 if current.state in OVER else current.round


def check_something_to_do(study: Study) -> None:
    """Whether a round could run now.

    Raises:
        NothingToDo: there are no expert masks to begin with, or nothing new to train on.
    """
    current = study.ledger.current_round()
    if current is None:
        if not any(True for _ in study.ledger.iter_cases(roles=[Role.PIXEL])):
            raise NothingToDo(
                "there are no expert masks to begin with: put masks into labels/final/<case>.nii.gz before the first "
                "start, or submit them from 3D Slicer"
            )
    elif round_due(study) != current.round and expansion(study.ledger, current) == 0:
        raise NothingToDo(
            f"round {current.round} brought nothing new to train on: accept proposals, or add cases with expert masks"
        )


def close_review_if_done(study: Study) -> RoundRecord | None:
    """Close the current round's review when it is over; returns the closed or converged round, else None."""
    round_ = study.ledger.current_round()
    if round_ is None or round_.state is not RoundState.REVIEWING:
        return None
    outcome = judge_review(study.ledger, study.task, round_)
    if outcome is Review.GOES_ON:
        return None
    return _close(study, round_, converged=outcome is Review.CONVERGED)


def _close(study: Study, round_: RoundRecord, *, converged: bool) -> RoundRecord:
    new = expansion(study.ledger, round_)
    return study.ledger.close_review(round_.round, converged=converged, report={"expanded_slices": new})


def _begin_or_resume(study: Study) -> RoundRecord:
    check_something_to_do(study)
    current = study.ledger.current_round()
    config = study.task.model_dump(mode="json")
    if current is not None and current.state in (RoundState.TRAINING, RoundState.PROPOSING, RoundState.STOPPED):
        config = current.config  # what was begun under one configuration ends under it
    elif current is not None:
        # Weights go from round to round: what they have to fit stays as it was in round 0.
        for setting in ("network", "windows"):
            if config[setting] != current.config[setting]:
                logger.warning("The study keeps the %s that it began with: %s", setting, current.config[setting])
            config[setting] = current.config[setting]
    digest = hashlib.sha256(canonical(config).encode()).hexdigest()
    if current is not None and current.state not in OVER:
        return study.ledger.resume_round(current.round, config=config, config_sha256=digest)
    index = 0 if current is None else current.round + 1
    if current is None:
        lock_validation(study.ledger, study.task)
    elif current.state is RoundState.REVIEWING:
        current = _close(study, current, converged=False)
    training_set = build_training_set(study.ledger, study.task, index)
    return study.ledger.start_round(
        index,
        base_model=None if current is None else current.model,
        config=config,
        config_sha256=digest,
        training_set=training_set.to_json(),
        training_set_sha256=training_set.sha256,
        verdict_ids=training_set.verdict_ids,
        report={"training_slices": training_set.counts()},
    )


def _train_and_publish(study: Study, round_: RoundRecord, progress: Progress, *, multi_gpu: bool) -> RoundRecord:
    started = time.monotonic()
    task, device = study.task, choose_device()
    training_set = TrainingSet.from_json(study.ledger.training_set(round_.round))
    examples = build_examples(study, training_set, round_.round, _predict_targets(study, round_))
    first = round_.round == 0
    epochs = task.training.epochs if first else task.training.later_epochs

    def on_epoch(epoch: int, total: int, loss: float) -> None:
        progress.step(epoch, f"epochs, loss {loss:.4f}")

    network = study.network(round_.base_model)
    checkpoint = study.workspace.checkpoint(round_.round)
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    progress.begin("training", epochs)
    losses = spawn_training(
        task,
        network,
        examples,
        epochs=epochs,
        learning_rate=task.training.learning_rate if first else task.training.later_learning_rate,
        round_index=round_.round,
        device=device if multi_gpu or device.type == "cpu" else "cuda:0",
        checkpoint=checkpoint,
        on_epoch=on_epoch,
    )
    trained = save_weights(network, study.workspace.models)
    model, report = choose_model(study, round_, training_set, network, trained)
    report |= {"losses": losses, "train_seconds": time.monotonic() - started}
    promoted = model != round_.base_model
    round_ = study.ledger.publish_model(
        round_.round, trained_model=trained, model=model, promoted=promoted, report=report
    )
    checkpoint.unlink(missing_ok=True)
    shutil.rmtree(study.workspace.targets(round_.round), ignore_errors=True)
    return round_


def _predict_targets(study: Study, round_: RoundRecord) -> PredictSlices | None:
    """What the targets of accepted slices are predicted by; None where they are frozen, and in round 0."""
    kind = study.task.training.targets
    if kind == "teacher":
        return _predict_as_teacher(study, round_)
    return _predict_as_before(study, round_) if kind == "previous" else None


def _predict_as_before(study: Study, round_: RoundRecord) -> PredictSlices | None:
    """What f, without g, made of some slices of a case in the previous recursion (the paper's final stage)."""
    if round_.base_model is None:
        return None
    without_g = study.task.refinement.model_copy(update={"mode": "off", "min_area": 0.0})
    task = study.task.model_copy(update={"refinement": without_g})
    return _predict_by(study, Predictor(task, study.network(round_.base_model), choose_device()))


def _predict_as_teacher(study: Study, round_: RoundRecord) -> PredictSlices | None:
    """What the mean of the models published so far, then g, makes of some slices of a case."""
    published = [earlier.model for earlier in study.ledger.list_rounds() if earlier.round < round_.round]
    models = list(dict.fromkeys(model for model in published if model is not None))  # a gate may have kept one
    if not models:
        return None
    network = study.network(models[-1])
    network.load_state_dict(mean_weights([study.network(model).state_dict() for model in models]))
    return _predict_by(study, Predictor(study.task, network, choose_device()))


def _predict_by(study: Study, predictor: Predictor) -> PredictSlices:
    """A predictor's masks of some slices; where wanted, with image-level labels obeyed and the ignore band left out."""

    def predict(case_id: str, volume: Volume, slices: tuple[int, ...]) -> NDArray[np.uint8]:
        allowed = None
        if study.task.use_image_labels:
            case = study.ledger.case(case_id)
            known = allowed_classes(case.image_labels, case.slices)
            allowed = [known[number] for number in slices]
        prediction = predictor.predict(replace(volume, hu=volume.hu[list(slices)]), allowed)
        if study.task.training.ignore_band:
            prediction.mask[prediction.ignore] = IGNORE
        return prediction.mask

    return predict


def _propose_and_open(study: Study, round_: RoundRecord, progress: Progress) -> RoundRecord:
    assert round_.model is not None
    started = time.monotonic()
    sweep(study.workspace.proposals(round_.round))
    total = sum(case.slices for case in cases_to_propose(study, round_.round))
    progress.begin("proposing", total)
    if total:
        predictor = Predictor(study.task, study.network(round_.model), choose_device())
        for _ in propose(
            study,
            predictor,
            round_.model,
            round_.round,
            cases_to_propose(study, round_.round),
            progress=progress,
        ):
            pass
    by_risk = study.task.order == "risk"
    candidates = study.ledger.open_candidates()
    scores = acceptance_scores(candidates, study.ledger.judged_proposals()) if by_risk else {}
    order = queue_order(
        ((one.proposal_id, one.leading_class, scores.get(one.proposal_id, one.confidence)) for one in candidates),
        likely_first=by_risk,
    )
    report = {"propose_seconds": time.monotonic() - started, "proposals": study.ledger.count_proposals(round_.round)}
    round_ = study.ledger.open_review(round_.round, order=order, report=report, scores=scores)
    progress.say(f"{len(order)} proposals wait for a verdict" if order else "nothing new to show to an expert")
    return close_review_if_done(study) or round_


def iter_round_reports(study: Study) -> Iterator[dict[str, Any]]:
    """Each round as the status page and `GET /recursive/rounds` show it, oldest first."""
    for round_ in study.ledger.list_rounds():
        counts = study.ledger.count_verdicts(round_.round)
        report = round_.report
        yield {
            "round": round_.round,
            "state": round_.state,
            "error": round_.error,
            "started": round_.started,
            "finished": round_.finished,
            "training_slices": report.get("training_slices"),
            "losses": report.get("losses", []),
            "validation": report.get("validation"),
            "promoted": round_.promoted,
            "averaged": report.get("averaged", False),
            "proposals": study.ledger.count_proposals(round_.round),
            "accepted": counts["accept"],
            "rejected": counts["reject"],
            "accepted_slices": counts["accepted_slices"],
            "rejected_slices": counts["rejected_slices"],
            "new": report.get("expanded_slices", counts["accepted_slices"]),
            "model_sha256": round_.model,
            "trained_model_sha256": round_.trained_model,
            "base_model_sha256": round_.base_model,
            "training_set_sha256": round_.training_set_sha256,
            "config_sha256": round_.config_sha256,
            "seconds": {
                "training": report.get("train_seconds"),
                "proposing": report.get("propose_seconds"),
            },
        }
