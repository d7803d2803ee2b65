"""What imported cases hold: voxels and millilitres per class, the range of their HU, and what looks wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from recursive_expand.cases import LabelMap, Volume

BLOOD_HU = (-10, 120)
"""HU of acute and older blood, clots and partial volume with brain: most marked voxels lie in it."""

AIR_BELOW = -500
"""Every scan of a head in HU has air around it; a volume that never goes below is a window's grey values."""

PERCENTILES = (1, 50, 99)

_SAMPLE = 1 << 16
"""Voxels of a case that percentiles are estimated from, evenly spread."""

_ZERO_HU = 1 << 15
"""Where 0 HU is in the histogram of all cases."""

_SHOWN = 5
"""Cases that a note names."""


@dataclass
class Measures:
    """Measures of the cases of one run, added up one by one."""

    _voxels: dict[str, int] = field(default_factory=dict)
    _millilitres: dict[str, float] = field(default_factory=dict)
    _cases: dict[str, int] = field(default_factory=dict)
    _histogram: NDArray[np.int64] = field(default_factory=lambda: np.zeros(1 << 16, np.int64))
    _unlike_blood: list[str] = field(default_factory=list)
    _without_air: list[str] = field(default_factory=list)

    def add(self, case_id: str, volume: Volume, mask: LabelMap | None) -> str:
        """Measure a case.

        Returns:
            One clause: voxels and mL of each class, and percentiles of its HU.
        """
        first, counts = _histogram(volume.hu)
        self._histogram[first + _ZERO_HU :][: counts.size] += counts
        clauses = []
        if mask is not None:
            each = abs(float(np.linalg.det(volume.geometry.affine[:3, :3]))) / 1000
            for name, count in mask.voxels().items():
                self._voxels[name] = self._voxels.get(name, 0) + count
                self._millilitres[name] = self._millilitres.get(name, 0.0) + count * each
                self._cases[name] = self._cases.get(name, 0) + 1
                clauses.append(f"{name} {count} voxels, {count * each:.2f} mL")
            if share_like_blood(volume.hu, mask.slices > 0) < 0.5:
                self._unlike_blood.append(case_id)
        if volume.hu.min() >= AIR_BELOW:
            self._without_air.append(case_id)
        return "; ".join([*clauses, _percentiles(first, counts)])

    def summary(self) -> list[str]:
        """One line each on all classes, all HU, and the cases that a person should look at."""
        lines = [
            f"marked: {name} {count} voxels, {self._millilitres[name]:.1f} mL in {self._cases[name]} cases"
            for name, count in sorted(self._voxels.items())
        ]
        if self._histogram.any():
            lines.append(f"imported voxels: {_percentiles(-_ZERO_HU, self._histogram)}")
        low, high = BLOOD_HU
        if self._unlike_blood:
            what = f"most marked voxels are outside {low} to {high} HU: is the mask another scan's, or turned?"
            lines.append(f"look at {_some(self._unlike_blood)}: {what}")
        if self._without_air:
            what = f"never below {AIR_BELOW} HU, so that there is no air: are these HU, or a window's grey values?"
            lines.append(f"look at {_some(self._without_air)}: {what}")
        return lines


def share_like_blood(hu: NDArray[np.int16], marked: NDArray[np.bool_]) -> float:
    """The share of marked voxels that have HU of blood; 1 where nothing is marked.

    Args:
        hu: (slices, rows, columns).
        marked: the same shape.
    """
    values = hu[marked]
    low, high = BLOOD_HU
    return float(((values >= low) & (values <= high)).mean()) if values.size else 1.0


def _histogram(hu: NDArray[np.int16]) -> tuple[int, NDArray[np.int64]]:
    """The lowest HU of an even sample of the voxels, and the counts of it and of all above it."""
    step = max(1, hu.size // _SAMPLE)
    values = hu.ravel(order="K")[::step].astype(np.int32)  # in any order: without a copy
    first = int(values.min())
    return first, np.bincount(values - first)


def _percentiles(first: int, counts: NDArray[np.int64]) -> str:
    below = np.cumsum(counts)
    found = [first + int(np.searchsorted(below, below[-1] * percent / 100)) for percent in PERCENTILES]
    return "HU " + ", ".join(f"{percent} % {value}" for percent, value in zip(PERCENTILES, found, strict=True))


def _some(case_ids: Sequence[str]) -> str:
    more = f" and {len(case_ids) - _SHOWN} more" if len(case_ids) > _SHOWN else ""
    return ", ".join(case_ids[:_SHOWN]) + more
