"""The head's outline: inner table, skull and scalp as functions of the angle round the brain and the height."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from recursive_expand.phantom.canvas import Plane
from recursive_expand.phantom.streams import stream

ANGLES = 2048
THETA = ((np.arange(ANGLES) + 0.5) / ANGLES * 2 - 1) * np.pi
"""Angles of the tables, radians: 0 is the patient's left, pi / 2 posterior."""
VERTEX = 118.0
"""Height of the top of the brain, mm."""
_HALVINGS, _COARSE = 12, 16

Height = float | NDArray[np.float64]
"""mm, or (ANGLES,) mm."""


@dataclass(frozen=True)
class Ring:
    """The outline on one slice.

    Attributes:
        inner: (ANGLES,) radius of the inner table, mm; 0 above the brain.
        outer: (ANGLES,) radius of the outer table, mm; 0 above the skull.
        skin: (ANGLES,) radius of the skin, mm; 0 above the head.
        arc: (ANGLES,) length along the inner table from THETA[0], mm.
        slant: (ANGLES,) cosine between the radius and the inner table's normal.
        height: mm, or (ANGLES,) mm where a tilted slice meets the inner table.
    """

    inner: NDArray[np.float64]
    outer: NDArray[np.float64]
    skin: NDArray[np.float64]
    arc: NDArray[np.float64]
    slant: NDArray[np.float64]
    height: Height


@dataclass(frozen=True)
class Polar:
    """A slice's pixels seen from the middle of the brain.

    Attributes:
        radius: (R, C) float32, mm.
        angle: (R, C) int64, index into the tables over THETA.
        depth: (R, C) float32, mm inwards from the inner table; negative outside.
    """

    radius: NDArray[np.float32]
    angle: NDArray[np.int64]
    depth: NDArray[np.float32]

    @classmethod
    def of(cls, plane: Plane, ring: Ring) -> Polar:
        """Look at a plane from the middle of the brain."""
        radius = np.sqrt(plane.x**2 + plane.y**2)
        turn = (np.arctan2(plane.y, plane.x) + np.float32(np.pi)) * np.float32(ANGLES / (2 * np.pi))
        angle = turn.astype(np.int64) % ANGLES
        depth = (ring.inner.astype(np.float32)[angle] - radius) * ring.slant.astype(np.float32)[angle]
        return cls(radius, angle, depth)

    def lookup(self, table: NDArray[np.floating]) -> NDArray[np.float32]:
        """(R, C) float32 values of a table over THETA."""
        return table.astype(np.float32)[self.angle]


@dataclass(frozen=True)
class Outline:
    """A head's size and shape.

    Attributes:
        half_width: largest, of the brain, mm.
        half_length: largest, of the brain, mm.
        egg: how much wider the back is than the front.
        harmonics: (3, 2) amplitude (share of the radius) and phase of slow deviations from the oval.
        bone: thickness of the skull, mm.
        scalp: thickness of the scalp, mm.
    """

    half_width: float
    half_length: float
    egg: float
    harmonics: NDArray[np.float64]
    bone: float
    scalp: float

    @classmethod
    def draw(cls, seed: int) -> Outline:
        """Draw a head."""
        rng = stream(seed, "outline")
        harmonics = np.stack([rng.uniform(0, 0.012, 3), rng.uniform(0, 2 * np.pi, 3)], 1)
        return cls(
            half_width=rng.uniform(63, 68),
            half_length=rng.uniform(79, 85),
            egg=rng.uniform(0.03, 0.09),
            harmonics=harmonics,
            bone=rng.uniform(5.5, 8.0),
            scalp=rng.uniform(4.5, 7.5),
        )

    def on(self, plane: Plane) -> Ring:
        """The outline on a slice, which may be tilted."""
        z = self._meeting(plane) if any(plane.slope) else plane.z
        inner = self._whole * _narrowing(z, VERTEX)
        around = 1 + 0.18 * np.sin(3 * THETA + 1.0) + 0.12 * np.cos(2 * THETA)
        # Towards the vertex a slice cuts skull and scalp at a slant, and both look thicker.
        outer = np.where(np.greater(z, 45), self._whole * _narrowing(z, VERTEX + self.bone), inner)
        outer = np.maximum(outer, np.where(inner > 0, inner + self.bone * around, 0))
        skin = np.where(np.greater(z, 45), self._whole * _narrowing(z, VERTEX + self.bone + self.scalp), outer)
        skin = np.maximum(skin, np.where(outer > 0, outer + self.scalp * (1.1 - 0.25 * np.cos(2 * THETA)), 0))
        step = 2 * np.pi / ANGLES
        slope = (np.roll(inner, -1) - np.roll(inner, 1)) / (2 * step)
        length = np.sqrt(inner**2 + slope**2)
        return Ring(inner, outer, skin, np.cumsum(length) * step, inner / np.maximum(length, 1e-6), z)

    def _meeting(self, plane: Plane) -> NDArray[np.float64]:
        """(ANGLES,) heights at which a tilted slice meets the inner table."""
        around = THETA[::_COARSE]
        whole, along_x, along_y = self._whole[::_COARSE], np.cos(around), np.sin(around)
        low, high = np.zeros(len(around)), whole
        for _ in range(_HALVINGS):
            radius = (low + high) / 2
            within = radius < whole * _narrowing(plane.height_at(radius * along_x, radius * along_y), VERTEX)
            low, high = np.where(within, radius, low), np.where(within, high, radius)
        radius = (low + high) / 2
        heights = plane.height_at(radius * along_x, radius * along_y)
        return np.interp(THETA, around, np.broadcast_to(heights, len(around)), period=2 * np.pi)

    @cached_property
    def _whole(self) -> NDArray[np.float64]:
        """(ANGLES,) radius of the inner table where it is widest, mm."""
        cosine, sine = np.abs(np.cos(THETA)), np.sin(THETA)
        width = self.half_width * (1 + self.egg * sine)
        radius = ((cosine / width) ** 2.2 + (np.abs(sine) / self.half_length) ** 2.2) ** (-1 / 2.2)
        for order, (amplitude, phase) in enumerate(self.harmonics, start=2):
            radius = radius * (1 + amplitude * np.cos(order * THETA + phase))
        return radius


def _narrowing(z: Height, top: float) -> Height:
    above = np.sqrt(np.maximum(0, 1 - (np.maximum(0, z - 45) / (top - 45)) ** 2.3))
    return above * (1 - 0.12 * np.clip((45 - z) / 60, 0, 1) ** 2)
