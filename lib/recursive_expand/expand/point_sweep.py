"""What f and g propose at one operating point after the other where the truth is known, and how much is wrong."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from torch import nn

from recursive_expand.errors import InputError
from recursive_expand.expand.calibration_set import Known, judged_before, known_volumes, locked_cases
from recursive_expand.expand.constraints import allowed_classes
from recursive_expand.expand.frozen import frozen_label
from recursive_expand.expand.progress import Progress
from recursive_expand.expand.recursion import Recursion, choose_device
from recursive_expand.ledger import RoundRecord, VerdictRecord
from recursive_expand.segment.predict import Predictor
from recursive_expand.settings import Settings

MOST_SLICES = 128
"""Slices of the locked share, and of judged ones: each is proposed at every point."""
UNKNOWN = 255
"""Where a slice's truth is not known."""

Source = Literal["locked", "judged", "synthetic"]
Point = dict[str, Any]
"""Settings to propose under, as `Settings.changed` takes them."""


@dataclass(frozen=True)
class SweptSlice:
    """A slice at every point.

    Attributes:
        patient: whose it is; of a synthetic slice, its own key.
        source: an expert's mask of the locked share, a verdict of the last review, or a synthetic head.
        marked: (P, K) number of pixels that are proposed at each point as each class.
        wrong: (P, K) those of them that are not of that class.
    """

    patient: str
    source: Source
    marked: NDArray[np.int64]
    wrong: NDArray[np.int64]


def at_threshold(threshold: float | None, classes: Sequence[str]) -> Point:
    """One foreground threshold for all classes; None: where a class is more probable than background."""
    return {"foreground_threshold": {} if threshold is None else dict.fromkeys(classes, threshold)}


def sweep(
    recursion: Recursion,
    round_: RoundRecord,
    points: Sequence[Point],
    progress: Progress,
    what: str,
    *,
    with_judged: bool = True,
) -> list[SweptSlice]:
    """Propose at each point.

    - The locked share and the unseen synthetic slices, as in `calibration_set`, are asked of the round's model. What an
      expert would have accepted of them in an earlier round is left out: its likes do not wait any more.
    - What was judged in the last review is asked of the model that proposed it, which had not learned from it. Of an
      accepted slice the mask is the truth; of a rejected one every pixel of the mask counts as wrong, although at least
      `Method.tau` of them is all that is known, and elsewhere nothing is.

    Args:
        recursion: under the round's settings.
        round_: the round, with its model.
        points: P operating points.
        progress: shows the slices.
        what: is chosen.
        with_judged: also what was judged.

    Returns:
        The slices on which something is marked at any point.
    """
    assert round_.model is not None
    known = list(known_volumes(recursion, locked_cases(recursion, MOST_SLICES)))
    judged = list(_judged(recursion, round_)) if with_judged else []
    total, done = len(points) * sum(len(one.truth) for one in (*known, *judged)), 0
    if not total:
        return []
    progress.begin(f"choosing {what}", total)
    before = judged_before(recursion, round_)
    classes = recursion.settings.task.classes
    counts: dict[tuple[str, int, bool], NDArray[np.int64]] = {}
    for asked, model in ((known, round_.model), (judged, round_.base_model)):
        if not asked:
            continue
        for place, one, masks in proposed_at(points, recursion.settings, recursion.network(model), asked):
            for number, mask in enumerate(masks):
                if asked is judged or not before.get(f"{one.key}:{number}", False):
                    key = (one.key, number, asked is judged)
                    count = counts.setdefault(key, np.zeros((2, len(points), len(classes)), np.int64))
                    count[:, place] = marked_and_wrong(mask, one.truth[number], len(classes))
            done += len(masks)
            progress.step(done, "slices")
    patients = {one.key: one.patient for one in (*known, *judged)}
    return [
        SweptSlice(patients[key] or key, "judged" if of_review else "locked" if patients[key] else "synthetic", *count)
        for (key, _, of_review), count in counts.items()
        if count[0].any()
    ]


def proposed_at(
    points: Sequence[Point], settings: Settings, network: nn.Module, asked: Sequence[Known]
) -> Iterator[tuple[int, Known, NDArray[np.uint8]]]:
    """Propose on volumes at one operating point after the other.

    Args:
        points: where to.
        settings: all others.
        network: f.
        asked: the volumes.

    Yields:
        (the point's place, the volume, its masks).
    """
    allowed = {one.key: one.allowed for one in asked}
    for place, point in enumerate(points):
        predictor = Predictor(settings.changed(**point), network, choose_device())
        predictions = predictor.propose_volumes(((one.key, one.volume) for one in asked), allowed)
        for one, (_, prediction) in zip(asked, predictions, strict=True):
            yield place, one, prediction.mask


def marked_and_wrong(
    mask: NDArray[np.uint8], truth: NDArray[np.uint8], classes: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pixels of each class that a mask (R, C) marks where the truth (R, C) is known, and those that are wrong."""
    marked = mask[(mask > 0) & (truth != UNKNOWN)]
    wrong = mask[(mask > 0) & (truth != UNKNOWN) & (mask != truth)]
    return np.bincount(marked, minlength=classes + 1)[1:], np.bincount(wrong, minlength=classes + 1)[1:]


def _judged(recursion: Recursion, round_: RoundRecord) -> Iterator[Known]:
    """What stands of the last review, the newest verdicts first, as long as it is few slices.

    A case that came twice (`Method.second_chance`) is one volume; in a slice of both looks the newer mask decides.
    """
    ledger, task = recursion.ledger, recursion.settings.task
    by_case: dict[str, list[VerdictRecord]] = {}
    slices = 0
    for verdict in reversed(ledger.judgements.verdicts()):
        if verdict.round != round_.round - 1 or verdict.model_sha256 != round_.base_model:
            continue
        slices += len(verdict.accepted_slices) + len(verdict.rejected_slices)
        if slices > MOST_SLICES:
            break
        by_case.setdefault(verdict.case_id, []).append(verdict)
    for case_id, verdicts in by_case.items():
        case = ledger.cases.get(case_id)
        try:
            volume = recursion.volume(case_id)
        except InputError:  # its image is gone
            continue
        truth = np.full(volume.hu.shape, UNKNOWN, np.uint8)
        judged: set[int] = set()
        for verdict in reversed(verdicts):
            mask = frozen_label(recursion.workspace, ledger.proposals.get(verdict.proposal_id), task.classes).slices
            for number in verdict.accepted_slices:
                truth[number] = mask[number]
            for number in verdict.rejected_slices:
                truth[number][mask[number] > 0] = 0
            judged.update(verdict.accepted_slices, verdict.rejected_slices)
        labels = case.image_labels if recursion.settings.method.use_image_labels else {}
        allowed = [
            names if number in judged else frozenset()
            for number, names in enumerate(allowed_classes(labels, case.slices))
        ]
        yield Known(case_id, case.patient or case_id, volume, truth, allowed)
