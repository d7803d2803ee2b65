"""The experiment's metrics: overlap, surface distances and volume of a mask against its reference, by class."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from statistics import fmean

import numpy as np
import torch
from monai.metrics import compute_hausdorff_distance, compute_surface_dice
from numpy.typing import NDArray

from recursive_expand.cases import Geometry
from recursive_expand.segment.metrics import Counts, count

ANY = "any bleed"
"""The region of all foreground, whatever its class."""


@dataclass(frozen=True)
class Scores:
    """The metrics of one region of a mask.

    Dice, IoU, precision and recall come from `counts`, with its rule for empty masks: 1 if both are empty, 0 if one of
    them is. The distances follow the same rule: if both are empty, hd95 is 0 mm and nsd 1; if only one of them is, no
    distance exists and the worst value stands in: hd95 is the diagonal of the scan and nsd 0. So every case has a
    value for every metric.

    Attributes:
        counts: voxels.
        hd95: 95th percentile of the Hausdorff distance in mm: the larger of the two directions (MONAI).
        nsd: normalised surface distance (surface Dice at the tolerance), 0..1 (MONAI).
        predicted_ml: volume of the prediction in mL.
        reference_ml: volume of the reference in mL.
    """

    counts: Counts
    hd95: float
    nsd: float
    predicted_ml: float
    reference_ml: float

    @property
    def volume_error(self) -> float:
        """Absolute difference of the volumes in mL."""
        return abs(self.predicted_ml - self.reference_ml)

    def row(self) -> dict[str, float]:
        """The columns of a result table: `METRICS` and the numbers behind them."""
        return {
            "dice": self.counts.dice,
            "iou": self.counts.iou,
            "precision": self.counts.precision,
            "recall": self.counts.recall,
            "hd95": self.hd95,
            "nsd": self.nsd,
            "volume_error": self.volume_error,
            "predicted_ml": self.predicted_ml,
            "reference_ml": self.reference_ml,
            "true_positive": self.counts.true_positive,
            "false_positive": self.counts.false_positive,
            "false_negative": self.counts.false_negative,
        }


@dataclass(frozen=True)
class Metric:
    """How a metric is shown.

    Attributes:
        name: its heading.
        unit: mm, mL, or nothing.
        higher_is_better: whether a rise is an improvement.
        digits: decimal places in tables.
    """

    name: str
    unit: str
    higher_is_better: bool
    digits: int = 3

    @property
    def heading(self) -> str:
        """Name and unit."""
        return f"{self.name} ({self.unit})" if self.unit else self.name


METRICS = {
    "dice": Metric("Dice", "", True),
    "iou": Metric("IoU", "", True),
    "precision": Metric("Precision", "", True),
    "recall": Metric("Recall", "", True),
    "hd95": Metric("HD95", "mm", False, digits=1),
    "nsd": Metric("NSD", "", True),
    "volume_error": Metric("Volume error", "mL", False, digits=2),
}
"""Every metric, in the order of the tables; the first four are the paper's."""


def score_mask(
    prediction: NDArray[np.uint8],
    reference: NDArray[np.uint8],
    geometry: Geometry,
    classes: Sequence[str],
    *,
    tolerance: float,
) -> dict[str, Scores]:
    """Measure a case.

    Args:
        prediction: (slices, rows, columns) uint8 class values.
        reference: the same.
        geometry: the case's. Distances are measured on a rectangular grid (without the gantry's tilt) with the distance
            between the slices' planes; volumes are exact: a voxel's is the affine's determinant.
        classes: class names; class k has value k + 1.
        tolerance: of the normalised surface distance, in mm.

    Returns:
        Scores of `ANY` and of every class.
    """
    return _score(prediction, reference, _spacing(geometry), _voxel_ml(geometry), classes, tolerance)


