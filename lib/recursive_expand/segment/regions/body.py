"""The region `body`: the largest objects above air, on every slice."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from recursive_expand.segment.box import Box

AIR_BELOW_HU = -300
"""Voxels below this are air, foam or clothes."""


class Body:
    """Whatever lies on the table, without the air and the table around it."""

    def box(self, hu: NDArray[np.int16]) -> Box | None:
        """See `body_box`."""
        return body_box(hu)

    def worth_a_look(self, hu: NDArray[np.int16], spacing: tuple[float, float]) -> bool:
        """Always: what the organs of a body look like is not known here."""
        return True

    def inside(self, hu: NDArray[np.int16], spacing: tuple[float, float]) -> NDArray[np.bool_] | None:
        """Nothing is ruled out."""
        return None


def body_box(hu: NDArray[np.int16], *, margin: int = 16) -> Box | None:
    """Find the body: the largest objects above air.

    A slice that was mapped back from a display window has no air: its background is the window's lower end. There
    the box is that of what lies above the minimum. Where neither is certain, the whole slice is returned.

    Args:
        hu: (R, C) int16, Hounsfield units.
        margin: pixels kept around the body.

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
    # A body can fall into several objects (limbs, an open skull, motion): all but the small ones belong to it.
    kept = [found for found, size in zip(ndimage.find_objects(labels), sizes, strict=True) if size * 4 >= sizes.max()]
    grow = margin + step
    return Box(
        max(0, min(found[0].start for found in kept) * step - grow),
        min(rows, max(found[0].stop for found in kept) * step + grow),
        max(0, min(found[1].start for found in kept) * step - grow),
        min(columns, max(found[1].stop for found in kept) * step + grow),
    )
