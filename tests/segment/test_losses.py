"""Tests of equation 1 and of the Dice loss."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recursive_expand.segment.losses import (
    IGNORE,
    REJECTED,
    cross_entropy,
    dice_loss,
    rejected_loss,
    robust_cross_entropy,
    segmentation_loss,
)


def _certain(target, classes=3, size=20.0):
    return torch.nn.functional.one_hot(target.long(), classes).movedim(-1, 1) * size


def test_cross_entropy_is_equation_1():
    logits = torch.randn(1, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    target = torch.tensor([[[0, 1], [2, 1]]])
    f = logits.softmax(1).numpy()
    y = np.moveaxis(np.eye(3)[target.numpy()], -1, 1)
    expected = -1 / (2 * 2) * (y * np.log(f)).sum()
    assert float(cross_entropy(logits, target)) == pytest.approx(expected, rel=1e-5)


def test_every_slice_counts_the_same_however_many_pixels_are_ignored():
    target = torch.zeros(2, 1, 4, dtype=torch.uint8)
    target[1, 0, 1:] = IGNORE
    logits = torch.zeros(2, 2, 1, 4)
    logits[1, 0, 0, 0] = -30.0  # slice 2: its one pixel is wrong
    assert float(cross_entropy(logits, target)) == pytest.approx((math.log(2) + 30) / 2, rel=1e-5)


def test_ignored_pixels_teach_nothing():
    logits = torch.zeros(1, 3, 2, 2, requires_grad=True)
    target = torch.tensor([[[0, IGNORE], [1, IGNORE]]])
    segmentation_loss(logits, target, torch.tensor([True])).backward()
    assert (logits.grad[..., 1] == 0).all()
    assert (logits.grad[..., 0] != 0).any()


def test_a_slice_of_ignored_pixels_alone_is_0_not_nan():
    target = torch.full((1, 2, 2), IGNORE)
    assert float(cross_entropy(torch.randn(1, 3, 2, 2), target)) == 0


def test_dice_is_0_for_the_truth_and_1_for_its_opposite():
    target = torch.tensor([[[0, 1], [2, 1]]])
    assert float(dice_loss(_certain(target), target)) == pytest.approx(0, abs=1e-4)
    assert float(dice_loss(_certain((target + 1) % 3), target)) == pytest.approx(1, abs=1e-3)


def test_absent_classes_are_left_out_of_dice():
    target = torch.tensor([[[0, 1], [0, 1]]])
    assert float(dice_loss(_certain(target), target)) == pytest.approx(0, abs=1e-4)
    assert float(dice_loss(torch.randn(1, 3, 2, 2), torch.zeros(1, 2, 2))) == 0


def test_dice_joins_only_on_slices_that_ask_for_it():
    logits = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(1))
    target = torch.randint(0, 3, (2, 4, 4), generator=torch.Generator().manual_seed(2))
    plain = cross_entropy(logits, target)
    assert torch.equal(segmentation_loss(logits, target, torch.tensor([False, False])), plain)
    both = segmentation_loss(logits, target, torch.tensor([True, True]))
    assert float(both) == pytest.approx(float(plain + dice_loss(logits, target)))
    one = segmentation_loss(logits, target, torch.tensor([True, False]))
    assert float(one) == pytest.approx(float(plain + dice_loss(logits[:1], target[:1]) / 2))


def _one_pixel(probability):
    """Logits of a slice of one pixel whose target, class 1, has this probability."""
    return torch.tensor([1 - probability, probability]).log().reshape(1, 2, 1, 1), torch.ones(1, 1, 1)


@pytest.mark.parametrize("probability", [0.05, 0.5, 0.9])
@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        # The definitions, with one-hot targets: log 0 is -4.
        ("symmetric", lambda p: 0.1 * -math.log(p) + 1.0 * -((1 - p) * -4 + p * math.log(1))),
        ("generalised", lambda p: (1 - p**0.7) / 0.7),
        ("cross_entropy", lambda p: -math.log(p)),
    ],
)
def test_robust_losses_are_those_of_the_papers(kind, expected, probability):
    logits, target = _one_pixel(probability)
    loss = robust_cross_entropy(logits, target, torch.tensor([True]), kind)
    assert float(loss) == pytest.approx(expected(probability), rel=1e-5)


@pytest.mark.parametrize("kind", ["symmetric", "generalised", "lopsided"])
def test_robust_losses_are_for_accepted_slices_alone(kind):
    logits = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(3))
    target = torch.randint(0, 3, (2, 4, 4), generator=torch.Generator().manual_seed(4))
    with_dice = torch.tensor([False, False])
    robust = {"accepted_loss": kind, "background_trust": 0.1}
    mixed = segmentation_loss(logits, target, with_dice, accepted=torch.tensor([True, False]), **robust)
    alone = robust_cross_entropy(logits[:1], target[:1], torch.tensor([True]), kind, background_trust=0.1)
    assert float(mixed) == pytest.approx(float(alone + cross_entropy(logits[1:], target[1:])) / 2)
    none = segmentation_loss(logits, target, with_dice, accepted=torch.tensor([False, False]), **robust)
    assert torch.equal(none, cross_entropy(logits, target))


@pytest.mark.parametrize("kind", ["symmetric", "generalised", "lopsided"])
def test_robust_losses_ignore_what_is_left_out_and_stay_finite(kind):
    for wrong in (0, 1):  # f is sure of the other class
        logits = torch.tensor([[[[200.0, 0.0]], [[-200.0, 0.0]]]])
        logits = (logits if wrong else -logits).requires_grad_()
        target = torch.tensor([[[wrong, IGNORE]]])
        loss = robust_cross_entropy(logits, target, torch.tensor([True]), kind, background_trust=0.1)
        loss.backward()
        assert torch.isfinite(loss) and torch.isfinite(logits.grad).all()
        assert (logits.grad[..., 1] == 0).all()


def test_a_sure_mistake_pulls_less_than_in_cross_entropy():
    pulls = {}
    for kind in ("cross_entropy", "symmetric", "generalised"):
        logits, target = _one_pixel(0.01)
        logits.requires_grad_()
        robust_cross_entropy(logits, target, torch.tensor([True]), kind).backward()
        pulls[kind] = float(logits.grad.abs().sum())
    assert max(pulls["symmetric"], pulls["generalised"]) < pulls["cross_entropy"] / 5


def _lopsided(logits, target, trust):
    return robust_cross_entropy(logits, target, torch.tensor([True]), "lopsided", background_trust=trust)


def _background(blood):
    """Logits of a slice of one pixel whose target is background, where f sees blood with this probability."""
    logits = torch.tensor([1 - blood, blood]).log().reshape(1, 2, 1, 1).requires_grad_()
    return logits, torch.zeros(1, 1, 1)


@settings(max_examples=30, deadline=None)
@given(probability=st.floats(0.01, 0.99), trust=st.floats(0.01, 1))
def test_the_lopsided_loss_is_cross_entropy_on_foreground_and_a_bootstrap_on_background(probability, trust):
    logits, target = _one_pixel(probability)
    assert float(_lopsided(logits, target, trust)) == pytest.approx(-math.log(probability), rel=1e-4)
    logits, target = _background(probability)
    entropy = -probability * math.log(probability) - (1 - probability) * math.log(1 - probability)
    expected = -trust * math.log(1 - probability) + (1 - trust) * entropy
    assert _lopsided(logits, target, trust).item() == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize(
    ("blood", "trust", "held"),
    [
        (0.8, 0.1, True),  # f sees blood where the accepted mask has none: f holds on to it
        (0.8, 1.0, False),  # cross-entropy does not let it
        (0.8, 0.23, False),  # nor does a trust above 0.22
        (0.3, 0.1, False),  # and what it hardly believes is unlearned
        (0.999, 0.1, False),  # against all too much certainty the target wins a little
    ],
)
def test_blood_that_an_accepted_mask_misses_is_not_unlearned(blood, trust, held):
    logits, target = _background(blood)
    _lopsided(logits, target, trust).backward()
    assert (logits.grad[0, 1] < 0).item() is held


def test_with_all_trust_the_lopsided_loss_is_cross_entropy():
    logits = torch.randn(1, 3, 4, 4, generator=torch.Generator().manual_seed(9))
    target = torch.randint(0, 3, (1, 4, 4), generator=torch.Generator().manual_seed(10))
    assert torch.equal(_lopsided(logits, target, 1.0), cross_entropy(logits, target))


def test_by_default_the_loss_is_the_published_one_to_the_bit():
    logits = torch.randn(3, 3, 8, 8, generator=torch.Generator().manual_seed(5))
    target = torch.randint(0, 3, (3, 8, 8), generator=torch.Generator().manual_seed(6))
    target[0, :3] = IGNORE
    per_pixel = torch.nn.functional.cross_entropy(logits, target, ignore_index=IGNORE, reduction="none")
    published = (per_pixel.flatten(1).sum(1) / (target != IGNORE).flatten(1).sum(1).clamp(min=1)).mean()
    loss = segmentation_loss(logits, target, torch.tensor([False] * 3), accepted=torch.tensor([True] * 3))
    assert torch.equal(loss, published)


def test_a_rejected_region_is_pushed_below_the_limit_and_no_further():
    foreground = torch.tensor([[[0.9, 0.8], [0.6, 0.99]]])
    logits = torch.stack([1 - foreground, foreground], dim=1).log().requires_grad_()
    target = torch.tensor([[[REJECTED, REJECTED], [REJECTED, IGNORE]]])
    loss = rejected_loss(logits, target, limit=0.7)
    assert loss.item() == pytest.approx((0.2 + 0.1 + 0) / 3, rel=1e-4)
    loss.backward()
    pull = logits.grad[0, 1]
    assert (pull[0] > 0).all() and (pull[1] == 0).all()


def test_rejected_slices_change_no_other_slice_and_teach_nothing_else():
    logits = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(7)).requires_grad_()
    target = torch.randint(0, 3, (2, 4, 4), generator=torch.Generator().manual_seed(8))
    target[1] = IGNORE
    target[1, 0, 0] = REJECTED
    none = torch.tensor([False, False])
    loss = segmentation_loss(logits, target, none, rejected_limit=0.1)
    expected = cross_entropy(logits[:1], target[:1]) / 2 + rejected_loss(logits[1:], target[1:], limit=0.1) / 2
    assert loss.item() == pytest.approx(expected.item())
    loss.backward()
    assert (logits.grad[1, :, 1:] == 0).all() and (logits.grad[1, :, 0, 1:] == 0).all()
    assert (logits.grad[1, :, 0, 0] != 0).any()
