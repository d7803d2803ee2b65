"""CT windows: Hounsfield units to the network's input channels, on the device that holds them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recursive_expand.settings import Window


def apply_windows(hu: Tensor, windows: Sequence[Window]) -> Tensor:
    """Map HU to 0..1 once per window.

    Args:
        hu: (B, H, W) or (B, S, H, W), int16 or float, Hounsfield units; S slices are seen together (`Method.context`).
            int16 is what should cross to the device: half the bytes of one float window.
        windows: values from level - width / 2 to level + width / 2 map to 0..1; what lies outside is clamped, so
            that air is exactly 0, as a convolution's zero padding is.

    Returns:
        (B, S * len(windows), H, W) float32 on the device of `hu`: all windows of the first slice, then of the next.
    """
    if hu.ndim == 3:
        hu = hu.unsqueeze(1)
    if hu.ndim != 4:
        raise ValueError(f"slices must be (B, H, W) or (B, S, H, W), not {tuple(hu.shape)}")
    values = hu.to(torch.float32)
    out = values.new_empty((hu.shape[0], hu.shape[1] * len(windows), *hu.shape[2:]))
    for channel, (number, window) in enumerate(product(range(hu.shape[1]), windows)):
        torch.add(values[:, number], window.width / 2 - window.level, out=out[:, channel])
        out[:, channel].div_(window.width).clamp_(0, 1)
    return out


def window_image(hu: NDArray[np.int16], window: Window) -> NDArray[np.float64]:
    """One window of a slice as g takes it.

    Args:
        hu: any shape, Hounsfield units.
        window: the CT window.

    Returns:
        The same shape, float64 in 0..1.
    """
    low = window.level - window.width / 2
    return np.clip((hu.astype(np.float64) - low) / window.width, 0.0, 1.0)
