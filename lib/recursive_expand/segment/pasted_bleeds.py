"""Real bleeds pasted into slices without blood, each where its type lies, after TumorCP (arXiv 2107.09843)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from recursive_expand.segment.fitted_head import FittedHead

AT_THE_TABLE = frozenset({"epidural", "subdural", "subarachnoid"})
"""Types that keep their depth under the inner table and move along it."""
IN_PLACE = frozenset({"intraventricular"})
"""Types that keep their place, but for the side."""
SOFT_EDGE_MM = 0.8
"""Standard deviation of the border's blending."""
LEAST_DEPTH_MM = 3.0
"""How far from the inner table blood within the brain stays."""
CONTRAST = (0.8, 1.2)
"""By what the difference of blood to the brain round it is multiplied."""
SHIFT_HU = 4.0
"""Standard deviation of the blood's change of density."""
SIZES = (0.75, 1.25)
LEAST_KEPT = 0.8
"""Share of the bleed's pixels that must find a place."""
_ATTEMPTS = 6


@dataclass(frozen=True)
class Donor:
    """A slice with a bleed to paste.

    Attributes:
        hu: (R, C) int16 HU.
        mask: (R, C) bool, the bleeds of one type.
        kind: their type's name; one that is not known is taken to lie within the brain.
        head: the slice's outline.
    """

    hu: NDArray[np.int16]
    mask: NDArray[np.bool_]
    kind: str
    head: FittedHead


def paste_bleed(
    donor: Donor, hu: NDArray[np.int16], head: FittedHead, rng: np.random.Generator
) -> tuple[NDArray[np.int16], NDArray[np.bool_]] | None:
    """Paste a bleed.

    Blood at the inner table keeps its depth and slides along the table or changes sides; blood in the ventricles stays
    where it is or changes sides; blood within the brain is turned, mirrored, scaled and put anywhere within. Its density
    is counted from the brain's median in either slice, and changed a little.

    Args:
        donor: where the bleed comes from.
        hu: (R, C) int16 HU of a slice without blood.
        head: its outline.
        rng: decides everything.

    Returns:
        (R, C) int16 HU and the (R, C) bool mask of what was pasted; None where the bleed found no place.
    """
    for _ in range(_ATTEMPTS):
        place = _place(donor, head, rng)
        mask = ndimage.map_coordinates(donor.mask.astype(np.float32), place, order=1, cval=0.0) >= 0.5
        mask &= head.polar.depth > -donor.head.plane.pixel / 2
        wanted = np.count_nonzero(donor.mask) * (donor.head.plane.pixel / head.plane.pixel) ** 2 * SIZES[0] ** 2
        if mask.any() and np.count_nonzero(mask) >= LEAST_KEPT * min(wanted, 1e9) and _fits(mask, donor.kind, head):
            break
    else:
        return None
    values = ndimage.map_coordinates(donor.hu.astype(np.float32), place, order=1, mode="nearest")
    theirs, ours = (float(np.median(image[fit.soft])) for image, fit in ((donor.hu, donor.head), (hu, head)))
    values = ours + (values - theirs) * rng.uniform(*CONTRAST) + rng.normal(0, SHIFT_HU)
    weight = ndimage.gaussian_filter(mask.astype(np.float32), SOFT_EDGE_MM / head.plane.pixel)
    # Half of the blending lies within the mask; beyond it the slice is as it was.
    weight = np.clip(2 * weight - 0.5, 0, 1) * mask
    return np.rint(hu + weight * (values - hu)).astype(np.int16), mask


def _place(donor: Donor, head: FittedHead, rng: np.random.Generator) -> NDArray[np.float64]:
    """(2, R, C): where in the donor's slice each pixel of the other comes from, rows and columns."""
    mirror = rng.choice([-1.0, 1.0])
    plane, polar = head.plane, head.polar
    if donor.kind in AT_THE_TABLE or donor.kind in IN_PLACE:
        slide = rng.uniform(-0.9, 0.9) if donor.kind in AT_THE_TABLE else 0.0
        return _along_the_table(donor.head, np.arctan2(plane.y, mirror * plane.x) - slide, polar)
    rows, columns = np.nonzero(donor.mask)
    x, y = donor.head.plane.x[rows, columns].mean(), donor.head.plane.y[rows, columns].mean()
    size, turn = rng.uniform(*SIZES), rng.uniform(-0.5, 0.5)
    room = np.flatnonzero((polar.depth > LEAST_DEPTH_MM) & head.soft)
    target = int(rng.choice(room))
    dx, dy = mirror * (plane.x - plane.x.flat[target]) / size, (plane.y - plane.y.flat[target]) / size
    cosine, sine = np.cos(turn), np.sin(turn)
    return donor.head.pixels(x + cosine * dx - sine * dy, y + sine * dx + cosine * dy)


def _along_the_table(
    head: FittedHead, angle: NDArray[np.floating], polar: object
) -> NDArray[np.float64]:
    raise NotImplementedError


def _fits(mask: NDArray[np.bool_], kind: str, head: FittedHead) -> bool:
    raise NotImplementedError
