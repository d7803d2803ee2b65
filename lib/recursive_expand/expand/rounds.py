"""One round: train, gate, publish, propose, open the review. Every step can be resumed after a kill."""

from __future__ import annotations

import copy
import hashlib
import logging
import shutil
import time
from typing import Any

import torch
from filelock import FileLock

from recursive_expand.archives.atomic import sweep
from recursive_expand.errors import RecursiveExpandError, Unreachable
from recursive_expand.expand.calibration_set import calibration_set
from recursive_expand.expand.clusters import form_clusters
from recursive_expand.expand.due import (
    NothingToDo,
    NotReady,
    check_something_to_do,
    close_review,
    close_review_if_done,
    round_due,
)
from recursive_expand.expand.examples import build_examples
from recursive_expand.expand.false_positives import count_marked
from recursive_expand.expand.foretelling import expected_slices
from recursive_expand.expand.frozen import sweep_proposals
from recursive_expand.expand.gate import choose_model
from recursive_expand.expand.locked import lock_accepted, lock_validation
from recursive_expand.expand.operating_point import choose_operating_point
from recursive_expand.expand.progress import Progress
from recursive_expand.expand.proposer import Proposer, cases_to_propose
from recursive_expand.expand.queue import order_for_review, those_that_follow_last
from recursive_expand.expand.random_share import RandomShare
from recursive_expand.expand.recursion import Recursion, choose_device
from recursive_expand.expand.refined import refine_accepted
from recursive_expand.expand.registration import UnusableArchive, register_cases
from recursive_expand.expand.snapshots import drop_snapshot_files, keep_snapshots
from recursive_expand.expand.start import first_network
from recursive_expand.expand.targets import target_predictor
from recursive_expand.expand.training_set import TrainingSet, build_training_set, expansion
from recursive_expand.ledger import OutdatedTrainingSet, RoundRecord, RoundState
from recursive_expand.ledger.chain import canonical
from recursive_expand.ledger.rounds import OVER
from recursive_expand.segment.multi_gpu import spawn_training
from recursive_expand.segment.weights import keep_share, save_weights
from recursive_expand.settings import Settings

logger = logging.getLogger(__name__)


def run_round(recursion: Recursion, *, only: int | None = None, multi_gpu: bool = True) -> RoundRecord:
    """Run the round that is due: resume the one in flight, or begin the next.

    Args:
        recursion: under the server's present settings.
        only: do nothing unless this round is the one that is due (two requests may ask for the same one).
        multi_gpu: train on all GPUs.

    Returns:
        The round, whose review is open, or which has converged.

    Raises:
        NothingToDo: there is nothing to begin with, or nothing new to train on.
        NotReady: the ledger is not as it was recorded, or a table of the studies is not understood.
        RecursiveExpandError: the round failed; the ledger says why, and the previous model stays.
    """
    with FileLock(recursion.workspace.round_lock):
        progress = Progress(recursion.workspace.progress)
        _check_ready(recursion, progress)
        if only is not None and only != round_due(recursion):
            raise NothingToDo(f"round {only} is not due (any more)")
        round_ = _begin_or_resume(recursion)
        progress.round_index = round_.round
        try:
            recursion = recursion.under(round_)
            if recursion.settings.machine.threads:
                torch.set_num_threads(recursion.settings.machine.threads)
            if round_.model is None:
                round_ = _train_and_publish(recursion, round_, progress, multi_gpu=multi_gpu)
            return _propose_and_open(recursion, round_, progress)
        except Exception as error:
            reason = str(error) if isinstance(error, RecursiveExpandError) else f"{type(error).__name__}: {error}"
            recursion.ledger.rounds.interrupt(round_.round, error=" ".join(reason.split()) or repr(error))
            raise


