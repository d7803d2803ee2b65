"""Tests of f's shape and of folding."""

import pytest
import torch

from recursive_expand.segment.network import build_network, fold_batch_norm, size_multiple


def test_one_logit_for_each_class_and_background(settings, network):
    assert network(torch.rand(2, 2, 16, 24)).shape == (2, 3, 16, 24)
    assert size_multiple(settings) == 4


@pytest.mark.parametrize("residual_units", [0, 2])
def test_folding_keeps_the_logits(make_settings, residual_units):
    network = build_network(make_settings(network={"residual_units": residual_units}))
    for _ in range(3):  # statistics that differ from their first values
        network(torch.rand(2, 2, 16, 16) * 3)
    network.eval()
    folded = fold_batch_norm(network)
    images = torch.rand(2, 2, 16, 16)
    torch.testing.assert_close(folded(images), network(images), rtol=1e-4, atol=1e-4)
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in folded.modules())
    assert any(isinstance(module, torch.nn.BatchNorm2d) for module in network.modules())


def test_a_far_change_leaves_a_slices_logits_alone(settings):
    network = build_network(settings).eval()
    images = torch.rand(1, 2, 64, 64)
    changed = images.clone()
    changed[:, :, :, 60:] = 0
    assert torch.equal(network(images)[..., :8], network(changed)[..., :8])
