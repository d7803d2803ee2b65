"""The slice that is painted: Hounsfield units, tissues and the exact mask, with partial volume at borders."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from typing import Any, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from recursive_expand.phantom.mixing import mix
from recursive_expand.phantom.tubes import deepen

Coordinates = TypeVar("Coordinates", NDArray[np.float32], NDArray[np.float64])


class Tissue(IntEnum):
    """What fills most of a voxel."""

    AIR = 0
    TABLE = 1
    SCALP = 2
    BONE = 3
    CSF = 4
    GREY = 5
    WHITE = 6
    DURA = 7
    """Falx, tentorium and venous sinuses."""
    CALCIFICATION = 8
    OEDEMA = 9
    BLOOD = 10
    EXTRACRANIAL = 11
    """Orbits and scalp haematoma."""


INTRACRANIAL = frozenset(
    {Tissue.CSF, Tissue.GREY, Tissue.WHITE, Tissue.DURA, Tissue.CALCIFICATION, Tissue.OEDEMA, Tissue.BLOOD}
)


@dataclass(frozen=True)
class Plane:
    """The pixels of one slice in the head's own frame: x towards the left, y towards posterior, z towards superior.

    Attributes:
        x: (R, C) float32, mm from the midline.
        y: (R, C) float32, mm from the middle of the brain.
        z: mm above the orbitomeatal level, where x and y are 0.
        pixel: pixel size, mm.
        rows: (R,) mm along the image's rows, fixed to the patient, for textures.
        columns: (C,) mm along the image's columns.
        slope: by how much the slice rises along x and y: the tangents of its tilt.
    """

    x: NDArray[np.float32]
    y: NDArray[np.float32]
    z: float
    pixel: float
    rows: NDArray[np.float32]
    columns: NDArray[np.float32]
    slope: tuple[float, float] = (0.0, 0.0)

    @cached_property
    def height(self) -> float | NDArray[np.float32]:
        """(R, C) mm above the orbitomeatal level; a number where the slice is level."""
        return self.height_at(self.x, self.y)

    @cached_property
    def heights(self) -> tuple[float, float]:
        """The least and the most height, mm."""
        return float(np.min(self.height)), float(np.max(self.height))

    def between(self, low: float, high: float) -> NDArray[np.bool_]:
        """(R, C), or () where the slice is level: which pixels lie between two heights in mm, these not included."""
        return np.greater(self.height, low) & np.less(self.height, high)

    @overload
    def height_at(self, x: float, y: float) -> float: ...
    @overload
    def height_at(self, x: Coordinates, y: Coordinates) -> float | Coordinates: ...
    def height_at(self, x: Any, y: Any) -> Any:
        """Height in mm of places on the slice; a number where it is level."""
        if not any(self.slope):
            return self.z
        return self.z + self.slope[0] * x + self.slope[1] * y

    def coverage(self, signed: NDArray[np.float32]) -> NDArray[np.float32]:
        """Share of each pixel that lies inside a border.

        Args:
            signed: (R, C) distance to the border in mm, positive inside.
        """
        return np.clip(signed / self.pixel + 0.5, 0, 1)

    def chain(
        self, points: NDArray[np.floating], *, flatten: float = 1.0, dx: NDArray[np.float32] | None = None
    ) -> NDArray[np.float32]:
        """Signed distance to a tube along a polyline, positive inside.

        Args:
            points: (P, 4) rows of x, y, z and radius, in mm.
            flatten: distances along z count this much: below 1 the tube is taller than wide.
            dx: (R, C) how far the tissue has been pushed along x, in mm.

        Returns:
            (R, C) float32, mm; -99 far away.
        """
        out = np.full(self.x.shape, -99.0, np.float32)
        reach = points[:, 3].max() + 10
        low, high = points[:, :3].min(0) - reach, points[:, :3].max(0) + reach
        if self.heights[1] < low[2] - reach or self.heights[0] > high[2] + reach:
            return out
        push = 0.0 if dx is None else float(np.abs(dx).max())
        near = (self.x > low[0] - push) & (self.x < high[0] + push) & (self.y > low[1]) & (self.y < high[1])
        rows, columns = np.flatnonzero(near.any(1)), np.flatnonzero(near.any(0))
        if not len(rows) or not len(columns):
            return out
        box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        x, y = self.x[box], self.y[box]
        if dx is not None:
            x = x - dx[box]
        z = np.asarray(self.height)[box] if any(self.slope) else self.z
        deepen(out[box], x, y, z, points, flatten)
        return out

    def ellipsoid(
        self,
        centre: tuple[float, float, float],
        radii: tuple[float, float, float],
        *,
        dx: NDArray[np.float32] | float = 0.0,
    ) -> NDArray[np.float32]:
        """Approximate signed distance to an ellipsoid, positive inside.

        Args:
            centre: x, y, z in mm.
            radii: along x, y, z in mm.
            dx: how far the tissue has been pushed along x, in mm.
        """
        height = (self.height - centre[2]) / radii[2]
        scaled = np.sqrt(
            ((self.x - dx - centre[0]) / radii[0]) ** 2 + ((self.y - centre[1]) / radii[1]) ** 2 + height**2
        )
        return ((1 - scaled) * min(radii[0], radii[1])).astype(np.float32)


@dataclass
class Canvas:
    """A slice while it is painted, from the outside in.

    Attributes:
        hu: (R, C) float32.
        tissue: (R, C) uint8, `Tissue` values.
        mask: (R, C) uint8, class values.
    """

    hu: NDArray[np.float32]
    tissue: NDArray[np.uint8]
    mask: NDArray[np.uint8]

    @classmethod
    def of_air(cls, shape: tuple[int, ...]) -> Canvas:
        """An empty scanner."""
        return cls(np.full(shape, -1000, np.float32), np.zeros(shape, np.uint8), np.zeros(shape, np.uint8))

    def paint(
        self,
        coverage: NDArray[np.float32],
        hu: NDArray[np.float32] | float,
        tissue: Tissue,
        *,
        value: int = 0,
    ) -> None:
        """Mix a tissue in by its coverage; it owns the voxels that it fills at least half.

        Args:
            coverage: (R, C) in 0..1.
            hu: of the tissue, a number or (R, C).
            tissue: what it is.
            value: class value that the mask gets there (0: not blood).
        """
        mix(self.hu, self.tissue, self.mask, coverage, hu, int(tissue), value)