def _check_ready(recursion: Recursion, progress: Progress) -> None:
    def on_case(done: int, total: int) -> None:
        if done == 1:
            progress.begin("reading cases", total)
        progress.step(done)

    not_ready = recursion.workspace.not_ready
    not_ready.unlink(missing_ok=True)
    try:
        try:
            register_cases(recursion, on_case)
        except Unreachable as error:
            logger.warning("The round goes on with the cases that were read before: %s", error)
        difference = recursion.ledger.audit.verify()
        if difference is not None:
            raise NotReady(str(difference))
    except (UnusableArchive, NotReady) as error:
        # For the server, which cannot see an exception of this process.
        not_ready.write_text(str(error), encoding="utf-8")
        raise NotReady(str(error)) from error


def _begin_or_resume(recursion: Recursion) -> RoundRecord:
    check_something_to_do(recursion)
    rounds = recursion.ledger.rounds
    current = rounds.current()
    if current is not None and current.state in (RoundState.TRAINING, RoundState.PROPOSING, RoundState.STOPPED):
        # What was begun under one configuration ends under it.
        return rounds.resume(current.round, config=current.config, config_sha256=current.config_sha256)
    config = _config(recursion.settings, current)
    digest = hashlib.sha256(canonical(config).encode()).hexdigest()
    if current is not None and current.state not in OVER:
        return rounds.resume(current.round, config=config, config_sha256=digest)
    if current is None or current.imported:  # the first that trains
        lock_validation(recursion.ledger, recursion.settings.method)
    if current is not None and current.state is RoundState.REVIEWING:
        current = close_review(recursion, current, converged=False)
    while True:
        try:
            return _start(recursion, current, config, digest)
        except OutdatedTrainingSet:
            continue


def _start(recursion: Recursion, before: RoundRecord | None, config: dict[str, Any], digest: str) -> RoundRecord:
    index = 0 if before is None else before.round + 1
    lock_accepted(recursion.ledger, recursion.settings.method, index)
    marked = count_marked(recursion, before)
    training_set, known = build_training_set(recursion.ledger, recursion.settings.method, index, marked=marked)
    training_set = refine_accepted(recursion, training_set)
    return recursion.ledger.rounds.start(
        index,
        base_model=None if before is None else before.model,
        config=config,
        config_sha256=digest,
        training_set=training_set.to_json(),
        training_set_sha256=training_set.sha256,
        known=known,
        report={"training_slices": training_set.counts(), "machine": _machine(recursion.settings)},
    )


def _config(settings: Settings, before: RoundRecord | None) -> dict[str, Any]:
    """What a round that begins now runs under: weights go from round to round, so what they have to fit stays.

    So does how they began: an f that knows a few scans alone marks noise at the threshold of one from synthetic heads.
    """
    config = settings.round_config()
    if before is None or before.imported:
        return config
    earlier = settings.under(before.config).round_config()
    for section, name in (
        ("method", "network"),
        ("method", "pretrain"),
        ("method", "working_spacing"),
        ("method", "context"),
        ("task", "windows"),
    ):
        if config[section][name] != earlier[section][name]:
            logger.warning("The recursion keeps the %s that it began with: %s", name, earlier[section][name])
            config[section][name] = earlier[section][name]
    return config


def _machine(settings: Settings) -> dict[str, Any]:
    """What the bits of the weights depend on besides the settings; no part of the round's hash."""
    return {
        "device": str(choose_device()),
        "threads": settings.machine.cores,
        "torch": torch.__version__,
    }


