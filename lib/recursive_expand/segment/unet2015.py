"""The U-Net of Ronneberger, Fischer and Brox, "Convolutional Networks for Biomedical Image Segmentation" (2015)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from monai.networks.nets.basic_unet import Down, TwoConv, UpCat
from torch import Tensor, nn


class UNet2015(nn.Module):
    """Two 3x3 convolutions with ReLU on each level, 2x2 max-pooling down, 2x2 up-convolutions that halve the channels.

    Of MONAI's blocks: its own `BasicUNet` has five levels only, and its last up-convolution does not halve. Two things
    are not Ronneberger's: convolutions are padded, so that the mask has the slice's size, and there is no dropout.

    Args:
        in_channels: of the image.
        out_channels: classes and background.
        channels: feature maps of each level, the finest first; there: 64, 128, 256, 512, 1024.
    """

    def __init__(self, in_channels: int, out_channels: int, channels: Sequence[int]) -> None:
        super().__init__()
        plain: dict[str, Any] = {"act": ("relu", {"inplace": True}), "norm": None, "bias": True, "dropout": None}
        self.first = TwoConv(2, in_channels, channels[0], **plain)
        self.down = nn.ModuleList(Down(2, above, below, **plain) for above, below in pairwise(channels))
        self.up = nn.ModuleList(UpCat(2, below, above, above, **plain) for below, above in pairwise(reversed(channels)))
        self.last = nn.Conv2d(channels[0], out_channels, 1)
        self.apply(_initialise)

    def forward(self, image: Tensor) -> Tensor:
        """(B, in_channels, H, W) to logits (B, out_channels, H, W)."""
        levels = [self.first(image)]
        for down in self.down:
            levels.append(down(levels[-1]))
        features = levels.pop()
        for up in self.up:
            features = up(features, levels.pop())
        return self.last(features)


def _initialise(module: nn.Module) -> None:
    """Weights from a normal distribution of standard deviation sqrt(2 / N), N being a neuron's incoming nodes."""
    if isinstance(module, nn.Conv2d):
        incoming = module.in_channels * math.prod(module.kernel_size)
    elif isinstance(module, nn.ConvTranspose2d):  # stride and kernel are equal: one node of each channel
        incoming = module.in_channels
    else:
        return
    nn.init.normal_(module.weight, std=math.sqrt(2 / incoming))
    if module.bias is not None:
        nn.init.zeros_(module.bias)
