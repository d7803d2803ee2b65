"""Boxes: rectangles of a slice."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Area = tuple[slice, slice]
"""Rows and columns of a slice."""


@dataclass(frozen=True)
class Box:
    """Rows r0 to r1 and columns c0 to c1 of a slice, in pixels, ends exclusive.

    A box may reach beyond the slice's last row and column: what lies there is read as a fill value.
    """

    r0: int
    r1: int
    c0: int
    c1: int

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns)."""
        return self.r1 - self.r0, self.c1 - self.c0

    @classmethod
    def whole(cls, shape: tuple[int, ...]) -> Box:
        """The box of a whole slice of shape (rows, columns)."""
        return cls(0, shape[0], 0, shape[1])

    @classmethod
    def around(cls, mask: NDArray) -> Box:
        """The smallest box that holds all that is not 0 in a (R, C) array, which must hold something."""
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        return cls(int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1)

    @property
    def area(self) -> Area:
        """To index a (R, C) array with; the box must not reach beyond it to be read whole."""
        return slice(self.r0, self.r1), slice(self.c0, self.c1)

    def grown(self, margin: int, shape: tuple[int, ...]) -> Box:
        """Larger by `margin` pixels on all sides, within a slice of shape (rows, columns)."""
        return Box(
            max(0, self.r0 - margin),
            min(shape[0], self.r1 + margin),
            max(0, self.c0 - margin),
            min(shape[1], self.c1 + margin),
        )

    def union(self, other: Box) -> Box:
        """The smallest box that holds both."""
        return Box(min(self.r0, other.r0), max(self.r1, other.r1), min(self.c0, other.c0), max(self.c1, other.c1))

    def aligned(self, multiple: int) -> Box:
        """Grown outwards to multiples of `multiple` pixels.

        The network halves its grid several times; a box that starts on a multiple of all these steps falls on the
        same coarse grid as the whole slice does, so that the two give the same logits away from the border.
        """

        def up(end: int) -> int:
            return -(-end // multiple) * multiple

        return Box(self.r0 // multiple * multiple, up(self.r1), self.c0 // multiple * multiple, up(self.c1))

    def read(self, array: NDArray, fill: int) -> NDArray:
        """This box of a (R, C) array, as a view where it lies within; beyond the array it holds `fill`."""
        part = array[self.r0 : self.r1, self.c0 : self.c1]
        if part.shape == self.shape:
            return part
        out = np.full(self.shape, fill, array.dtype)
        out[: part.shape[0], : part.shape[1]] = part
        return out

    def write(self, array: NDArray, values: NDArray) -> None:
        """Set this box of a (R, C) array; what lies beyond the array is dropped."""
        part = array[self.r0 : self.r1, self.c0 : self.c1]
        part[...] = values[: part.shape[0], : part.shape[1]]
