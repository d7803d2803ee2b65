"""The gate's rule; what a round makes of it is in test_rounds."""

import pytest

from recursive_expand.expand.gate import holds


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
