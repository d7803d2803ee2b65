"""A model on the locked validation share."""

import numpy as np
import pytest

from recursive_expand.expand.validation import validate
from recursive_expand.segment.metrics import Counts, count
from recursive_expand.segment.predict import Predictor


def test_scores_are_means_over_cases_against_expert_masks(reviewing):
    predictor = Predictor(reviewing.task, reviewing.network(reviewing.ledger.current_model()[1]))
    cases = ["p0", "p1", "p2"]
    scores = validate(reviewing, predictor, cases)
    single = [validate(reviewing, predictor, [case_id]) for case_id in cases]
    assert scores["cases"] == 3
    for metric in ("dice", "iou", "precision", "recall"):
        assert scores[metric] == pytest.approx(sum(score[metric] for score in single) / 3)
        assert 0.3 < scores[metric] <= 1


def test_all_voxels_together_weigh_voxels_not_cases(reviewing, monkeypatch):
    predictor = Predictor(reviewing.task, reviewing.network(reviewing.ledger.current_model()[1]))
    masks = {case_id: reviewing.pixel_mask(reviewing.ledger.case(case_id)) for case_id in ("p0", "p1")}
    # Without blood in its reference, a case scores 0 for whatever is marked; its voxels are few among all.
    empty = np.zeros_like(masks["p1"])
    expected = Counts()
    for (_, prediction), truth in zip(
        predictor.propose_volumes((c, reviewing.volume(reviewing.ledger.case(c))) for c in masks),
        (masks["p0"], empty),
        strict=True,
    ):
        expected += count(prediction.mask, truth, 5).any_bleed
    monkeypatch.setattr(type(reviewing), "pixel_mask", lambda _, case: masks["p0"] if case.case_id == "p0" else empty)
    scores = validate(reviewing, predictor, ["p0", "p1"])
    assert scores["pooled"]["dice"] == pytest.approx(expected.dice)
    assert scores["dice"] < scores["pooled"]["dice"]