def score_slices(
    prediction: NDArray[np.uint8],
    reference: NDArray[np.uint8],
    geometry: Geometry,
    classes: Sequence[str],
    *,
    tolerance: float,
) -> list[dict[str, Scores]]:
    """Measure every slice of a case separately, with distances in its plane; see `score_mask`."""
    spacing, voxel = _spacing(geometry), _voxel_ml(geometry)
    return [
        _score(prediction[k : k + 1], reference[k : k + 1], spacing, voxel, classes, tolerance)
        for k in range(len(prediction))
    ]


def pool(cases: Sequence[dict[str, Scores]]) -> dict[str, Scores]:
    """The scores of a patient with several cases: voxels and volumes add up, distances are averaged over the cases.

    Args:
        cases: at least one.
    """
    return {
        region: Scores(
            counts=reduce(add, (case[region].counts for case in cases)),
            hd95=fmean(case[region].hd95 for case in cases),
            nsd=fmean(case[region].nsd for case in cases),
            predicted_ml=sum(case[region].predicted_ml for case in cases),
            reference_ml=sum(case[region].reference_ml for case in cases),
        )
        for region in cases[0]
    }


def _score(
    prediction: NDArray[np.uint8],
    reference: NDArray[np.uint8],
    spacing: tuple[float, float, float],
    voxel_ml: float,
    classes: Sequence[str],
    tolerance: float,
) -> dict[str, Scores]:
    counts = count(prediction, reference, len(classes))
    diagonal = float(np.linalg.norm(np.array(prediction.shape) * spacing))
    # Voxels outside the union of both masks change no distance.
    found = np.argwhere((prediction > 0) | (reference > 0))
    if len(found):
        box = tuple(slice(low, high + 1) for low, high in zip(found.min(0), found.max(0), strict=True))
        prediction, reference = prediction[box], reference[box]
    scores = {}
    for value, region in enumerate((ANY, *classes)):
        counted = counts.foreground if value == 0 else counts.by_class[value - 1]
        predicted = counted.true_positive + counted.false_positive
        expected = counted.true_positive + counted.false_negative
        if predicted and expected:
            a, b = (mask > 0 if value == 0 else mask == value for mask in (prediction, reference))
            hd95, nsd = _distances(a, b, spacing, tolerance)
        elif predicted or expected:
            hd95, nsd = diagonal, 0.0
        else:
            hd95, nsd = 0.0, 1.0
        scores[region] = Scores(counted, hd95, nsd, predicted * voxel_ml, expected * voxel_ml)
    return scores


def _distances(
    prediction: NDArray[np.bool_], reference: NDArray[np.bool_], spacing: tuple[float, float, float], tolerance: float
) -> tuple[float, float]:
    """HD95 in mm and normalised surface distance of two non-empty masks."""
    axes: tuple[float, ...] = spacing
    if len(prediction) == 1:
        # In 3-D every voxel of a single slice would be surface.
        prediction, reference, axes = prediction[0], reference[0], spacing[1:]
    a, b = (torch.from_numpy(np.pad(mask, 1))[None, None] for mask in (prediction, reference))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # MONAI 1.6 warns of an argument that it passes itself
        hd95 = compute_hausdorff_distance(a, b, include_background=True, percentile=95, spacing=axes)
        nsd = compute_surface_dice(a, b, class_thresholds=[tolerance], include_background=True, spacing=axes)
    return float(hd95), float(nsd)


def _voxel_ml(geometry: Geometry) -> float:
    """Volume of a voxel in mL, also for a sheared grid (gantry tilt)."""
    return float(abs(np.linalg.det(geometry.affine[:3, :3]))) / 1000


def _spacing(geometry: Geometry) -> tuple[float, float, float]:
    """Distances in mm between the slices' planes, between rows and between columns."""
    _, rows, columns = geometry.spacing
    s, r, c = (geometry.affine[:3, axis] for axis in geometry.orientation.axes)
    normal = np.cross(r, c)
    return float(abs(s @ normal) / np.linalg.norm(normal)), rows, columns
