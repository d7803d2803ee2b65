"""Specks: components too small to be a finding."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from skimage.measure import label

from recursive_expand.segment.box import Box


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
    rest = kept[Box.around(mask).area]
    labels = label(rest, connectivity=2)  # components of one class each
    rest[(np.bincount(labels.ravel()) < min_pixels)[labels]] = 0
    return kept
