"""intracranial.py: blood is inside, muscle is not; whatever the skull and the picture are like."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from recursive_expand.phantom import make_head
from recursive_expand.segment.regions.intracranial import skull_interior

REAL_HEAD = Path("/work/shared/data/ge_head_ct")
SPACING = (1.0, 1.0)
BRAIN, BONE, MUSCLE, AIR = 35, 1000, 60, -1000


def _drawn(*, gap_mm: float = 0.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A round head of 1 mm pixels: muscle round skull round brain, the skull open on the right; HU, radius, brain."""
    rows, columns = np.mgrid[:220, :220] - 110
    radius = np.hypot(rows, columns)
    hu = np.full(radius.shape, AIR, np.int16)
    hu[radius < 90] = MUSCLE
    hu[(radius < 80) & ~((np.abs(rows) < gap_mm / 2) & (columns > 0))] = BONE
    hu[radius < 72] = BRAIN
    return hu, radius, radius < 72


def test_muscle_outside_the_skull_is_outside():
    hu, radius, brain = _drawn()
    inside = skull_interior(hu, SPACING)
    assert inside[brain].all() and not inside[radius > 80].any()


@pytest.mark.parametrize("gap", [6, 60, 100])
def test_nothing_is_lost_where_the_skull_is_open(gap):
    hu, _, brain = _drawn(gap_mm=gap)
    assert skull_interior(hu, SPACING)[brain].all()


def test_nothing_is_lost_where_the_image_cuts_the_head():
    hu, _, brain = _drawn()
    assert skull_interior(hu[:, 60:], SPACING)[brain[:, 60:]].all()


@pytest.mark.parametrize("window", [(-20, 100), (0, 80), (-160, 240)])
def test_in_a_windowed_picture_the_plateau_is_the_skull(window):
    hu, radius, brain = _drawn()
    hu[(radius > 66) & (radius < 72)] = 78  # blood along the inner table, as bright as a narrow window's end
    inside = skull_interior(hu.clip(*window).astype(np.int16), SPACING)
    assert inside[brain].all() and not inside[(radius > 82)].any()


def test_fat_and_air_that_bone_encloses_are_no_brain():
    hu, _, brain = _drawn()
    eye = np.hypot(np.mgrid[:220, :220][0] - 30, np.mgrid[:220, :220][1] - 110)
    hu[eye < 22], hu[eye < 16] = BONE, -90
    inside = skull_interior(hu, SPACING)
    assert not inside[eye < 10].any() and inside[brain & (eye > 24)].all()


def test_calcium_and_a_drain_within_the_brain_are_inside():
    hu, _, brain = _drawn()
    hu[100:108, 100:140] = 900
    assert skull_interior(hu, SPACING)[brain].all()


@pytest.mark.parametrize(
    "hu", [np.full((64, 64), AIR, np.int16), np.full((64, 64), BRAIN, np.int16), np.zeros((64, 64), np.int16)]
)
def test_without_a_skull_nothing_is_said(hu):
    assert skull_interior(hu, SPACING) is None


def test_an_impossible_spacing_is_not_believed():
    assert skull_interior(_drawn()[0], (40.0, 40.0)) is None


@pytest.mark.parametrize("size", [97, 130, 256])
def test_the_result_has_the_slices_shape(size):
    hu = make_head(1, size=size, slices=1).hu[0]
    assert skull_interior(hu, (240 / size,) * 2).shape == hu.shape


@pytest.mark.parametrize("domain", ["thick", "sharp"])
def test_no_blood_of_phantoms_is_lost(domain):
    lost = {}
    for seed in range(24):
        head = make_head(seed, size=(96, 128, 192)[seed % 3], slices=5, domain=domain)
        for number, (hu, mask) in enumerate(zip(head.hu, head.mask, strict=True)):
            inside = skull_interior(hu, head.spacing[1:])
            if inside is not None and (mask[~inside] > 0).any():
                lost[seed, number] = int((mask[~inside] > 0).sum())
    assert lost == {}


@pytest.mark.skipif(not REAL_HEAD.is_dir(), reason=f"needs the real head in {REAL_HEAD}")
def test_a_real_head_keeps_its_brain_and_loses_its_muscles():
    import pydicom

    series = [pydicom.dcmread(path) for path in sorted(REAL_HEAD.glob("*.dcm"))]
    hus = [(one.pixel_array * float(one.RescaleSlope) + float(one.RescaleIntercept)).astype(np.int16) for one in series]
    insides = [skull_interior(hu, tuple(map(float, series[0].PixelSpacing))) for hu in hus]
    soft = [(hu > 20) & (hu < 80) for hu in hus]
    below, brain = range(3), range(14, 23)
    # Below the skull nothing but the spinal canal, at the brain's height all of it.
    assert all((insides[k] & soft[k]).sum() < 0.1 * soft[k].sum() for k in below)
    assert all((insides[k] & soft[k]).sum() > 0.85 * soft[k].sum() for k in brain)
