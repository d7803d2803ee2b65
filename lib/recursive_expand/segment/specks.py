"""Specks: components too small to be a finding."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from skimage.morphology import remove_small_objects


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
    kept = np.zeros_like(mask)
    for value in np.flatnonzero(np.bincount(mask.ravel())[1:]) + 1:
        # scikit-image drops components of up to and with `max_size`.
        large = remove_small_objects(mask == value, max_size=math.ceil(min_pixels) - 1, connectivity=2)
        kept[large] = value
    return kept
