"""Is a new proposal hardly different from one that an expert rejected?"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray


def class_dice(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    """Dice of two masks where a voxel counts as common only if its class does: 2 |a = b > 0| / (|a > 0| + |b > 0|).

    Args:
        a, b: masks of one shape. Two empty ones are alike (1.0).
    """
    total = np.count_nonzero(a) + np.count_nonzero(b)
    if total == 0:
        return 1.0
    return 2 * np.count_nonzero((a == b) & (a > 0)) / total


def unchanged_slices(
    mask: NDArray[np.uint8], rejected: Iterable[tuple[NDArray[np.uint8], Sequence[int]]], *, dice: float
) -> tuple[bool, tuple[int, ...]]:
    """Hold a new mask against the rejected ones.

    Args:
        mask: (slices, rows, columns), what could be proposed now.
        rejected: earlier masks of the same shape, each with the numbers of its rejected slices.
        dice: from here on a mask counts as unchanged.

    Returns:
        (whether the whole mask is unchanged, numbers of the slices whose mask is).
    """
    same: set[int] = set()
    filled = [int(number) for number in np.flatnonzero(mask.any(axis=(1, 2)))]
    for earlier, numbers in rejected:
        only_rejected = np.zeros_like(earlier)
        only_rejected[list(numbers)] = earlier[list(numbers)]
        if filled and class_dice(mask, only_rejected) >= dice:
            return True, tuple(filled)
        same.update(n for n in filled if n in numbers and class_dice(mask[n], earlier[n]) >= dice)
    return bool(filled) and same.issuperset(filled), tuple(sorted(same))
