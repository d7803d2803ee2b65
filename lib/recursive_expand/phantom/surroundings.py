"""What is round a real skull and makes blood hard to tell: muscles, folds, swellings, holders, operated bone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from recursive_expand.phantom.canvas import Canvas, Plane, Tissue
from recursive_expand.phantom.outline import ANGLES, THETA, Height, Polar, Ring

_Table = NDArray[np.float64]


def _arc(middle: float, half: float, sharp: float = 2.0) -> _Table:
    """(ANGLES,) 1 at an angle, falling to 0 at `half` radians to either side."""
    away = np.abs((THETA - middle + np.pi) % (2 * np.pi) - np.pi)
    return np.clip(1 - (away / half) ** sharp, 0, 1)


class Surroundings:
    """Drawn once for a head, the same on all slices.

    Args:
        rng: decides everything.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self.temporal = [(rng.uniform(-0.5, 0.1), rng.uniform(0.5, 1.0), rng.uniform(2, 17)) for _ in range(2)]
        self.nuchal = rng.uniform(5, 45)
        self.muscle_hu = rng.uniform(45, 75)
        self.streaks = rng.uniform(2, 6), rng.uniform(0, 1.2)
        self.folds = [(rng.integers(3, 40), rng.uniform(0, 2.2) * rng.random(), rng.uniform(0, 7)) for _ in range(2)]
        self.swelling = (rng.uniform(3, 20), rng.uniform(-np.pi, np.pi), rng.uniform(0.2, 0.9))
        self.swollen = rng.random() < 0.25
        self.missing: tuple[float, float] | None = None
        if rng.random() < 0.06:
            half = rng.uniform(0.25, 0.9) if rng.random() < 0.6 else rng.uniform(0.05, 0.12)
            self.missing = rng.uniform(-0.7, 0.7) + (0 if rng.random() < 0.5 else np.pi), half
        self.uneven = [(rng.integers(2, 24), rng.uniform(0, 0.16), rng.uniform(0, 7)) for _ in range(3)]
        self.holder = rng.random(), rng.uniform(85, 115), rng.uniform(95, 135), rng.uniform(150, 900)
        self.blobs = [
            (side * rng.uniform(28, 52), rng.uniform(-58, -18), rng.uniform(7, 17), rng.uniform(7, 20))
            for side in (-1, 1)
            for _ in range(2)
        ]

    def muscles(self, z: Height) -> _Table:
        """(ANGLES,) mm of muscle on the outer table."""
        table = np.zeros(ANGLES)
        for side, (angle, half, thick) in zip((0.0, np.pi), self.temporal, strict=True):
            middle = angle if side == 0 else side - angle
            table = np.maximum(table, thick * _arc(middle, half) ** 0.7 * np.clip((66 - z) / 40, 0, 1))
        return np.maximum(table, self.nuchal * _arc(np.pi / 2, 1.1) ** 0.6 * np.clip((24 - z) / 22, 0, 1))

    def around(self, ring: Ring) -> tuple[Ring, _Table]:
        """The outline with what changes it, and (ANGLES,) mm of scalp haematoma."""
        outer, skin, z = ring.outer, ring.skin, ring.height
        if outer.any():
            bone = outer - ring.inner
            for waves, share, phase in self.uneven:
                bone = bone * (1 + share * np.sin(waves * THETA + phase + z / 25))
            if self.missing is not None and ring.inner.any():
                middle, half = self.missing
                bone = bone * (1 - (_arc(middle, half, 8.0) > 0.2) * np.clip((z - 15) / 3, 0, 1))
            outer = np.where(ring.inner > 0, ring.inner + bone, outer)
        skin = skin + (outer - ring.outer) + 0.95 * self.muscles(z) * (skin > 0)
        for waves, height, phase in self.folds:
            skin = skin + (skin > 0) * height * (0.5 + 0.5 * np.sin(waves * THETA + phase + z / 9))
        thick, angle, half = self.swelling
        swelling = thick * np.sqrt(_arc(angle, half)) if self.swollen and ring.inner.any() else np.zeros(ANGLES)
        return replace(ring, outer=outer, skin=skin), swelling

    def paint_muscles(self, canvas: Canvas, plane: Plane, polar: Polar, ring: Ring, texture: NDArray) -> None:
        """Muscles outside the bone, with streaks of fat."""
        table = self.muscles(ring.height)
        if not table.any():
            return
        outside = polar.radius - polar.lookup(ring.outer)
        signed = np.minimum(polar.lookup(table) - outside, outside + 0.4)
        signed = np.minimum(signed, polar.lookup(ring.skin) - 1.5 - polar.radius)
        width, depth = self.streaks
        fat = np.clip(np.sin(outside / width + 2.2 * texture) - 1.3 + depth, 0, 1)
        hu = self.muscle_hu + 2 * texture - 120 * fat
        canvas.paint(plane.coverage(signed.astype(np.float32)), hu.astype(np.float32), Tissue.EXTRACRANIAL)

    def paint_face(self, canvas: Canvas, plane: Plane, texture: NDArray) -> None:
        """Muscle and fat between the bones of the face, below the brain."""
        if plane.heights[0] > 4:
            return
        for x, y, a, b in self.blobs:
            whole = plane.ellipsoid((x, y, -12), (a + 4, b + 4, 14))
            canvas.paint(plane.coverage(whole), -80, Tissue.EXTRACRANIAL)
            canvas.paint(
                plane.coverage(whole - 4 - texture),
                (self.muscle_hu + 2 * texture).astype(np.float32),
                Tissue.EXTRACRANIAL,
            )

    def paint_holder(self, canvas: Canvas, plane: Plane) -> None:
        """The head holder's shell: a U about the head, or none."""
        kind, a, b, hu = self.holder
        if kind < 0.35:
            return
        x, y = plane.columns[None, :], plane.rows[:, None]
        distance = (np.sqrt((x / a) ** 2 + ((y - 5) / b) ** 2) - 1) * min(a, b)
        shell = np.where(y > (-20 if kind < 0.7 else 45), 1.2 - np.abs(distance), -99).astype(np.float32)
        canvas.paint(plane.coverage(shell), hu, Tissue.TABLE)
        if kind > 0.85:  # a cushion
            foam = np.where((y > 20) & (distance < 0), distance + 8, -99).astype(np.float32)
            canvas.paint(plane.coverage(foam) * 0.15, -300, Tissue.AIR)
