"""Real bleeds pasted into slices without blood, each where its type lies, after TumorCP (arXiv 2107.09843)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from recursive_expand.phantom.outline import ANGLES
from recursive_expand.segment.fitted_head import FittedHead

AT_THE_TABLE = frozenset({"epidural", "subdural", "subarachnoid"})
"""Types that keep their depth under the inner table and move along it."""
BASAL_MM = 15.0
"""Blood of those types that lies deeper fills cisterns or the gap between the hemispheres; it keeps its place."""
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
"""Share of the bleed that must find a place."""
MOST_SLIDE, MOST_TURN = 0.9, 0.5
"""Radians by which blood slides along the table, and by which blood within the brain is turned, at most."""
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
    where it is or changes sides; blood within the brain is turned, mirrored, scaled and put anywhere within. Its
    density is counted from the brain's median in either slice, and changed a little.

    Args:
        donor: where the bleed comes from.
        hu: (R, C) int16 HU of a slice without blood.
        head: its outline.
        rng: decides everything.

    Returns:
        (R, C) int16 HU and the (R, C) bool mask of what was pasted; None where the bleed found no place.
    """
    room = head.soft & (head.polar.depth > LEAST_DEPTH_MM)
    least = LEAST_KEPT * np.count_nonzero(donor.mask) * (SIZES[0] * donor.head.plane.pixel / head.plane.pixel) ** 2
    deep = float(np.median(donor.head.polar.depth[donor.mask])) > BASAL_MM
    at_the_table = donor.kind in AT_THE_TABLE and not deep
    for _ in range(_ATTEMPTS):
        if at_the_table:
            place = _along_the_table(donor.head, head, _side(rng), rng.uniform(-MOST_SLIDE, MOST_SLIDE))
        elif donor.kind in IN_PLACE | AT_THE_TABLE:
            place = _same_place(donor.head, head, _side(rng))
        else:
            place = _within(donor, head, room, rng)
        mask = ndimage.map_coordinates(donor.mask.astype(np.float32), place, order=1) >= 0.5
        whole = np.count_nonzero(mask)
        mask &= room if not at_the_table else head.polar.depth > -head.plane.pixel / 2
        if np.count_nonzero(mask) >= max(1, least, LEAST_KEPT * whole):
            return _blended(donor, hu, head, place, mask, rng), mask
    return None


def _blended(
    donor: Donor,
    hu: NDArray[np.int16],
    head: FittedHead,
    place: NDArray[np.float64],
    mask: NDArray[np.bool_],
    rng: np.random.Generator,
) -> NDArray[np.int16]:
    values = ndimage.map_coordinates(donor.hu.astype(np.float32), place, order=1, mode="nearest")
    theirs, ours = (float(np.median(image[fit.soft])) for image, fit in ((donor.hu, donor.head), (hu, head)))
    values = ours + (values - theirs) * rng.uniform(*CONTRAST) + rng.normal(0, SHIFT_HU)
    # The border's voxels hold both; beyond the mask the slice stays as it was.
    near = ndimage.gaussian_filter(mask.astype(np.float32), SOFT_EDGE_MM / head.plane.pixel)
    return np.rint(hu + np.where(mask, near, 0) * (values - hu)).astype(np.int16)


def _side(rng: np.random.Generator) -> float:
    """1: the bleed's own side, -1: the other."""
    return float(rng.choice([-1, 1]))


def _along_the_table(theirs: FittedHead, ours: FittedHead, side: float, slide: float) -> NDArray[np.float64]:
    """(2, R, C): the donor's rows and columns at the same depth, so many radians on along the table."""
    depth = ours.polar.lookup(ours.ring.inner) - ours.polar.radius
    angle = np.arctan2(ours.plane.y, side * ours.plane.x) - slide
    radius = np.maximum(_inner(theirs, angle) - depth, 0)
    return theirs.pixels(radius * np.cos(angle), radius * np.sin(angle))


def _same_place(theirs: FittedHead, ours: FittedHead, side: float) -> NDArray[np.float64]:
    """(2, R, C): the donor's rows and columns at the same angle and the same share of the way to the table."""
    angle = np.arctan2(ours.plane.y, side * ours.plane.x)
    radius = ours.polar.radius * _inner(theirs, angle) / ours.polar.lookup(ours.ring.inner)
    return theirs.pixels(radius * np.cos(angle), radius * np.sin(angle))


def _within(donor: Donor, ours: FittedHead, room: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.float64]:
    """(2, R, C): the donor's rows and columns, turned, mirrored and scaled about the bleed's middle."""
    rows, columns = np.nonzero(donor.mask)
    x, y = (float(axis[rows, columns].mean()) for axis in (donor.head.plane.x, donor.head.plane.y))
    target = int(rng.choice(np.flatnonzero(room)))
    size, turn = rng.uniform(*SIZES), rng.uniform(-MOST_TURN, MOST_TURN)
    dx = _side(rng) * (ours.plane.x - ours.plane.x.flat[target]) / size
    dy = (ours.plane.y - ours.plane.y.flat[target]) / size
    cosine, sine = np.cos(turn), np.sin(turn)
    return donor.head.pixels(x + cosine * dx - sine * dy, y + sine * dx + cosine * dy)


def _inner(head: FittedHead, angle: NDArray[np.floating]) -> NDArray[np.float64]:
    """The inner table's radius in these directions, mm."""
    index = ((angle + np.pi) * (ANGLES / (2 * np.pi))).astype(np.int64) % ANGLES
    return head.ring.inner[index]
