"""Tests of equation 1 and of the Dice loss."""

import math

import numpy as np
import pytest
import torch

from recursive_expand.segment.losses import IGNORE, cross_entropy, dice_loss, segmentation_loss


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
