"""The region `whole`: every slice, all of it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from recursive_expand.segment.box import Box


class Whole:
    """No region: for images whose background is no air."""

    def box(self, hu: NDArray[np.int16]) -> Box:
        """The whole slice."""
        return Box.whole(hu.shape)

    def worth_a_look(self, hu: NDArray[np.int16], spacing: tuple[float, float]) -> bool:
        """Always."""
        return True

    def inside(self, hu: NDArray[np.int16], spacing: tuple[float, float]) -> None:
        """Nothing is ruled out."""
