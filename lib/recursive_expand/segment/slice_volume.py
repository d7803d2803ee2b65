"""A slice that stands alone as a volume."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from recursive_expand.cases import Geometry, Volume

THICKNESS_MM = 5.0


def slice_volume(hu: NDArray[np.int16], spacing: tuple[float, float]) -> Volume:
    """The volume of one axial slice, the patient lying on the back.

    Args:
        hu: (R, C) Hounsfield units.
        spacing: mm between rows and between columns.
    """
    rows, columns = hu.shape
    affine = np.diag([-spacing[1], -spacing[0], THICKNESS_MM, 1.0])
    return Volume(hu[None], Geometry.of((columns, rows, 1), affine))
