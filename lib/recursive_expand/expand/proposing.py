"""Learn: f, then g, over every undecided case; each proposal is frozen as it is made."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from recursive_expand.cases import Role, Volume
from recursive_expand.errors import InputError
from recursive_expand.expand.constraints import Allowed, allowed_classes, is_clean
from recursive_expand.expand.frozen import freeze_files, frozen_mask
from recursive_expand.expand.progress import Progress
from recursive_expand.expand.study import Study
from recursive_expand.expand.triage import triage_features
from recursive_expand.expand.unchanged import unchanged_slices
from recursive_expand.ledger import CaseRecord, OutdatedDraft, ProposalDraft, ProposalRecord, VerdictRecord
from recursive_expand.segment.predict import Prediction, Predictor
from recursive_expand.task import Task

logger = logging.getLogger(__name__)


def cases_to_propose(study: Study, round_index: int) -> Iterator[CaseRecord]:
    """Every case of which something is undecided and that has no proposal of this round yet."""
    proposed = study.ledger.proposed_in(round_index)
    for case in study.ledger.iter_cases(roles=[Role.IMAGE, Role.UNLABELLED], unsettled=True):
        if case.case_id in proposed:
            continue
        if study.task.use_image_labels and is_clean(allowed_classes(case.image_labels, case.slices)):
            continue
        yield case


def propose(
    study: Study,
    predictor: Predictor,
    model_sha256: str,
    round_index: int,
    cases: Iterable[CaseRecord],
    *,
    progress: Progress | None = None,
    serve: bool = False,
) -> Iterator[ProposalRecord]:
    """Make and freeze a proposal for each case; a case that cannot be read is set aside and the rest goes on.

    Args:
        study: the study, under the round's task.
        predictor: f and g with the round's weights.
        model_sha256: the hash of those weights.
        round_index: the round the proposals belong to.
        cases: what to propose for.
        progress: shows the slices proposed; its stage has begun.
        serve: queue each proposal at once (outside a round's bulk proposing).

    Yields:
        Each proposal once it is durable.
    """
    in_flight: dict[str, tuple[CaseRecord, Volume]] = {}
    allowed: dict[str, Allowed] = {}

    def volumes() -> Iterator[tuple[str, Volume]]:
        for case in cases:
            try:
                volume = study.volume(case)
            except InputError as error:
                logger.warning("Set aside %s", error)
                study.ledger.set_aside(case.case_id, str(error))
                continue
            in_flight[case.case_id] = case, volume
            if study.task.use_image_labels:
                allowed[case.case_id] = allowed_classes(case.image_labels, case.slices)
            yield case.case_id, volume

    done = 0
    for case_id, prediction in predictor.propose_volumes(volumes(), allowed):
        case, volume = in_flight.pop(case_id)
        allowed.pop(case_id, None)
        yield _freeze_as_judged(study, _Made(case, volume, prediction, model_sha256, round_index), serve=serve)
        done += volume.hu.shape[0]
        if progress is not None:
            progress.step(done, "slices")


@dataclass(frozen=True)
class _Made:
    """What f and g made of a case in a round."""

    case: CaseRecord
    volume: Volume
    prediction: Prediction
    model_sha256: str
    round_index: int


def _freeze_as_judged(study: Study, made: _Made, *, serve: bool) -> ProposalRecord:
    """Freeze a prediction; where an expert judges the case's last proposal meanwhile, with regard to that too."""
    while True:
        try:
            return _freeze(study, made, serve=serve)
        except OutdatedDraft:
            continue


def _freeze(study: Study, made: _Made, *, serve: bool) -> ProposalRecord:
    case, volume, prediction = made.case, made.volume, made.prediction
    mask = prediction.mask.copy()
    verdicts = study.ledger.verdicts_of(case.case_id)
    whole, same = _clear_what_was_judged(study, case, volume, mask, verdicts)
    # The server (POST /infer) and the training subprocess may both make a case's first proposal.
    with FileLock(study.workspace.freeze_lock):
        existing = study.ledger.proposal_of_round(case.case_id, made.round_index)
        if existing is not None:
            return existing
        sha256 = freeze_files(study.workspace, made.round_index, case.case_id, mask, prediction.ignore, volume.geometry)
        per_slice = np.count_nonzero(mask, axis=(1, 2))
        filled = np.flatnonzero(per_slice)
        confidence = _mean_confidence(prediction, per_slice)
        draft = ProposalDraft(
            case_id=case.case_id,
            sha256=sha256,
            model_sha256=made.model_sha256,
            slices=tuple(int(n) for n in filled),
            unchanged_slices=same,
            voxels=_voxels_by_class(mask, study.task),
            confidence=confidence,
            unchanged=whole,
            features=_features(study.task, volume, prediction, mask, confidence),
        )
        judged = [verdict.verdict_id for verdict in verdicts]
        return study.ledger.freeze(made.round_index, draft, serve=serve, judged=judged)


def _voxels_by_class(mask: NDArray[np.uint8], task: Task) -> dict[str, int]:
    counts = np.bincount(mask[mask > 0], minlength=len(task.classes) + 1)
    return {name: int(counts[value]) for name, value in task.label_names.items() if counts[value]}


def _features(
    task: Task, volume: Volume, prediction: Prediction, mask: NDArray[np.uint8], confidence: float
) -> dict[str, float] | None:
    if task.order != "risk":
        return None
    spacing = volume.geometry.spacing[1:]
    return triage_features(mask, spacing=spacing, confidence=confidence, agreement=prediction.agreement)


def _mean_confidence(prediction: Prediction, voxels: NDArray[np.int64]) -> float:
    filled = np.flatnonzero(voxels)
    if not filled.size:
        return 0.0
    return float(np.average(prediction.confidence[filled], weights=voxels[filled]))


def _clear_what_was_judged(
    study: Study, case: CaseRecord, volume: Volume, mask: NDArray[np.uint8], verdicts: Iterable[VerdictRecord]
) -> tuple[bool, tuple[int, ...]]:
    """Empty the slices that were accepted before or hardly differ from what was rejected; in place.

    Returns:
        (whether the whole proposal is unchanged, numbers of the slices emptied as unchanged).
    """
    rejected = []
    for verdict in verdicts:
        mask[list(verdict.accepted_slices)] = 0
        if verdict.rejected_slices:
            native = frozen_mask(study.workspace, verdict.round, case.case_id)
            rejected.append((volume.geometry.orientation.to_slices(native), verdict.rejected_slices))
    whole, same = unchanged_slices(mask, rejected, dice=study.task.unchanged_dice)
    if not whole:
        mask[list(same)] = 0
    return whole, same
