"""The pixel spacing of head pictures, which they do not tell: the one at which their skulls are as large as adults'."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

SKULL_MM = 167.0
"""Geometric mean of the length (about 187 mm) and width (about 149 mm) of an adult's skull, outer tables, at its
largest section."""
QUANTILE = 0.75
"""Of the skulls' sizes: slices of the base and the vertex are smaller than the largest section."""
BONE_HU = 160
PLATEAU_HU = 6
"""A picture has no values above its window's upper end: there bone is what lies within so many HU of it."""
FEWEST_PIXELS = 40
"""Smaller things are no skull."""
SPACINGS_MM = (0.2, 1.5)
"""What an axial CT of a head can have."""


def spacing_of_heads(slices: Iterable[NDArray[np.int16]]) -> float | None:
    """Estimate the spacing that slices of one scanner and picture size share.

    Heads of adults differ by about 5 % in size; those of children are taken for adults' and come out too large.

    Args:
        slices: (R, C) int16 HU each, axial, also of pictures whose values end at a display window's.

    Returns:
        mm between pixels, to two digits after the point; None where no skull is seen or the estimate cannot be that of
        a head CT.
    """
    sizes = [size for hu in slices if (size := _skull_pixels(hu)) is not None]
    if not sizes:
        return None
    spacing = round(SKULL_MM / float(np.quantile(sizes, QUANTILE)), 2)
    return spacing if SPACINGS_MM[0] <= spacing <= SPACINGS_MM[1] else None


def _skull_pixels(hu: NDArray[np.int16]) -> float | None:
    """Geometric mean of the height and width of the largest piece of bone, pixels; None where there is none."""
    low, top = int(hu.min()), int(hu.max())
    if top - low < 2 * PLATEAU_HU:
        return None
    labels, _ = ndimage.label(hu >= min(BONE_HU, top - PLATEAU_HU))
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    rows, columns = ndimage.find_objects((labels == sizes.argmax()).astype(np.uint8))[0]
    height, width = rows.stop - rows.start, columns.stop - columns.start
    return math.sqrt(height * width) if min(height, width) >= FEWEST_PIXELS else None
