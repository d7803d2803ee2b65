"""Smooth fields for one thin slab of a head, many times cheaper to draw than those of a whole one."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from recursive_expand.phantom.streams import SmoothField, spline_weights, stream


@dataclass(frozen=True)
class SlabField(SmoothField):
    """As `SmoothField`, but each layer of its lattice is drawn when a slice needs it."""

    key: tuple[int, int] = (0, 0)

    @classmethod
    def draw(cls, seed: int, name: str, *, spacing: float) -> SlabField:
        """A field whose detail is about `spacing` mm large."""
        return cls(np.zeros((0, 0, 0)), spacing, (-400.0, -160.0, -160.0), (seed, zlib.crc32(name.encode())))

    def at(self, z: float, rows: NDArray[np.floating], columns: NDArray[np.floating]) -> NDArray[np.float32]:
        """The field on one slice; see `SmoothField.at`."""
        layer, part = divmod((z - self.low[0]) / self.spacing, 1.0)
        size = int(320 / self.spacing) + 4
        plane = sum(
            np.sqrt(share) * _lattice(*self.key, int(layer) + k, size) for k, share in ((0, 1 - part), (1, part))
        )
        along_y, along_x = (
            _weights(tuple(axis[[0, -1]].tolist()), len(axis), low, self.spacing, size)
            for axis, low in ((rows, self.low[1]), (columns, self.low[2]))
        )
        return (along_y @ plane @ along_x.T / 0.479).astype(np.float32)  # 0.692 ** 2, see `SmoothField`


@lru_cache(maxsize=32)  # a head's slices, and the coordinates that are bent, ask for the same few layers
def _lattice(seed: int, key: int, layer: int, size: int) -> NDArray[np.float64]:
    return stream(seed, "slab", key, layer).standard_normal((size, size))


@lru_cache(maxsize=64)
def _weights(ends: tuple[float, float], number: int, low: float, spacing: float, points: int) -> NDArray[np.float64]:
    return spline_weights((np.linspace(*ends, number) - low) / spacing, points)
