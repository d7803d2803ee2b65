"""The server's voxels and slices in Slicer's volume, which may run the other way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .nrrd import Mask

MILLIMETRES = 0.01
"""How far a voxel's centre may lie from where the volume has it: files round their numbers."""


class NotOnTheGrid(ValueError):
    """The mask does not lie on the image."""


@dataclass(frozen=True)
class Grid:
    """How a mask's native axes lie in the volume that Slicer made of the image.

    Slicer turns the third axis of a left-handed image round when it loads it; the server counts slices as they are in
    the file.

    Attributes:
        shape: (i, j, k) of both.
        turned: of each axis, whether the volume has it the other way.
        slice_axis: the axis along which the server counts slices.
    """

    shape: tuple[int, int, int]
    turned: tuple[bool, bool, bool]
    slice_axis: int

    @classmethod
    def of(cls, mask: Mask, shape: tuple[int, int, int], ijk_to_ras: np.ndarray, slices: Sequence[int]) -> Grid:
        """Lay a mask on a volume.

        Args:
            mask: as the server sent it.
            shape: (i, j, k) of the volume.
            ijk_to_ras: (4, 4), of the volume.
            slices: numbers of the slices with a mask, as the server counts them.

        Raises:
            NotOnTheGrid: shape or geometry differ, or the mask has other slices than these.
        """
        if mask.voxels.shape != tuple(shape):
            sent, own = ("x".join(map(str, one)) for one in (mask.voxels.shape, shape))
            raise NotOnTheGrid(f"the mask has {sent} voxels, the image {own}")
        turned = (False, False, False)
        if mask.ijk_to_ras is not None:
            turned = _turned(mask.ijk_to_ras, shape, ijk_to_ras)
        along = [tuple(np.flatnonzero(mask.voxels.any(axis=_others(axis)))) for axis in range(3)]
        # The server's own rule comes first; only where the mask says otherwise do the other axes count.
        likely = _slice_axis(shape, ijk_to_ras)
        for axis in sorted(range(3), key=lambda axis: axis != likely):
            if along[axis] == tuple(slices):
                return cls(tuple(shape), turned, axis)
        raise NotOnTheGrid(f"the mask has other slices than the {len(slices)} that the server names")

    def to_volume(self, native: np.ndarray) -> np.ndarray:
        """(k, j, i), as Slicer's arrays are, of a native (i, j, k) array."""
        steps = tuple(slice(None, None, -1 if turned else 1) for turned in self.turned)
        return np.ascontiguousarray(native[steps].transpose(2, 1, 0))

    def number(self, ijk: Sequence[float]) -> int | None:
        """The server's number of the slice that a place in the volume lies in; None outside."""
        index = round(float(ijk[self.slice_axis]))
        if not 0 <= index < self.shape[self.slice_axis]:
            return None
        return self._other_way(index)

    def centre(self, number: int) -> tuple[float, float, float]:
        """The place (i, j, k) in the middle of a slice, by its number."""
        place = [(size - 1) / 2 for size in self.shape]
        place[self.slice_axis] = float(self._other_way(number))
        return (place[0], place[1], place[2])

    def _other_way(self, index: int) -> int:
        return self.shape[self.slice_axis] - 1 - index if self.turned[self.slice_axis] else index


def _turned(native: np.ndarray, shape: Sequence[int], volume: np.ndarray) -> tuple[bool, bool, bool]:
    """Which axes of the volume run against the file's; both must hold the same voxels."""
    found = [False, False, False]
    own = native.copy()
    for axis in range(3):
        if float(np.dot(native[:3, axis], volume[:3, axis])) < 0:
            found[axis] = True
            own[:3, 3] += own[:3, axis] * (shape[axis] - 1)
            own[:3, axis] *= -1
    corners = np.array([[i, j, k, 1.0] for i in (0, 1) for j in (0, 1) for k in (0, 1)]) * [
        *(size - 1 for size in shape),
        1,
    ]
    apart = float(np.abs(corners @ (own - volume).T).max())
    if apart > MILLIMETRES:
        raise NotOnTheGrid(f"the mask lies {apart:.2f} mm beside the image")
    return (found[0], found[1], found[2])


def _slice_axis(shape: Sequence[int], ijk_to_ras: np.ndarray) -> int:
    singles = [axis for axis in range(3) if shape[axis] == 1]
    if len(singles) == 1:
        return singles[0]
    directions = ijk_to_ras[:3, :3] / np.linalg.norm(ijk_to_ras[:3, :3], axis=0)
    return int(np.abs(directions[2]).argmax())


def _others(axis: int) -> tuple[int, int]:
    first, second = (each for each in range(3) if each != axis)
    return first, second
