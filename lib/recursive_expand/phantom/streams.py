"""Seeded randomness that does not depend on the order of calls."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# Standard deviation of a cubic B-spline sum of unit normals along one axis, averaged over a lattice cell.
SPLINE_SD = 0.692


def stream(seed: int, name: str, *index: int) -> np.random.Generator:
    """A generator of its own for each purpose, so that a new draw in one place changes no other.

    Args:
        seed: the phantom's seed, 0 or more.
        name: what is drawn.
        index: further numbers that tell streams of one name apart, such as the slice.
    """
    return np.random.default_rng([seed, zlib.crc32(name.encode()), *index])


@dataclass(frozen=True)
class SmoothField:
    """A smooth random field in space, of about zero mean and unit variance: cubic B-splines over a lattice of normals.

    Attributes:
        lattice: float64, (z, y, x) values at the lattice's points.
        spacing: of the lattice, mm.
        low: the coordinates (z, y, x) of the first lattice point, mm.
    """

    lattice: NDArray[np.float64]
    spacing: float
    low: tuple[float, float, float]

    @classmethod
    def draw(cls, seed: int, name: str, *, spacing: float) -> SmoothField:
        """A field whose detail is about `spacing` mm large, covering any head and field of view."""
        low, high = (-80.0, -160.0, -160.0), (190.0, 160.0, 160.0)
        shape = [int((b - a) / spacing) + 4 for a, b in zip(low, high, strict=True)]
        return cls(stream(seed, name).standard_normal(shape), spacing, low)

    def at(self, z: float, rows: NDArray[np.floating], columns: NDArray[np.floating]) -> NDArray[np.float32]:
        """The field on one slice.

        Args:
            z: mm.
            rows: (R,) y coordinates, mm.
            columns: (C,) x coordinates, mm.

        Returns:
            (R, C) float32.
        """
        coordinates = (np.array([z]), rows, columns)
        along_z, along_y, along_x = (
            spline_weights((c - low) / self.spacing, n)
            for c, low, n in zip(coordinates, self.low, self.lattice.shape, strict=True)
        )
        plane = np.tensordot(along_z[0], self.lattice, axes=1)
        return (along_y @ plane @ along_x.T / SPLINE_SD**3).astype(np.float32)


def spline_weights(position: NDArray[np.floating], points: int, *, periodic: bool = False) -> NDArray[np.float64]:
    """Cubic B-spline weights of lattice points.

    Args:
        position: (N,) positions in units of the lattice.
        points: how many lattice points there are; positions beyond them take the border's.
        periodic: the lattice closes on itself.

    Returns:
        (N, points) float64, each row summing to 1.
    """
    base = np.floor(position).astype(np.int64)
    t = position - base
    basis = ((1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3)
    weights = np.zeros((len(position), points))
    for offset, value in zip((-1, 0, 1, 2), basis, strict=True):
        index = base + offset
        index = index % points if periodic else np.clip(index, 0, points - 1)
        np.add.at(weights, (np.arange(len(position)), index), value / 6)
    return weights
