"""Mixing a tissue into a slice, compiled."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray


def mix(
    hu: NDArray[np.float32],
    tissues: NDArray[np.uint8],
    mask: NDArray[np.uint8],
    coverage: NDArray[np.floating],
    values: NDArray[np.floating] | float,
    tissue: int,
    value: int,
) -> None:
    """Mix a tissue in by its coverage; it owns the pixels that it fills at least half.

    Args:
        hu, tissues, mask: (R, C), changed in place.
        coverage: (R, C) in 0..1.
        values: HU of the tissue, a number or (R, C).
        tissue, value: what `tissues` and `mask` get where it owns the pixel.
    """
    if not isinstance(values, np.ndarray):
        values = np.full((1, 1), values, np.float32)
    _mix(hu, tissues, mask, coverage, values, tissue, value)


@njit(nogil=True, cache=True)
def _mix(hu, tissues, mask, coverage, values, tissue, value):
    one = values.shape == (1, 1)
    for row in range(hu.shape[0]):
        for column in range(hu.shape[1]):
            share = coverage[row, column]
            if share == 0:
                continue
            own = values[0, 0] if one else values[row, column]
            hu[row, column] += share * (own - hu[row, column])
            if share >= 0.5:
                tissues[row, column] = tissue
                mask[row, column] = value
