"""The calibration set: what a round's model proposes on slices whose true mask is known, and how wrong that is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recursive_expand.cases import LabelMap, Role, Volume
from recursive_expand.expand.progress import Progress
from recursive_expand.expand.recursion import Recursion
from recursive_expand.expand.snapshots import round_predictor
from recursive_expand.expand.triage import triage_features
from recursive_expand.ledger import CalibrationSlice, CaseRecord, RoundRecord
from recursive_expand.segment.constrain import AllowedClasses
from recursive_expand.segment.predict import Prediction
from recursive_expand.segment.unseen import example_volume, unseen_count, unseen_examples

MOST_LOCKED = 256
"""Slices of the locked share that are looked at: more would tell little more."""


@dataclass(frozen=True)
class Known:
    """A volume with its true mask; `allowed` are its image-level labels, as if it were a case that waits.

    A synthetic slice has no patient: each is a head of its own.
    """

    key: str
    patient: str | None
    volume: Volume
    truth: NDArray[np.uint8]
    allowed: AllowedClasses


def calibration_set(recursion: Recursion, round_: RoundRecord, progress: Progress) -> list[CalibrationSlice]:
    """Propose on the locked validation share and on synthetic slices, as on cases that wait for a verdict.

    Slices are labelled (`Method.use_image_labels`) in the share in which the waiting cases are, and one whose proposal
    an expert would have accepted in an earlier round (`Method.tau`) is not proposed again.

    Args:
        recursion: under the round's settings.
        round_: the round, with its model.
        progress: shows the slices.

    Returns:
        One entry for each slice on which something is marked.
    """
    locked = locked_cases(recursion)
    total, done = sum(case.slices for case in locked) + unseen_count(recursion.settings), 0
    if not total:
        return []
    before = judged_before(recursion, round_)
    waiting: dict[str, Known] = {}
    allowed: dict[str, AllowedClasses] = {}

    def read() -> Iterator[tuple[str, Volume]]:
        for known in known_volumes(recursion, locked):
            waiting[known.key] = known
            allowed[known.key] = known.allowed
            yield known.key, known.volume

    predictor = round_predictor(recursion, round_)
    found: list[CalibrationSlice] = []
    progress.begin("calibrating", total)
    for key, prediction in predictor.propose_volumes(read(), allowed):
        found += _rows(recursion, waiting.pop(key), prediction, before)
        done += len(prediction.mask)
        progress.step(done, "slices")
    return found


def judged_before(recursion: Recursion, round_: RoundRecord) -> dict[str, bool]:
    """Slices on which a model of an earlier round marked something, by `CalibrationSlice.key`: whether an expert would
    have accepted that."""
    before: dict[str, bool] = {}
    for earlier in range(round_.round):
        for one in recursion.ledger.rounds.calibration(earlier):
            before[one.key] = before.get(one.key, False) or one.wrong <= recursion.settings.method.tau
    return before


def locked_cases(recursion: Recursion, most: int = MOST_LOCKED) -> list[CaseRecord]:
    """The locked cases with expert masks, the first at least, as long as they are at most so many slices."""
    locked: list[CaseRecord] = []
    for case in recursion.ledger.cases.iterate(roles=[Role.PIXEL]):
        if case.validation and (not locked or sum(one.slices for one in (*locked, case)) <= most):
            locked.append(case)
    return locked


def known_volumes(recursion: Recursion, locked: Sequence[CaseRecord]) -> Iterator[Known]:
    """These cases and the unseen synthetic slices, labelled in the share in which the waiting cases are."""
    share, classes = _labelled_share(recursion), recursion.settings.task.classes
    for n, case in enumerate(locked):
        truth = recursion.expert_label(case).slices
        allowed = _labels(truth, classes, labelled=_falls_in(share, n))
        yield Known(case.case_id, case.patient or case.case_id, recursion.volume(case.case_id), truth, allowed)
    for n, example in enumerate(unseen_examples(recursion.settings)):
        truth = example.target[None]
        allowed = _labels(truth, classes, labelled=_falls_in(share, n))
        yield Known(example.key, None, example_volume(example), truth, allowed)


def _falls_in(share: float, n: int) -> bool:
    """Whether the n-th of many belongs to this share of them, evenly spread."""
    return int((n + 1) * share) > int(n * share)


def _rows(
    recursion: Recursion, known: Known, prediction: Prediction, before: dict[str, bool]
) -> Iterator[CalibrationSlice]:
    label = LabelMap.from_slices(prediction.mask, known.volume.geometry, recursion.settings.task.classes)
    for number in label.filled:
        key = f"{known.key}:{number}"
        if before.get(key, False):
            continue
        one = label.kept([number])
        features = triage_features(one, flip_dice=prediction.flip_dice, snapshot_dice=prediction.snapshot_dice)
        voxels = one.voxels()
        assert features is not None
        mask = prediction.mask[number]
        wrong = np.count_nonzero((mask > 0) & (mask != known.truth[number])) / np.count_nonzero(mask)
        confidence = float(prediction.confidence[number])
        yield CalibrationSlice(
            key, max(voxels, key=voxels.__getitem__), confidence, features, key in before, float(wrong)
        )


def _labelled_share(recursion: Recursion) -> float:
    """In which share of the cases that get proposals image-level labels are obeyed."""
    if not recursion.settings.method.use_image_labels:
        return 0.0
    labelled = [bool(case.image_labels) for case in recursion.ledger.cases.iterate(roles=[Role.IMAGE, Role.UNLABELLED])]
    return sum(labelled) / len(labelled) if labelled else 0.0


def _labels(truth: NDArray[np.uint8], classes: Sequence[str], *, labelled: bool) -> AllowedClasses:
    """What labels of each slice would allow."""
    if not labelled:
        return [None] * len(truth)
    return [frozenset(name for value, name in enumerate(classes, start=1) if value in mask) for mask in truth]
