"""A real slice seen as the synthetic heads' are: its inner table in polar form round the middle of the brain."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from recursive_expand.phantom.canvas import Plane
from recursive_expand.phantom.outline import ANGLES, THETA, Polar, Ring
from recursive_expand.segment.regions.intracranial import PLATEAU_HU, skull_interior

BONE_HU = 120
"""Bone is denser on a slice that is not windowed: the inner table lies where soft tissue ends."""
LEAST_BRAIN_CM2 = 45.0
"""A smaller inside is the vertex or the base, where the skull is cut at a slant and has no outline to speak of."""
LEAST_FILLED = 0.93
"""Share of the outline's inside that must be soft tissue, and of the soft tissue that must lie in it: the base of the
skull is no outline."""
LEAST_WIDTH_MM = 45.0
"""The smallest radius of an outline."""
ROUND, OVAL = 1.04, 1.2
"""Length over width below which a brain does not tell how the head is turned, and from which it does."""
MOST_JUMP_MM = 12.0
"""An outline that leaves its neighbourhood by more runs through a fracture into the scalp."""
_BINS = 120


@dataclass(frozen=True)
class FittedHead:
    """Where the inner table of a slice is.

    Attributes:
        plane: the slice's pixels in the head's own frame; its height is not known: 0.
        ring: the inner table; skull and skin are not looked for.
        polar: the slice's pixels seen from the middle of the brain.
        soft: (R, C) bool, what lies within the table and is no bone.
        centre: row and column of the middle, pixels.
        axes: (2, 2), pixels (row, column) by mm of x and of y.
    """

    plane: Plane
    ring: Ring
    polar: Polar
    soft: NDArray[np.bool_]
    centre: tuple[float, float]
    axes: NDArray[np.float64]

    @classmethod
    def of(cls, hu: NDArray[np.int16], spacing: tuple[float, float]) -> FittedHead | None:
        """Fit an outline.

        Args:
            hu: (R, C) int16, Hounsfield units, also of pictures whose values end at a display window's; rows towards
                posterior, columns towards the patient's left.
            spacing: mm between rows and between columns.

        Returns:
            None where the slice shows no closed skull, or one that is no oval: the base, the vertex, a craniectomy.
        """
        inside = skull_interior(hu, spacing)
        if inside is None:
            return None
        soft = _largest(inside & (hu < min(BONE_HU, int(hu.max()) - PLATEAU_HU)), spacing)
        cm2 = spacing[0] * spacing[1] / 100
        if np.count_nonzero(soft) * cm2 < LEAST_BRAIN_CM2:
            return None
        centre, turn = _pose(soft, spacing)
        plane = _plane(hu.shape, spacing, centre, turn)
        ring = _ring(plane, soft)
        coarse = ring.inner[:: ANGLES // _BINS]
        jump = np.abs(coarse - ndimage.median_filter(coarse, _BINS // 4, mode="wrap")).max()
        polar = Polar.of(plane, ring)
        within = polar.depth > 0
        common = np.count_nonzero(within & soft)
        filled = common / max(1, np.count_nonzero(within)), common / np.count_nonzero(soft)
        if min(filled) < LEAST_FILLED or ring.inner.min() < LEAST_WIDTH_MM or jump > MOST_JUMP_MM:
            return None
        axes = np.array([[-np.sin(turn), np.cos(turn)], [np.cos(turn), np.sin(turn)]]) / np.array(spacing)[:, None]
        return cls(plane, ring, polar, soft & within, centre, axes)

    def pixels(self, x: NDArray[np.floating], y: NDArray[np.floating]) -> NDArray[np.float64]:
        """(2, ...) rows and columns of places in the head's frame, mm; between pixels too."""
        row, column = (axis[0] * x + axis[1] * y for axis in self.axes)
        return np.stack([row + self.centre[0], column + self.centre[1]])


def _largest(mask: NDArray[np.bool_], spacing: tuple[float, float]) -> NDArray[np.bool_]:
    """The largest component, without what hangs on it by a thread: canals, orbits."""
    reach = [max(1, round(2.0 / mm)) for mm in spacing]
    labels, number = ndimage.label(ndimage.minimum_filter(mask, [2 * n + 1 for n in reach]))
    if not number:
        return np.zeros_like(mask)
    core = labels == np.bincount(labels.ravel())[1:].argmax() + 1
    return ndimage.binary_fill_holes(ndimage.maximum_filter(core, [2 * n + 1 for n in reach]) & mask)


def _pose(soft: NDArray[np.bool_], spacing: tuple[float, float]) -> tuple[tuple[float, float], float]:
    """(row, column) of the middle, and by how much the head is turned, radians: a brain is longer than wide."""
    rows, columns = np.nonzero(soft)
    centre = float(rows.mean()), float(columns.mean())
    down, across = (rows - centre[0]) * spacing[0], (columns - centre[1]) * spacing[1]
    # Eigenvalues of the covariance, the axis of the larger one being the midline.
    both, apart = 2 * np.mean(down * across), np.mean(down**2) - np.mean(across**2)
    total, difference = np.mean(down**2) + np.mean(across**2), np.hypot(both, apart)
    longer = np.sqrt((total + difference) / (total - difference))
    known = np.clip((longer - ROUND) / (OVAL - ROUND), 0, 1)
    return centre, float(known * 0.5 * np.arctan2(both, apart)) if apart > 0 else 0.0


def _plane(shape: tuple[int, ...], spacing: tuple[float, float], centre: tuple[float, float], turn: float) -> Plane:
    down = ((np.arange(shape[0]) - centre[0]) * spacing[0]).astype(np.float32)
    across = ((np.arange(shape[1]) - centre[1]) * spacing[1]).astype(np.float32)
    cosine, sine = np.float32(np.cos(turn)), np.float32(np.sin(turn))
    x = cosine * across[None, :] - sine * down[:, None]
    y = sine * across[None, :] + cosine * down[:, None]
    return Plane(x, y, 0.0, float(np.mean(spacing)), down, across)


def _ring(plane: Plane, soft: NDArray[np.bool_]) -> Ring:
    """How far soft tissue reaches in every direction, without spikes."""
    x, y = plane.x[soft], plane.y[soft]
    turn = ((np.arctan2(y, x) + np.pi) * _BINS / (2 * np.pi)).astype(np.int64) % _BINS
    reach = np.zeros(_BINS)
    np.maximum.at(reach, turn, np.hypot(x, y) + plane.pixel / 2)
    reach = ndimage.gaussian_filter1d(ndimage.median_filter(reach, 3, mode="wrap"), 0.7, mode="wrap")
    middles = ((np.arange(_BINS) + 0.5) / _BINS * 2 - 1) * np.pi
    inner = np.interp(THETA, middles, reach, period=2 * np.pi)
    step = 2 * np.pi / ANGLES
    slope = ndimage.gaussian_filter1d((np.roll(inner, -1) - np.roll(inner, 1)) / (2 * step), 12, mode="wrap")
    length = np.hypot(inner, slope)
    return Ring(inner, inner, inner, np.cumsum(length) * step, inner / np.maximum(length, 1e-6), 0.0)
