"""Tests of f's shape and of folding."""

import pytest
import torch

from recursive_expand.segment.network import build_network, fold_batch_norm, size_multiple
from recursive_expand.segment.unet2015 import UNet2015


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


def test_the_network_of_2015_is_ronneberger_s():
    """The blue boxes and arrows of its Figure 1, and the number of weights that they come to."""
    with torch.device("meta"):
        network = UNet2015(1, 2, (64, 128, 256, 512, 1024))
    convolutions = [m for m in network.modules() if isinstance(m, torch.nn.Conv2d)]
    down = [(64, 64), (64, 128), (128, 128), (128, 256), (256, 256), (256, 512), (512, 512), (512, 1024), (1024, 1024)]
    up = [(1024, 512), (512, 512), (512, 256), (256, 256), (256, 128), (128, 128), (128, 64), (64, 64), (64, 2)]
    assert [(m.in_channels, m.out_channels) for m in convolutions] == [(1, 64), *down, *up]
    assert [m.kernel_size for m in convolutions] == [(3, 3)] * 18 + [(1, 1)]
    upwards = [m for m in network.modules() if isinstance(m, torch.nn.ConvTranspose2d)]
    assert [(m.in_channels, m.out_channels) for m in upwards] == [(1024, 512), (512, 256), (256, 128), (128, 64)]
    assert all(m.kernel_size == m.stride == (2, 2) for m in upwards)
    kinds = [type(m).__name__ for m in network.modules() if not list(m.children())]
    assert {kind: kinds.count(kind) for kind in kinds} == {
        "Conv2d": 19,
        "ConvTranspose2d": 4,
        "ReLU": 18,
        "MaxPool2d": 4,
    }
    assert sum(weights.numel() for weights in network.parameters()) == 31_030_658


def test_the_preset_s_network_is_built_and_folding_changes_nothing(make_settings):
    network = build_network(make_settings(network={"kind": "unet2015", "channels": (4, 8, 16)})).eval()
    assert isinstance(network, UNet2015)
    images = torch.rand(2, 2, 16, 24)
    assert network(images).shape == (2, 3, 16, 24)
    assert torch.equal(fold_batch_norm(network)(images), network(images))


def test_first_weights_keep_the_signal_s_variance():
    torch.manual_seed(0)
    network = UNet2015(3, 2, (32, 64, 128))
    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d | torch.nn.ConvTranspose2d):
            kernel = 1 if isinstance(module, torch.nn.ConvTranspose2d) else module.kernel_size[0] ** 2
            assert module.weight.detach().std() == pytest.approx((2 / (kernel * module.in_channels)) ** 0.5, rel=0.2)
            assert not module.bias.any()
