"""Rims: components that nowhere lie deeper than a few millimetres under bone, which brightens what touches it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

BONE_HU = 150
"""Bone is denser; blood is not."""
PLATEAU_HU = 6
"""A picture has no values above its window's upper end: there bone is what lies within so many HU of it."""


def drop_rims(
    mask: NDArray[np.uint8], hu: NDArray[np.int16], spacing: tuple[float, float], *, min_depth: float
) -> NDArray[np.uint8]:
    """Empty the connected components (8 neighbours) of the foreground of which no pixel is so far from bone.

    Args:
        mask: (R, C) class values.
        hu: (R, C) int16, Hounsfield units, also of pictures whose values end at a display window's.
        spacing: mm between rows and between columns.
        min_depth: mm from the nearest bone that a component must reach; 0 keeps all.

    Returns:
        (R, C) uint8; the mask itself where nothing is dropped.
    """
    if min_depth <= 0 or not mask.any():
        return mask
    top = int(hu.max())
    bone = hu >= min(BONE_HU, top - PLATEAU_HU)
    reach = [int(min_depth / mm) + 1 for mm in spacing]
    labels, _ = ndimage.label(mask > 0, np.ones((3, 3)))
    kept = mask
    for value, place in enumerate(ndimage.find_objects(labels), start=1):
        box = tuple(slice(max(0, p.start - r), p.stop + r) for p, r in zip(place, reach, strict=True))
        rim = labels[box] == value
        if bone[box].any() and ndimage.distance_transform_edt(~bone[box], sampling=spacing)[rim].max() < min_depth:
            kept = mask.copy() if kept is mask else kept
            kept[box][rim] = 0
    return kept
