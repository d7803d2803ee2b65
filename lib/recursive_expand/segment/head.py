"""The head in a slice: the box that f needs to see, and whether there can be brain in it at all."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

AIR_BELOW_HU = -300
"""Voxels below this are air, foam or clothes."""
SOFT_TISSUE_HU = (-10, 120)
"""Brain, cerebrospinal fluid, muscle and blood, fresh or clotted, lie within these."""
_CORE_CM2 = 0.5
_GRID_MM = 2.0


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


def head_box(hu: NDArray[np.int16], *, margin: int = 16) -> Box | None:
    """Find the head: the largest objects above air.

    A slice that was mapped back from a display window has no air: its background is the window's lower end. There
    the box is that of what lies above the minimum. Where neither is certain, the whole slice is returned.

    Args:
        hu: (R, C) int16, Hounsfield units.
        margin: pixels kept around the head.

    Returns:
        The box, within the slice; None where the slice holds nothing but background.
    """
    rows, columns = hu.shape
    step = max(1, min(rows, columns) // 128)
    grid = hu[::step, ::step]
    low = int(grid.min())
    above = grid > (AIR_BELOW_HU if low < AIR_BELOW_HU else low + 5)
    if not above.any():
        return None
    if above.mean() > 0.95:
        return Box.whole((rows, columns))
    labels, _ = ndimage.label(above)
    sizes = np.bincount(labels.ravel())[1:]
    # A head can fall into several objects (open windows, motion): all but the small ones belong to it.
    kept = [found for found, size in zip(ndimage.find_objects(labels), sizes, strict=True) if size * 4 >= sizes.max()]
    grow = margin + step
    return Box(
        max(0, min(found[0].start for found in kept) * step - grow),
        min(rows, max(found[0].stop for found in kept) * step + grow),
        max(0, min(found[1].start for found in kept) * step - grow),
        min(columns, max(found[1].stop for found in kept) * step + grow),
    )


def has_brain(hu: NDArray[np.int16], spacing: tuple[float, float]) -> bool:
    """Whether a slice may hold brain, and so blood.

    Skipping a slice with blood is a safety failure, proposing on one without is only slow: the answer is False only
    where the slice has no patch of soft tissue, scalp included, of about 1.5 cm2 or more. Air, tables and the last
    millimetres above the vertex are such slices.

    Args:
        hu: (R, C) int16, Hounsfield units.
        spacing: mm between rows and between columns. Beyond what a CT can have (0.1 to 5 mm) it is not believed
            and any soft tissue counts.

    Returns:
        False where f can be left out.
    """
    believed = all(0.1 <= mm <= 5 for mm in spacing)
    step_r, step_c = (max(1, round(_GRID_MM / mm)) if believed else 1 for mm in spacing)
    rows = hu[::step_r, : hu.shape[1] // step_c * step_c]
    # Means along the row quieten the noise of thin slices, which would break the tissue up.
    means = rows.reshape(rows.shape[0], -1, step_c).mean(axis=2, dtype=np.float32)
    soft = (means >= SOFT_TISSUE_HU[0]) & (means <= SOFT_TISSUE_HU[1])
    if not believed:
        return bool(soft.any())
    # Partial volume makes a rim of "soft tissue" on every table and bone: only what has neighbours counts.
    core = soft[1:-1, 1:-1] & soft[:-2, 1:-1] & soft[2:, 1:-1] & soft[1:-1, :-2] & soft[1:-1, 2:]
    pixel_cm2 = step_r * spacing[0] * step_c * spacing[1] / 100
    return float(core.sum()) * pixel_cm2 >= _CORE_CM2
