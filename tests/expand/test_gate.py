"""The gate's rule; what a round makes of it is in test_rounds."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recursive_expand.expand.gate import Measured, holds


def measured(dice, recall, precision=0.9, foreground_voxels=100, accepted=None):
    found = {"dice": dice, "recall": recall, "precision": precision, "foreground_voxels": foreground_voxels}
    on_accepted = None
    if accepted is not None:
        on_accepted = {"slices": 5, "pooled": found | dict(zip(("dice", "recall"), accepted, strict=True))}
    return Measured({"dice": 0.5, "recall": 0.5, "pooled": found}, on_accepted)


OLD = measured(0.80, 0.70)
ITS_OWN = measured(0.80, 0.70, accepted=(1.0, 1.0))
"""An old model that made what was accepted itself."""


@pytest.mark.parametrize(
    ("new", "held"),
    [
        (measured(0.76, 0.66, 0.1), True),
        (measured(0.74, 0.99), False),
        (measured(0.99, 0.64), False),
    ],
    ids=["within tolerance", "Dice fell", "recall fell"],
)
def test_dice_and_recall_must_hold(ich, new, held):
    assert holds(ich.method, new, OLD) == held


def test_without_foreground_to_find_a_single_wrong_voxel_does_not_close_the_gate(ich):
    assert holds(ich.method, measured(0.0, 0.0, foreground_voxels=0), measured(1.0, 1.0, foreground_voxels=0))


@pytest.mark.parametrize(
    ("accepted", "held"),
    [((0.71, 0.66), True), ((0.64, 0.9), False), ((0.9, 0.64), False), ((1.0, 1.0), True)],
    ids=["drawn otherwise", "marks much else", "misses what was accepted", "drawn alike"],
)
def test_what_experts_accepted_has_a_say_beside_the_masks(ich, accepted, held):
    method = ich.method.model_copy(update={"tau": 0.25, "gate_tolerance": 0.1})
    assert holds(method, measured(0.80, 0.70, accepted=accepted), ITS_OWN) == held


def test_a_better_model_on_accepted_slices_does_not_make_up_for_worse_masks(ich):
    assert not holds(ich.method, measured(0.60, 0.70, accepted=(1.0, 1.0)), ITS_OWN)


def test_where_the_old_model_is_worse_than_what_is_asked_its_values_are(ich):
    """Nobody's masks: both models are later ones."""
    method = ich.method.model_copy(update={"tau": 0.2, "gate_tolerance": 0.05})
    old = measured(0.80, 0.70, accepted=(0.5, 0.5))
    assert holds(method, measured(0.80, 0.70, accepted=(0.46, 0.46)), old)
    assert not holds(method, measured(0.80, 0.70, accepted=(0.44, 0.9)), old)


shares = st.floats(0, 1)


@given(dice=shares, recall=shares, accepted=st.none() | st.tuples(shares, shares), tau=st.floats(0, 0.99))
def test_a_model_holds_against_itself(ich, dice, recall, accepted, tau):
    method = ich.method.model_copy(update={"tau": tau, "gate_tolerance": 0.0})
    same = measured(dice, recall, accepted=accepted)
    assert holds(method, same, same)


@given(new=st.tuples(shares, shares), old=st.tuples(shares, shares))
def test_without_expert_masks_accepted_slices_alone_decide(ich, new, old):
    before, after = (dataclasses.replace(measured(0, 0, accepted=each), masks=None) for each in (old, new))
    least = [min(value, 1 - ich.method.tau) - ich.method.gate_tolerance for value in old]
    assert holds(ich.method, after, before) == all(a >= b for a, b in zip(new, least, strict=True))
