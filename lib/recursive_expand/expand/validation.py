"""How good is a model on the locked validation share, and may it replace the old one?"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import Any

from recursive_expand.expand.study import Study
from recursive_expand.segment.metrics import Counts, count
from recursive_expand.segment.predict import Predictor
from recursive_expand.task import Task

METRICS = ("dice", "iou", "precision", "recall")


def validate(study: Study, predictor: Predictor, case_ids: Sequence[str]) -> dict[str, Any]:
    """Dice, IoU, precision and recall of any bleed over cases with expert masks: their means, and of all voxels.

    Args:
        study: the study.
        predictor: f and g.
        case_ids: the cases.

    Returns:
        `{"dice", "iou", "precision", "recall", "cases", "pooled"}`: means over cases (see `segment.metrics` for empty
        masks), and in `pooled` the same four of all cases' voxels taken together.
    """

    volumes = ((case_id, study.volume(study.ledger.case(case_id))) for case_id in case_ids)
    found: list[Counts] = []
    for case_id, prediction in predictor.propose_volumes(volumes):
        truth = study.pixel_mask(study.ledger.case(case_id))
        found.append(count(prediction.mask, truth, len(study.task.classes)).any_bleed)
    means = {metric: fmean(getattr(counts, metric) for counts in found) for metric in METRICS}
    together = sum(found, Counts())
    return means | {"cases": len(found), "pooled": {metric: getattr(together, metric) for metric in METRICS}}


def holds(task: Task, new: dict[str, Any], old: dict[str, Any] | None) -> bool:
    """The gate: Dice and recall of the new model are within the tolerance of the old one's.

    They are those of all voxels together. Of the few cases that are locked, one without blood moves a mean by 1 / cases
    for a single wrong voxel, which would close the gate on a better model.

    Args:
        task: `gate` and `gate_tolerance`.
        new, old: what `validate` returned; `old` is None in round 0, where there is nothing to fall back to.
    """
    if not task.gate or old is None:
        return True
    return all(new["pooled"][metric] >= old["pooled"][metric] - task.gate_tolerance for metric in ("dice", "recall"))
