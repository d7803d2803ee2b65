"""The gate."""

import numpy as np
import pytest

from recursive_expand.expand.validation import holds, validate
from recursive_expand.segment.metrics import Counts, count
from recursive_expand.segment.predict import Predictor


def pooled(dice, recall, precision=0.9):
    return {"dice": 0.5, "recall": 0.5, "pooled": {"dice": dice, "recall": recall, "precision": precision}}


OLD = pooled(0.80, 0.70)


@pytest.mark.parametrize(
    ("new", "held"),
    [
        (pooled(0.76, 0.66, 0.1), True),
        (pooled(0.74, 0.99), False),
        (pooled(0.99, 0.64), False),
    ],
    ids=["within tolerance", "Dice fell", "recall fell"],
)
def test_dice_and_recall_must_hold(study, new, held):
    assert holds(study.task, new, OLD) == held


def test_without_a_gate_or_an_old_model_anything_holds(study):
    worse = pooled(0.0, 0.0)
    assert holds(study.task.model_copy(update={"gate": False}), worse, OLD)
    assert holds(study.task, worse, None)


def test_scores_are_means_over_cases_against_expert_masks(reviewing):
    predictor = Predictor(reviewing.task, reviewing.network(reviewing.ledger.current_model()[1]))
    cases = ["p0", "p1", "p2"]
    scores = validate(reviewing, predictor, cases)
    single = [validate(reviewing, predictor, [case_id]) for case_id in cases]
    assert scores["cases"] == 3
    for metric in ("dice", "iou", "precision", "recall"):
        assert scores[metric] == pytest.approx(sum(score[metric] for score in single) / 3)
        assert 0.3 < scores[metric] <= 1


def test_the_gate_weighs_voxels_not_cases(reviewing, monkeypatch):
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