def _train_and_publish(
    recursion: Recursion, round_: RoundRecord, progress: Progress, *, multi_gpu: bool
) -> RoundRecord:
    started = time.monotonic()
    training, device = recursion.settings.method.training, choose_device()
    training_set = TrainingSet.from_json(recursion.ledger.rounds.training_set(round_.round))
    first = round_.base_model is None
    fresh = first and recursion.settings.method.pretrain == "none"
    epochs = training.epochs if fresh else training.tune_epochs if first else training.later_epochs
    predict = target_predictor(recursion, round_)
    examples = build_examples(recursion, training_set, round_.round, predict, epochs=epochs, progress=progress)

    def on_epoch(epoch: int, total: int, loss: float) -> None:
        progress.step(epoch, f"epochs, loss {loss:.4f}")

    network = first_network(recursion, progress) if first else recursion.network(round_.base_model)
    checkpoint = recursion.workspace.checkpoint(round_.round)
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    losses: list[float] = []
    base = round_.base_model
    if examples:  # without a single mask the first round proposes what synthetic heads taught
        if first and not fresh:
            base = save_weights(network, recursion.workspace.models)  # few masks can teach less than they make forget
        before = copy.deepcopy(network.state_dict()) if training.base_share and not fresh else None
        progress.begin("training", epochs)
        losses = spawn_training(
            recursion.settings,
            network,
            examples,
            epochs=epochs,
            learning_rate=getattr(training, recursion.settings.method.rate_setting(first=first)),
            round_index=0 if first else round_.round,
            device=device if multi_gpu or device.type == "cpu" else "cuda:0",
            checkpoint=checkpoint,
            on_epoch=on_epoch,
        )
        if before is not None:
            keep_share(network, before, training.base_share)
    trained = save_weights(network, recursion.workspace.models)
    model, report = choose_model(recursion, round_.round, training_set, network, trained, base)
    report |= {"losses": losses, "train_seconds": time.monotonic() - started}
    promoted = model != base
    snapshots = keep_snapshots(recursion, round_.round, checkpoint, epochs, promoted=promoted)
    report |= {"snapshots": snapshots} if snapshots else {}
    round_ = recursion.ledger.rounds.publish_model(
        round_.round, trained_model=trained, model=model, promoted=promoted, report=report
    )
    checkpoint.unlink(missing_ok=True)
    drop_snapshot_files(checkpoint)
    shutil.rmtree(recursion.workspace.targets(round_.round), ignore_errors=True)
    return round_


def _propose_and_open(recursion: Recursion, round_: RoundRecord, progress: Progress) -> RoundRecord:
    ledger, started = recursion.ledger, time.monotonic()
    sweep_proposals(recursion.workspace, ledger.proposals.files())
    sweep(recursion.workspace.models)
    if recursion.settings.method.operating_point != "fixed" and round_.thresholds is None:
        chosen = choose_operating_point(recursion, round_, progress)
        round_ = ledger.rounds.choose_operating_point(round_.round, chosen)
        recursion = recursion.under(round_)
    total = sum(case.slices for case in cases_to_propose(recursion, round_.round))
    progress.begin("proposing", total)
    if total:
        proposer = Proposer.of(recursion, round_)
        for _ in proposer.propose(cases_to_propose(recursion, round_.round), progress=progress):
            pass
    report = {"propose_seconds": time.monotonic() - started, "proposals": ledger.proposals.count(round_.round)}
    if recursion.settings.method.review == "once" and round_.round > 0:
        new = expansion(ledger, round_)
        converged = new <= recursion.settings.review.min_expansion
        progress.say(f"{new} slices are new" if new else "nothing new to train on")
        report |= {"expanded_slices": new}
        return ledger.rounds.close_unreviewed(round_.round, converged=converged, report=report)
    calibration = calibration_set(recursion, round_, progress)
    candidates = ledger.queue.candidates(round_index=round_.round)
    random = RandomShare.due(recursion.settings)
    order, scores = order_for_review(recursion, candidates, calibration, random=random)
    # By the random share the rate of all is told: it is judged, not followed.
    form_clusters(recursion, round_, [one for one in candidates if not random.holds(one.proposal_id)], scores)
    order = those_that_follow_last(recursion, order)
    report |= {"foretold_slices": expected_slices(candidates, scores), "random_share": random.share}
    round_ = ledger.rounds.open_review(round_.round, order=order, report=report, scores=scores, calibration=calibration)
    progress.say(f"{len(order)} proposals wait for a verdict" if order else "nothing new to show to an expert")
    return close_review_if_done(recursion) or round_
