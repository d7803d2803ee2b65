"""How good is a model on locked patients: against expert masks, and against what experts accepted?"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recursive_expand.expand.constraints import allowed_classes
from recursive_expand.expand.frozen import frozen_label
from recursive_expand.expand.recursion import Recursion
from recursive_expand.expand.second_chances import rejected_region
from recursive_expand.expand.training_set import AcceptedSlices
from recursive_expand.segment.constrain import AllowedClasses
from recursive_expand.segment.metrics import Counts, count
from recursive_expand.segment.predict import Predictor

METRICS = ("dice", "iou", "precision", "recall")


def validate(recursion: Recursion, predictor: Predictor, case_ids: Sequence[str]) -> dict[str, Any]:
    """Dice, IoU, precision and recall of all foreground over cases with expert masks: their means, and of all voxels.

    Args:
        recursion: the recursion.
        predictor: f and g.
        case_ids: the cases.

    Returns:
        `{"dice", "iou", "precision", "recall", "cases", "pooled"}`: means over cases (see `segment.metrics` for empty
        masks), and in `pooled` the same four of all cases' voxels taken together, and `foreground_voxels`, those of the
        references.
    """

    volumes = ((case_id, recursion.volume(case_id)) for case_id in case_ids)
    found: list[Counts] = []
    for case_id, prediction in predictor.propose_volumes(volumes):
        truth = recursion.expert_label(recursion.ledger.cases.get(case_id)).slices
        found.append(count(prediction.mask, truth, len(recursion.settings.task.classes)).foreground)
    means = {metric: fmean(getattr(counts, metric) for counts in found) for metric in METRICS}
    return means | {"cases": len(found), "pooled": _pooled(found)}


def validate_accepted(recursion: Recursion, predictor: Predictor, held_out: Sequence[AcceptedSlices]) -> dict[str, Any]:
    """Dice, IoU, precision and recall of all foreground over accepted slices, of all voxels together.

    The reference is what an expert accepted: mostly right in what it marks, but blood may be missing, and one of the
    recursion's own models made it. What a first look rejected around an accepted second chance does not count.

    Args:
        recursion: the recursion.
        predictor: f and g.
        held_out: accepted slices that were not trained on.

    Returns:
        `{"slices", "pooled"}`, the latter as of `validate`.
    """
    task = recursion.settings.task
    accepted: dict[tuple[str, int], NDArray[np.uint8]] = {}
    unknown: dict[tuple[str, int], NDArray[np.bool_]] = {}
    allowed: dict[str, AllowedClasses] = {}
    for one in held_out:
        proposal = one.proposal(recursion.ledger)
        label = frozen_label(recursion.workspace, proposal, task.classes)
        rejected = rejected_region(recursion, proposal)
        for number in one.slices:
            accepted[one.case_id, number] = label.slices[number]
            if rejected is not None:
                unknown[one.case_id, number] = rejected[number]
    for case_id in dict.fromkeys(one.case_id for one in held_out):
        case = recursion.ledger.cases.get(case_id)
        known = allowed_classes(case.image_labels if recursion.settings.method.use_image_labels else {}, case.slices)
        # A slice that may hold nothing is not looked at.
        allowed[case_id] = [names if (case_id, n) in accepted else frozenset() for n, names in enumerate(known)]
    found: list[Counts] = []
    volumes = ((case_id, recursion.volume(case_id)) for case_id in allowed)
    for case_id, prediction in predictor.propose_volumes(volumes, allowed):
        for number, mask in enumerate(prediction.mask):
            if (case_id, number) in accepted:
                if (case_id, number) in unknown:
                    mask[unknown[case_id, number]] = 0
                found.append(count(mask, accepted[case_id, number], len(task.classes)).foreground)
    return {"slices": len(found), "pooled": _pooled(found)}


def _pooled(found: Sequence[Counts]) -> dict[str, float]:
    together = sum(found, Counts())
    pooled = {metric: getattr(together, metric) for metric in METRICS}
    return pooled | {"foreground_voxels": together.true_positive + together.false_negative}
