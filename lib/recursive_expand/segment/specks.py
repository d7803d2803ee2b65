"""Specks: components too small to be a finding."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from recursive_expand.segment.box import Box

_EIGHT_NEIGHBOURS = np.ones((3, 3), bool)


def drop_specks(mask: NDArray[np.uint8], *, min_pixels: float) -> NDArray[np.uint8]:
    """Empty the connected components (8 neighbours) of each class with fewer pixels than `min_pixels`.

    Args:
        mask: (R, C) class values.
        min_pixels: the smallest component that stays; 1 or less keeps all.

    Returns:
        (R, C) uint8; the mask itself where nothing is dropped.
    """
    if min_pixels <= 1 or not mask.any():
        return mask
    kept = mask.copy()
    part = Box.around(mask).area
    mask, rest = mask[part], kept[part]
    for value in np.flatnonzero(np.bincount(mask.ravel())[1:]) + 1:
        labels, _ = ndimage.label(mask == value, _EIGHT_NEIGHBOURS)
        small = np.bincount(labels.ravel()) < min_pixels
        small[0] = False
        rest[small[labels]] = 0
    return kept
