"""prelu.py: torch's PReLU, only quicker."""

from __future__ import annotations

import copy

import torch
from torch import nn

from recursive_expand.segment.prelu import PReLU, quicken


def test_values_and_gradients_are_torch_s():
    torch.manual_seed(0)
    torch_s = nn.Sequential(nn.Conv2d(2, 4, 3), nn.PReLU(), nn.Conv2d(4, 2, 3), nn.PReLU())
    with torch.no_grad():
        torch_s[3].weight.fill_(-0.5)
    quick = quicken(copy.deepcopy(torch_s))
    assert type(quick[1]) is PReLU and list(quick.state_dict()) == list(torch_s.state_dict())
    images = torch.randn(2, 2, 8, 8)
    results = [network(images) for network in (quick, torch_s)]
    torch.testing.assert_close(*results)
    for result in results:
        result.square().sum().backward()
    for a, b in zip(quick.parameters(), torch_s.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad)
    with torch.inference_mode():
        torch.testing.assert_close(quick(images), torch_s(images))


def test_one_of_a_slope_for_each_channel_stays_torch_s():
    assert type(quicken(nn.Sequential(nn.PReLU(4)))[0]) is nn.PReLU


def test_gradcheck():
    module = quicken(nn.Sequential(nn.PReLU())).double()
    torch.manual_seed(0)
    assert torch.autograd.gradcheck(module, torch.randn(3, 4, dtype=torch.double, requires_grad=True))
