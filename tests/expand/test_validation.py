"""The gate."""

import pytest

from recursive_expand.expand.validation import holds, validate
from recursive_expand.segment.predict import Predictor

OLD = {"dice": 0.80, "recall": 0.70, "precision": 0.9}


@pytest.mark.parametrize(
    ("new", "held"),
    [
        ({"dice": 0.76, "recall": 0.66, "precision": 0.1}, True),
        ({"dice": 0.74, "recall": 0.99, "precision": 0.99}, False),
        ({"dice": 0.99, "recall": 0.64, "precision": 0.99}, False),
    ],
    ids=["within tolerance", "Dice fell", "recall fell"],
)
def test_dice_and_recall_must_hold(study, new, held):
    assert holds(study.task, new, OLD) == held


def test_without_a_gate_or_an_old_model_anything_holds(study):
    worse = {"dice": 0.0, "recall": 0.0}
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
