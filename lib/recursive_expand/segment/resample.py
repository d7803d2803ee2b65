"""The working grid: f may see slices coarser than they are; its logits return to the native grid."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def working_shape(
    shape: tuple[int, int], spacing: tuple[float, float] | None, working_spacing: float | None
) -> tuple[int, int]:
    """The shape in which f sees an area of a slice.

    Args:
        shape: (rows, columns) in native pixels.
        spacing: mm between rows and between columns; None where it is not known.
        working_spacing: the in-plane spacing in mm at which f works; None: the slice's own.

    Returns:
        (rows, columns) in working pixels: never more than `shape`, for a finer grid would hold nothing new.
    """
    if spacing is None or working_spacing is None:
        return shape
    rows, columns = (
        max(1, round(size * min(1.0, mm / working_spacing))) for size, mm in zip(shape, spacing, strict=True)
    )
    return rows, columns


def to_working(hu: Tensor, shape: tuple[int, int]) -> Tensor:
    """Average HU over each working pixel.

    Args:
        hu: (B, H, W) or (B, S, H, W), int16 or float, Hounsfield units.
        shape: the working shape.

    Returns:
        (B, *shape) or (B, S, *shape): `hu` itself where the shape is the same, float32 otherwise.
    """
    if tuple(hu.shape[-2:]) == shape:
        return hu
    planes = hu if hu.ndim == 4 else hu.unsqueeze(1)
    return functional.interpolate(planes.to(torch.float32), size=shape, mode="area").reshape(*hu.shape[:-2], *shape)


def to_native(logits: Tensor, shape: tuple[int, int]) -> Tensor:
    """Interpolate logits (B, K + 1, h, w) to (B, K + 1, *shape)."""
    if tuple(logits.shape[-2:]) == shape:
        return logits
    return functional.interpolate(logits.to(torch.float32), size=shape, mode="bilinear", align_corners=False)


def target_to_working(target: Tensor, shape: tuple[int, int]) -> Tensor:
    """Nearest class value of a (B, H, W) uint8 target at each working pixel's centre: (B, *shape)."""
    if tuple(target.shape[-2:]) == shape:
        return target
    return functional.interpolate(target.unsqueeze(1), size=shape, mode="nearest-exact").squeeze(1)
