"""f: the 2-D U-Net that turns windowed CT slices into class logits."""

from __future__ import annotations

import copy

from monai.networks.blocks import Convolution
from monai.networks.nets import UNet
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from recursive_expand.segment.prelu import quicken
from recursive_expand.segment.unet2015 import UNet2015
from recursive_expand.settings import Settings


def build_network(settings: Settings) -> nn.Module:
    """Build f with freshly initialised weights.

    Batch normalisation is pointwise in eval mode, so that a region's box gives the same logits as the whole slice
    except near the box's border. Seed torch before calling for reproducible weights.

    Args:
        settings: the number of windows and classes; the network's kind, channels and residual units.

    Returns:
        A module from (B, input_channels(settings), H, W) float in 0..1 to logits (B, K + 1, H, W), channel 0 being
        background. H and W must be multiples of `size_multiple(settings)`.
    """
    chosen, channels = settings.method.network, settings.method.network.channels
    inputs, outputs = input_channels(settings), len(settings.task.classes) + 1
    if chosen.kind == "unet2015":
        return UNet2015(inputs, outputs, channels=channels)
    network = UNet(
        spatial_dims=2,
        in_channels=inputs,
        out_channels=outputs,
        channels=channels,
        strides=(2,) * (len(channels) - 1),
        num_res_units=chosen.residual_units,
        norm="batch",
        # With few slices to learn from, PReLU converges several times faster than ReLU, at the same cost.
        act="prelu",
    )
    return quicken(network)


def input_channels(settings: Settings) -> int:
    """What `apply_windows` makes of a slice and those that f sees with it."""
    return len(settings.task.windows) * (2 * settings.method.context + 1)


def size_multiple(settings: Settings) -> int:
    """What the height and width of f's input must be a multiple of, in pixels."""
    return int(2 ** (len(settings.method.network.channels) - 1))


def fold_batch_norm(network: nn.Module) -> nn.Module:
    """A copy for prediction, each batch normalisation folded into the convolution before it.

    Args:
        network: what `build_network` returned, trained.

    Returns:
        A copy in eval mode that gives the same logits up to rounding, with fewer passes over memory.
    """
    folded = copy.deepcopy(network).eval()
    for module in folded.modules():
        if isinstance(module, Convolution) and hasattr(module, "adn") and hasattr(module.adn, "N"):
            fused = fuse_conv_bn_eval(module.conv, module.adn.N, transpose=module.is_transposed)  # type: ignore[type-var, arg-type]
            module.conv = fused
            del module.adn.N
    return folded
