"""The gate's rule; what a round makes of it is in test_rounds."""

import pytest

from recursive_expand.expand.gate import holds


def pooled(dice, recall, precision=0.9, foreground_voxels=100):
    found = {"dice": dice, "recall": recall, "precision": precision, "foreground_voxels": foreground_voxels}
    return {"dice": 0.5, "recall": 0.5, "pooled": found}


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
def test_dice_and_recall_must_hold(ich, new, held):
    assert holds(ich.method, new, OLD) == held


def test_without_foreground_to_find_a_single_wrong_voxel_does_not_close_the_gate(ich):
    assert holds(ich.method, pooled(0.0, 0.0, foreground_voxels=0), pooled(1.0, 1.0, foreground_voxels=0))
