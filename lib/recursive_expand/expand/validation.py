"""How good is a model on the locked validation share?"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import Any

from recursive_expand.expand.study import Study
from recursive_expand.segment.metrics import Counts, count
from recursive_expand.segment.predict import Predictor

METRICS = ("dice", "iou", "precision", "recall")


def validate(study: Study, predictor: Predictor, case_ids: Sequence[str]) -> dict[str, Any]:
    """Dice, IoU, precision and recall of any bleed over cases with expert masks: their means, and of all voxels.

    Args:
        study: the study.
        predictor: f and g.
        case_ids: the cases.

    Returns:
        `{"dice", "iou", "precision", "recall", "cases", "pooled"}`: means over cases (see `segment.metrics` for empty
        masks), and in `pooled` the same four of all cases' voxels taken together, and `bleed_voxels`, those of the
        references.
    """

    volumes = ((case_id, study.volume(study.ledger.case(case_id))) for case_id in case_ids)
    found: list[Counts] = []
    for case_id, prediction in predictor.propose_volumes(volumes):
        truth = study.pixel_mask(study.ledger.case(case_id))
        found.append(count(prediction.mask, truth, len(study.task.classes)).any_bleed)
    means = {metric: fmean(getattr(counts, metric) for counts in found) for metric in METRICS}
    together = sum(found, Counts())
    pooled = {metric: getattr(together, metric) for metric in METRICS}
    pooled["bleed_voxels"] = together.true_positive + together.false_negative
    return means | {"cases": len(found), "pooled": pooled}
