"""What a region is."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from recursive_expand.segment.box import Box


class Region(Protocol):
    """The part of a slice that f needs to see, and the slices that it can leave out."""

    def box(self, hu: NDArray[np.int16]) -> Box | None:
        """Find the region.

        Args:
            hu: (R, C) int16, Hounsfield units.

        Returns:
            The box, within the slice; None where the slice holds nothing but background.
        """
        ...

    def worth_a_look(self, hu: NDArray[np.int16], spacing: tuple[float, float]) -> bool:
        """Whether a slice may hold any of the classes. Missing one is a safety failure; looking in vain is only slow.

        Args:
            hu: (R, C) int16, Hounsfield units.
            spacing: mm between rows and between columns.

        Returns:
            False where f can be left out.
        """
        ...

    def inside(self, hu: NDArray[np.int16], spacing: tuple[float, float]) -> NDArray[np.bool_] | None:
        """Where in a slice the classes can lie: f's foreground elsewhere is dropped before g.

        Args:
            hu: (R, C) int16, Hounsfield units: the slice, or the region's box of it.
            spacing: mm between rows and between columns.

        Returns:
            (R, C) bool; None where nothing can be ruled out.
        """
        ...
