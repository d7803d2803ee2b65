"""The experiment's metrics against MONAI's, by hand, and where masks are empty."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.metrics import compute_dice, compute_iou, get_confusion_matrix

from recursive_expand.cases import Geometry
from recursive_expand.experiment.metrics import ANY, METRICS, pool, score_mask, score_slices

CLASSES = ("epidural", "subdural")
GEOMETRY = Geometry.of((12, 10, 4), np.diag([-1.0, -2.0, 5.0, 1.0]))
"""(slices, rows, columns) = (4, 10, 12), spaced 5, 2 and 1 mm."""


def _score(prediction: np.ndarray, reference: np.ndarray, geometry: Geometry = GEOMETRY, tolerance: float = 2.0):
    return score_mask(prediction, reference, geometry, CLASSES, tolerance=tolerance)


def _box(*where: slice, value: int = 1) -> np.ndarray:
    mask = np.zeros((4, 10, 12), np.uint8)
    mask[where] = value
    return mask


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_overlap_is_monais(seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = (rng.integers(0, 3, (4, 10, 12)).astype(np.uint8) for _ in range(2))
    scores = _score(a, b)
    for value, name in enumerate(CLASSES, start=1):
        p, r = (torch.from_numpy(mask == value)[None, None] for mask in (a, b))
        tp, fp, _, fn = get_confusion_matrix(p.float(), r.float(), include_background=True)[0, 0]
        row = scores[name].row()
        assert row["dice"] == pytest.approx(float(compute_dice(p, r, include_background=True)), abs=1e-6)
        assert row["iou"] == pytest.approx(float(compute_iou(p, r, include_background=True)), abs=1e-6)
        assert row["precision"] == pytest.approx(float(tp / (tp + fp)), abs=1e-6)
        assert row["recall"] == pytest.approx(float(tp / (tp + fn)), abs=1e-6)


def test_distances_follow_the_spacing() -> None:
    inner = slice(3, 6)
    reference = _box(slice(1, 3), inner, slice(3, 6))
    along_columns = _score(_box(slice(1, 3), inner, slice(4, 7)), reference)[ANY]
    along_rows = _score(_box(slice(1, 3), slice(4, 7), slice(3, 6)), reference)[ANY]
    along_slices = _score(_box(slice(2, 4), inner, slice(3, 6)), reference)[ANY]
    assert [along_columns.hd95, along_rows.hd95, along_slices.hd95] == [1.0, 2.0, 5.0]
    assert along_columns.nsd == along_rows.nsd == 1.0
    assert 0 < along_slices.nsd < 1


def test_the_tolerance_decides_what_is_near() -> None:
    reference, moved = _box(slice(1, 2), slice(3, 6), slice(3, 6)), _box(slice(1, 2), slice(3, 6), slice(5, 8))
    assert _score(moved, reference, tolerance=2.0)[ANY].nsd == 1.0
    assert _score(moved, reference, tolerance=0.5)[ANY].nsd < 1.0


def test_the_surface_of_a_single_slice_is_its_outline() -> None:
    geometry = Geometry.of((12, 10, 1), np.diag([-1.0, -1.0, 5.0, 1.0]))
    reference = np.zeros((1, 10, 12), np.uint8)
    reference[0, 1:8, 1:8] = 1
    hollow = reference.copy()
    hollow[0, 3:6, 3:6] = 0  # in 3-D all voxels would be surface: 0.9
    assert _score(hollow, reference, geometry, tolerance=0.5)[ANY].nsd == pytest.approx(0.8)
    volume = _score(np.repeat(hollow, 1, 0), reference, geometry)[ANY]
    assert score_slices(hollow, reference, geometry, CLASSES, tolerance=2.0)[0][ANY] == volume


def test_both_empty_is_perfect_and_one_empty_is_the_worst() -> None:
    empty, full = _box(slice(0, 0)), _box(slice(1, 3), slice(2, 5), slice(2, 5))
    nothing, missed, invented = _score(empty, empty)[ANY], _score(empty, full)[ANY], _score(full, empty)[ANY]
    perfect = {"dice": 1, "iou": 1, "precision": 1, "recall": 1, "hd95": 0, "nsd": 1, "volume_error": 0}
    assert {name: nothing.row()[name] for name in METRICS} == perfect
    diagonal = np.linalg.norm([4 * 5, 10 * 2, 12 * 1])
    for worst in (missed, invented):
        row = worst.row()
        assert [row[name] for name in ("dice", "iou", "precision", "recall", "nsd")] == [0] * 5
        assert row["hd95"] == pytest.approx(diagonal)
        assert row["volume_error"] == pytest.approx(2 * 3 * 3 * 10 / 1000)


def test_a_class_is_measured_by_itself() -> None:
    reference = _box(slice(1, 2), slice(2, 5), slice(2, 5), value=1)
    scores = _score(reference * 2, reference)
    assert scores[ANY].counts.dice == 1.0
    assert scores["epidural"].counts.dice == scores["subdural"].counts.dice == 0.0
    assert scores["epidural"].reference_ml == scores["subdural"].predicted_ml > 0


def test_a_tilted_gantry_changes_neither_volume_nor_the_planes_distance() -> None:
    tilt = np.radians(15)
    affine = np.diag([-1.0, -2.0, 5.0 * np.cos(tilt), 1.0])
    affine[1, 2] = 5.0 * np.sin(tilt)  # slices are pushed along the rows: 5 mm between their origins
    geometry = Geometry.of((12, 10, 4), affine)
    reference = _box(slice(1, 3), slice(3, 6), slice(3, 6))
    scores = _score(_box(slice(2, 4), slice(3, 6), slice(3, 6)), reference, geometry)[ANY]
    assert scores.reference_ml == pytest.approx(18 * 1 * 2 * 5 * np.cos(tilt) / 1000)
    assert scores.hd95 == pytest.approx(5 * np.cos(tilt))


def test_cases_of_one_patient_add_up() -> None:
    reference = _box(slice(1, 3), slice(2, 5), slice(2, 5))
    right, missed = _score(reference, reference), _score(reference * 0, reference)
    pooled = pool([right, missed])[ANY]
    assert (pooled.counts.recall, pooled.counts.precision) == (0.5, 1.0)
    assert pooled.reference_ml == pytest.approx(2 * right[ANY].reference_ml)
    assert pooled.hd95 == pytest.approx(missed[ANY].hd95 / 2)


def test_slices_are_measured_one_by_one() -> None:
    reference = _box(slice(1, 3), slice(2, 5), slice(2, 5))
    prediction = reference.copy()
    prediction[2] = 0
    dice = [s[ANY].counts.dice for s in score_slices(prediction, reference, GEOMETRY, CLASSES, tolerance=2.0)]
    assert dice == [1.0, 1.0, 0.0, 1.0]
