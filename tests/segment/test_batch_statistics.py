"""batch_statistics.py: running means are those of all batches since they were begun anew."""

from __future__ import annotations

import copy

import pytest
import torch

from recursive_expand.segment.batch_statistics import follow_statistics, gather_statistics


@pytest.fixture
def layer():
    return torch.nn.Sequential(torch.nn.BatchNorm2d(2)).train()


@pytest.fixture
def batches():
    torch.manual_seed(0)
    return [torch.randn(3, 2, 4, 4) + shift for shift in (0, 5, 20, -3)]


def test_all_batches_count_alike_after_an_interruption_too(layer, batches):
    layer(batches[0] + 100)  # forgotten
    gather_statistics(layer, anew=True)
    layer(batches[0])
    layer(batches[1])
    resumed = torch.nn.Sequential(torch.nn.BatchNorm2d(2)).train()
    resumed.load_state_dict(copy.deepcopy(layer.state_dict()))
    gather_statistics(resumed, anew=False)
    for network in (layer, resumed):
        network(batches[2])
        network(batches[3])
        assert torch.allclose(network[0].running_mean, torch.stack([b.mean((0, 2, 3)) for b in batches]).mean(0))
        variances = torch.stack([b.transpose(0, 1).flatten(1).var(1) for b in batches])
        assert torch.allclose(network[0].running_var, variances.mean(0))


def test_afterwards_they_follow_again(layer, batches):
    gather_statistics(layer, anew=True)
    layer(batches[0])
    before = layer[0].running_mean.clone()
    follow_statistics(layer)
    layer(batches[1])
    assert torch.allclose(layer[0].running_mean, 0.9 * before + 0.1 * batches[1].mean((0, 2, 3)))
