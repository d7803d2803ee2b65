"""Distance to a tube, compiled: what most of a head's vessels, ventricles and fissures are painted from."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray


def deepen(
    best: NDArray[np.float32],
    x: NDArray[np.float32],
    y: NDArray[np.float32],
    z: float | NDArray[np.float32],
    points: NDArray[np.floating],
    flatten: float,
) -> None:
    """Raise signed distances to those of a tube along a polyline, positive inside. Works without Python's lock.

    Args:
        best: (R, C) mm, changed in place; a view is fine.
        x, y: (R, C) mm, where its pixels are.
        z: mm, where the slice is, or (R, C) where its pixels are.
        points: (P, 4) rows of x, y, z and radius, in mm.
        flatten: distances along z count this much.
    """
    heights = np.broadcast_to(np.asarray(z, np.float64), best.shape)
    _deepen(best, x, y, heights, np.asarray(points, np.float64), float(flatten))


@njit(nogil=True, cache=True)
def _deepen(best, x, y, heights, points, flatten):
    zero, one = np.float32(0), np.float32(1)
    for n in range(len(points) - 1):
        start, end = points[n], points[n + 1]
        along_x, along_y, widening = end[0] - start[0], end[1] - start[1], end[3] - start[3]
        rise = (end[2] - start[2]) * flatten
        length = along_x**2 + along_y**2 + rise**2
        if length == 0:
            length = 1.0
        # Pixels are float32 throughout, as numpy would have it: the same bits, on every processor.
        x0, y0, ax, ay = np.float32(start[0]), np.float32(start[1]), np.float32(along_x), np.float32(along_y)
        rise32, length32 = np.float32(rise), np.float32(length)
        radius, wider = np.float32(start[3]), np.float32(widening)
        for row in range(best.shape[0]):
            for column in range(best.shape[1]):
                dx, dy = x[row, column] - x0, y[row, column] - y0
                z = (heights[row, column] - start[2]) * flatten
                t = min(max((dx * ax + dy * ay + np.float32(z * rise)) / length32, zero), one)
                px, py, pz = dx - t * ax, dy - t * ay, np.float32(z) - t * rise32
                depth = radius + t * wider - np.sqrt(px * px + py * py + pz * pz)
                if depth > best[row, column]:
                    best[row, column] = depth
