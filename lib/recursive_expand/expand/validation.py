"""How good is a model on the locked validation share?"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import Any

from recursive_expand.expand.recursion import Recursion
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
    together = sum(found, Counts())
    pooled = {metric: getattr(together, metric) for metric in METRICS}
    pooled["foreground_voxels"] = together.true_positive + together.false_negative
    return means | {"cases": len(found), "pooled": pooled}
