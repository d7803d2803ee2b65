"""slice_label_loss.py: f is asked for what a slice's labels name, somewhere, and for nothing else."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recursive_expand.segment.losses import IGNORE
from recursive_expand.segment.slice_label_loss import LABELLED, SHARPNESS, slice_label_loss


def _logits(seed, batch=2, classes=2, size=4):
    return torch.randn(batch, classes + 1, size, size, generator=torch.Generator().manual_seed(seed))


def test_it_is_the_cross_entropy_of_a_smooth_maximum():
    logits = _logits(0, batch=1)
    target = torch.full((1, 4, 4), LABELLED)
    target[0, 0] = IGNORE
    expected = 0.0
    for k, present in ((1, 1), (2, 0)):
        p = logits.softmax(1)[0, k, 1:].double()
        odds = (p / (1 - p)).log()
        pooled = ((SHARPNESS * odds).exp().mean().log() / SHARPNESS).item()
        assert odds.mean() <= pooled <= odds.max()
        expected += math.log1p(math.exp(-pooled if present else pooled)) / 2
    loss = slice_label_loss(logits, target, torch.tensor([[True, False]]))
    assert loss.item() == pytest.approx(expected, rel=1e-5)


@given(seed=st.integers(0, 999), labels=st.lists(st.booleans(), min_size=2, max_size=2))
@settings(max_examples=25, deadline=None)
def test_it_pulls_towards_the_labels_where_they_hold_and_nowhere_else(seed, labels):
    logits = _logits(seed).requires_grad_()
    target = torch.full((2, 4, 4), IGNORE)
    target[1, :2] = LABELLED
    loss = slice_label_loss(logits, target, torch.tensor([[False, False], labels]))
    loss.backward()
    assert (logits.grad[0] == 0).all() and (logits.grad[1, :, 2:] == 0).all()
    after = slice_label_loss((logits - 0.01 * logits.grad).detach(), target, torch.tensor([[False, False], labels]))
    assert after < loss
    if not any(labels):  # what is not there is pushed down everywhere that counts
        assert (logits.grad[1, 0, :2] < 0).all()


def test_one_confident_pixel_satisfies_a_label():
    logits = torch.zeros(1, 2, 8, 8)
    logits[:, 0] = 8.0
    target = torch.full((1, 8, 8), LABELLED)
    there = torch.tensor([[True]])
    nothing = slice_label_loss(logits, target, there).item()
    logits[0, :, 3, 3] = torch.tensor([0.0, 8.0])
    assert nothing > 5 and slice_label_loss(logits, target, there).item() < 0.01


def test_slices_without_labels_count_nothing():
    logits = _logits(1).requires_grad_()
    loss = slice_label_loss(logits, torch.zeros(2, 4, 4), torch.zeros(2, 2))
    loss.backward()
    assert loss == 0 and (logits.grad == 0).all()


def test_sure_logits_stay_finite():
    logits = (_logits(2) * 1000).requires_grad_()
    loss = slice_label_loss(logits, torch.full((2, 4, 4), LABELLED), torch.ones(2, 2))
    loss.backward()
    assert torch.isfinite(loss) and torch.isfinite(logits.grad).all()
