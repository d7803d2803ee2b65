"""A slice's mask without what is no finding: specks, and rims of bone."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from recursive_expand.segment.rims import drop_rims
from recursive_expand.segment.specks import drop_specks
from recursive_expand.settings import Refinement


def cleaned(
    mask: NDArray[np.uint8], hu: NDArray[np.int16], spacing: tuple[float, float], refinement: Refinement
) -> NDArray[np.uint8]:
    """Drop components that are too small, then those that lie along bone.

    Args:
        mask: (R, C) class values.
        hu: (R, C) the slice.
        spacing: mm between rows and between columns.
        refinement: `min_area` and `min_depth`.

    Returns:
        (R, C) uint8; the mask itself where nothing is dropped.
    """
    mask = drop_specks(mask, min_pixels=refinement.min_area / math.prod(spacing))
    return drop_rims(mask, hu, spacing, min_depth=refinement.min_depth)
