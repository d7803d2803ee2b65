"""How good is a model on the locked validation share, and may it replace the old one?"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import Any

from recursive_expand.expand.study import Study
from recursive_expand.segment.metrics import count
from recursive_expand.segment.predict import Predictor
from recursive_expand.task import Task

METRICS = ("dice", "iou", "precision", "recall")


def validate(study: Study, predictor: Predictor, case_ids: Sequence[str]) -> dict[str, Any]:
    """Mean Dice, IoU, precision and recall of any bleed over cases with expert masks.

    Args:
        study: the study.
        predictor: f and g.
        case_ids: the cases.

    Returns:
        `{"dice", "iou", "precision", "recall", "cases"}`; see `segment.metrics` for empty masks.
    """

    volumes = ((case_id, study.volume(study.ledger.case(case_id))) for case_id in case_ids)
    scores: dict[str, list[float]] = {metric: [] for metric in METRICS}
    for case_id, prediction in predictor.propose_volumes(volumes):
        truth = study.pixel_mask(study.ledger.case(case_id))
        counts = count(prediction.mask, truth, len(study.task.classes)).any_bleed
        for metric in METRICS:
            scores[metric].append(getattr(counts, metric))
    return {metric: fmean(values) for metric, values in scores.items()} | {"cases": len(case_ids)}


def holds(task: Task, new: dict[str, Any], old: dict[str, Any] | None) -> bool:
    """The gate: Dice and recall of the new model are within the tolerance of the old one's.

    Args:
        task: `gate` and `gate_tolerance`.
        new, old: what `validate` returned; `old` is None in round 0, where there is nothing to fall back to.
    """
    if not task.gate or old is None:
        return True
    return all(new[metric] >= old[metric] - task.gate_tolerance for metric in ("dice", "recall"))
