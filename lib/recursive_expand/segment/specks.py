"""Specks: components too small to be a finding."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

_EIGHT_NEIGHBOURS = np.ones((3, 3), bool)


def drop_specks(mask: NDArray[np.uint8], *, min_pixels: float) -> NDArray[np.uint8]:
    """Empty the connected components of each class that are smaller than so many pixels.

    Args:
        mask: (R, C) class values.
        min_pixels: the smallest component that stays; 1 or less keeps all.

    Returns:
        (R, C) uint8; the mask itself where nothing is dropped.
    """
    if min_pixels <= 1 or not mask.any():
        return mask
    kept = mask.copy()
    for value in np.flatnonzero(np.bincount(mask.ravel())[1:]) + 1:
        labels, _ = ndimage.label(mask == value, structure=_EIGHT_NEIGHBOURS)
        small = np.bincount(labels.ravel()) < min_pixels
        small[0] = False
        kept[small[labels]] = 0
    return kept
