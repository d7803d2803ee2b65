"""How far two sets of masks agree."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

Masks = Mapping[str, NDArray[np.uint8]]


def voxel_agreement(one: Masks, other: Masks) -> float:
    """Share of all voxels with the same class, background included: flattering where little is foreground."""
    same = sum(int(np.count_nonzero(one[case] == other[case])) for case in one)
    return same / sum(mask.size for mask in one.values())


def foreground_dice(one: Masks, other: Masks) -> float:
    """Dice of the foreground with its class: voxels that both give the same class over the mean of both sizes."""
    both = sum(int(np.count_nonzero((one[case] > 0) & (one[case] == other[case]))) for case in one)
    sizes = sum(int(np.count_nonzero(one[case])) + int(np.count_nonzero(other[case])) for case in one)
    return 2 * both / sizes if sizes else 1.0
