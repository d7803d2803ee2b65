"""Thresholds that follow an f that has become surer."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from recursive_expand.segment import as_precise as module
from recursive_expand.segment.as_precise import HALVINGS, LOOKS, SHIFTS, TRUST, as_precise
from recursive_expand.segment.examples import Example

CPU = torch.device("cpu")
RESOLUTION = (SHIFTS[1] - SHIFTS[0]) / 2**HALVINGS


class Surer(nn.Module):
    """The log-odds of all foreground, so much higher: the same f but for its thresholds."""

    def __init__(self, network, by):
        super().__init__()
        self.network, self.by = network, by

    def forward(self, images):
        logits = self.network(images).clone()
        logits[:, 0] -= self.by
        return logits


@pytest.fixture
def unseen(monkeypatch, make_head):
    """Noisy heads, on which every threshold has its precision."""
    examples = []
    for n in range(6):
        hu, mask = make_head(64, bleed=(28 + n, 30), seed=n)
        hu = hu + np.random.default_rng(n).normal(0, 25, hu.shape).astype(np.int16)
        examples.append(Example(f"synthetic:{n}", hu, mask, True, (3.0, 3.0)))
    monkeypatch.setattr(module, "unseen_examples", lambda _settings: iter(examples))


def log_odds(probability):
    return math.log(probability / (1 - probability))


@pytest.mark.parametrize("by", [-1.0, 0.0, 1.0, 2.0])
def test_thresholds_follow_half_of_the_way(trained, unseen, by):
    settings, network = trained
    settings = settings.changed(pretrain="synthetic", foreground_threshold={"epidural": 0.2, "subdural": 0.3})
    seen = []
    found, aim = as_precise(settings, Surer(network, by), network, CPU, on_slice=seen.append)
    assert 0 < aim < 1 and set(found) == {"epidural", "subdural"}
    for name, before in (("epidural", 0.2), ("subdural", 0.3)):
        assert log_odds(found[name]) - log_odds(before) == pytest.approx(TRUST * by, abs=RESOLUTION)
    assert seen == list(range(1, LOOKS * 6 + 1))


def test_where_nothing_tells_thresholds_stay(trained, unseen, monkeypatch):
    settings, network = trained
    configured = settings.changed(pretrain="synthetic", foreground_threshold=0.1)
    both = {"epidural": 0.1, "subdural": 0.1}
    silent = Surer(network, -50.0)
    assert as_precise(configured, network, silent, CPU) == (both, None)
    assert as_precise(settings.changed(pretrain="none"), network, network, CPU) == ({}, None)
    monkeypatch.setattr(module, "unseen_examples", lambda _settings: iter(()))
    assert as_precise(configured, Surer(network, 1.0), network, CPU) == (both, None)


@pytest.mark.parametrize("configured", [0.00001, 0.9999999])
def test_what_is_chosen_is_a_threshold(trained, unseen, configured):
    settings, network = trained
    settings = settings.changed(pretrain="synthetic", foreground_threshold=configured)
    found, _ = as_precise(settings, Surer(network, 4.0), network, CPU)
    settings.changed(foreground_threshold=found)
