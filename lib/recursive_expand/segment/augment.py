"""Augmentation: small changes of a slice under which its mask stays true, seeded by slice and epoch.

Not MONAI's transforms: their draws come in another order, and the same settings would no longer give the same weights.
"""

from __future__ import annotations

import zlib

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

HU_SHIFT = 5.0
"""Largest shift of the whole slice: the drift between scanners, in HU."""
HU_SCALE = 0.03
"""Largest relative change of contrast."""
NOISE_HU = 4.0
"""Largest standard deviation of the noise added, in HU."""
ROTATION_DEGREES = 10.0
ZOOM = 0.08
SHIFT_SHARE = 0.04
"""Largest shift, as a share of the slice's size."""
MOVED_SHARE = 0.5
"""Share of slices that are rotated, zoomed and shifted: interpolation softens the image, so not all."""


def example_rng(seed: int, round_index: int, epoch: int, key: str) -> np.random.Generator:
    """The generator of one slice in one epoch: the same wherever and in whatever order slices are made."""
    return np.random.default_rng([seed, round_index, epoch, zlib.crc32(key.encode())])


def augment(hu: Tensor, target: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Flip, move and disturb a slice.

    Args:
        hu: (H, W) or (S, H, W) int16, Hounsfield units; slices that are seen together are moved together.
        target: (H, W) uint8.
        rng: decides everything.

    Returns:
        New tensors of the same shapes and types.
    """
    background = hu.min()
    if rng.random() < 0.5:
        hu, target = hu.flip(-1), target.flip(-1)
    values = hu.to(torch.float32)
    if rng.random() < MOVED_SHARE:
        values, target = _moved(values, target, rng)
    tissue = values > background  # the air around stays air, the clipped background of a window stays clipped
    changed = values * (1 + rng.uniform(-HU_SCALE, HU_SCALE)) + rng.uniform(-HU_SHIFT, HU_SHIFT)
    noise = torch.from_numpy(rng.standard_normal(values.shape, dtype=np.float32))
    changed += noise * rng.uniform(0, NOISE_HU)
    return torch.where(tissue, changed, values).round_().clamp_(-32768, 32767).to(torch.int16), target


def _moved(values: Tensor, target: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Rotate about the centre, zoom and shift; what comes in from outside is background."""
    angle = np.deg2rad(rng.uniform(-ROTATION_DEGREES, ROTATION_DEGREES))
    zoom = 1 + rng.uniform(-ZOOM, ZOOM)
    height, width = target.shape
    cos, sin = np.cos(angle) * zoom, np.sin(angle) * zoom
    # affine_grid works in -1..1 along both axes: the shape's ratio keeps the rotation rigid.
    theta = torch.tensor(
        [
            [cos, -sin * height / width, rng.uniform(-2, 2) * SHIFT_SHARE],
            [sin * width / height, cos, rng.uniform(-2, 2) * SHIFT_SHARE],
        ],
        dtype=torch.float32,
    )
    grid = functional.affine_grid(theta[None], [1, 1, height, width], align_corners=False)
    low = values.min()  # grid_sample fills with 0
    planes = (values - low).reshape(1, -1, height, width)
    moved = functional.grid_sample(planes, grid, mode="bilinear", align_corners=False).reshape(values.shape) + low
    labels = functional.grid_sample(target.to(torch.float32)[None, None], grid, mode="nearest", align_corners=False)[
        0, 0
    ]
    return moved, labels.to(torch.uint8)
