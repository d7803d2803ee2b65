"""Harmless and other findings inside the skull: old infarcts, vessels, calcium, drains, air."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from recursive_expand.phantom.anatomy import Anatomy
from recursive_expand.phantom.brain import Spaces
from recursive_expand.phantom.canvas import Canvas, Plane, Tissue

_Image = NDArray[np.float32]


class Findings:
    """Drawn once for a head.

    Args:
        rng: decides everything.
        plane: the slice: what is drawn lies about there.
    """

    def __init__(self, rng: np.random.Generator, plane: Plane) -> None:
        self.infarcts = [(*_ball(rng, plane, (5, 24)), rng.uniform(8, 27)) for _ in range(_some(rng, 0.25, 3))]
        self.pale = rng.uniform(0, 9) if rng.random() < 0.45 else 0.0
        self.spots = [(*_ball(rng, plane, (0.8, 2.6)), rng.uniform(90, 400)) for _ in range(_some(rng, 0.35, 4))]
        air = [(rng.uniform(-35, 35), -rng.uniform(50, 75), rng.uniform(2, 9)) for _ in range(_some(rng, 0.04, 3))]
        self.air = [(x, y, plane.height_at(x, y), radius) for x, y, radius in air]
        contrast = rng.random() < 0.1
        self.vessel_hu = rng.uniform(90, 260) if contrast else rng.uniform(40, 60)
        self.vessels = _willis(rng) if contrast or rng.random() < 0.5 else []
        self.enhanced_sinuses = self.vessel_hu if contrast else None
        self.drain: tuple[NDArray[np.float64], float] | None = None
        if rng.random() < 0.05:
            side = rng.choice([-1, 1])
            outer = side * rng.uniform(30, 62), rng.uniform(-45, 45)
            inner = side * rng.uniform(4, 12), rng.uniform(-20, 20)
            start = (*outer, plane.height_at(*outer), 1.3)
            end = (*inner, plane.height_at(*inner) - rng.uniform(-8, 8), 1.3)
            self.drain = np.array([start, end]), rng.uniform(150, 1800)

    def paint_below(self, canvas: Canvas, plane: Plane, spaces: Spaces) -> None:
        """What bleeds are painted over: pale and lost tissue."""
        if self.pale:
            near = np.clip(1.2 + spaces.ventricle_distance / self.pale, 0, 1) * spaces.brain
            canvas.paint((0.6 * near).astype(np.float32), 22, Tissue.WHITE)
        for x, y, z, radius, hu in self.infarcts:
            signed = plane.ellipsoid((x, y, z), (radius, radius * 1.3, radius)) + 0.25 * radius * spaces.wobble
            canvas.paint(plane.coverage(signed) * spaces.brain, hu, Tissue.CSF)

    def paint_above(self, canvas: Canvas, plane: Plane, spaces: Spaces, anatomy: Anatomy) -> None:
        """What displaces blood: vessels, calcium, drains, air."""
        for points in self.vessels:
            canvas.paint(plane.coverage(plane.chain(points)) * spaces.inside, self.vessel_hu, Tissue.DURA)
        for x, y, z, radius, hu in self.spots:
            spot = plane.ellipsoid((x, y, z), (radius, radius * 1.2, 3 * radius))
            canvas.paint(plane.coverage(spot) * spaces.inside, hu, Tissue.CALCIFICATION)
        for calcification in anatomy.calcifications:
            signed = plane.chain(calcification.points, flatten=0.6)
            canvas.paint(plane.coverage(signed) * spaces.inside, calcification.hu, Tissue.CALCIFICATION)
        for x, y, z, radius in self.air:
            bubble = plane.ellipsoid((x, y, z), (radius, radius, radius))
            canvas.paint(plane.coverage(bubble) * spaces.inside, -950, Tissue.AIR)
        if self.drain is not None:
            points, hu = self.drain
            canvas.paint(plane.coverage(plane.chain(points)), hu, Tissue.CALCIFICATION)


def _some(rng: np.random.Generator, share: float, most: int) -> int:
    return int(rng.integers(1, most + 1)) if rng.random() < share else 0


def _ball(rng: np.random.Generator, plane: Plane, radii: tuple[float, float]) -> tuple[float, float, float, float]:
    turn, far = rng.uniform(0, 2 * np.pi), np.sqrt(rng.random())
    x, y = float(58 * far * np.cos(turn)), float(74 * far * np.sin(turn))
    return x, y, plane.height_at(x, y) + rng.normal(0, 3), float(rng.uniform(*radii))


def _willis(rng: np.random.Generator) -> list[NDArray[np.float64]]:
    """The large arteries of the base and two cortical veins."""
    r = rng.uniform(0.9, 1.8)
    found = [np.array([(0, -2, 0, r), (0, -6, 14, r), (0, -10, 20, r * 0.8)], np.float64)]
    for side in (-1, 1):
        middle = [
            (side * 8, -18, 22, r),
            (side * 24, -18, 25, r),
            (side * 40, -12, 32, r * 0.8),
            (side * 44, 6, 42, r * 0.6),
        ]
        found += [
            np.array(middle, np.float64),
            np.array([(side * 3, -24, 24, r * 0.8), (side * 2, -48, 40, r * 0.6), (side * 2, -50, 70, r * 0.5)]),
            np.array([(side * 4, -8, 20, r * 0.8), (side * 16, 6, 24, r * 0.6), (side * 20, 30, 30, r * 0.5)]),
        ]
    return found
