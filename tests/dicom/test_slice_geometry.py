"""slice_geometry.py: slices in order, the tilt as a shear, every voxel where DICOM says it is."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recursive_expand.dicom.slice_geometry import SliceHeader, Stack
from recursive_expand.errors import InputError


def header(number, position, orientation=(1, 0, 0, 0, 1, 0), **changes):
    facts = {
        "file": number,
        "sop_instance_uid": f"1.{number}",
        "instance_number": number,
        "position": np.array(position, float),
        "orientation": np.array(orientation, float),
        "pixel_spacing": np.array([0.5, 0.4]),
        "shape": (6, 5),
        "gantry_tilt": None,
    }
    return SliceHeader(**(facts | changes))


@given(st.permutations(range(5)), st.floats(-25, 25), st.booleans())
def test_voxels_of_a_tilted_series_are_where_dicom_says(order, degrees, flipped):
    angle = np.radians(degrees)
    orientation = (-1 if flipped else 1, 0, 0, 0, np.cos(angle), np.sin(angle))
    headers = [header(number, (-10, -20, 4.0 * number), orientation) for number in range(5)]
    stack = Stack.of([headers[index] for index in order])
    assert abs(stack.tilt - abs(degrees)) < 1e-5
    assert np.allclose(stack.spacings, 4 * np.cos(angle))
    assert [slice_.file for slice_ in stack.slices] == (list(range(5)) if not flipped else list(range(4, -1, -1)))
    for k, slice_ in enumerate(stack.slices):
        column, row = 3, 2
        lps = slice_.position + slice_.orientation[:3] * 0.4 * column + slice_.orientation[3:] * 0.5 * row
        assert np.allclose(stack.affine @ (column, row, k, 1), (-lps[0], -lps[1], lps[2], 1))


def test_uneven_spacing_is_kept_and_its_mean_is_the_affine_s():
    stack = Stack.of([header(number, (0, 0, z)) for number, z in enumerate([0, 1, 8, 9])])
    assert stack.spacings.tolist() == [1, 7, 1]
    assert stack.affine[:3, 2].tolist() == [0, 0, 3]
    assert stack.tilt == 0


def test_of_slices_at_one_position_the_first_instance_stays():
    stack = Stack.of([header(3, (0, 0, 5.001)), header(1, (0, 0, 5)), header(2, (0, 0, 0)), header(4, (0, 0, 9))])
    assert [slice_.file for slice_ in stack.slices] == [2, 1, 4]
    assert [slice_.file for slice_ in stack.duplicates] == [3]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"shape": (7, 5)}, r"differ in size \(5 x 7, 5 x 6\)"),
        ({"orientation": np.array([0, 1, 0, 0, 0, -1.0])}, "differ in orientation"),
        ({"pixel_spacing": np.array([0.5, 0.5])}, "differ in pixel spacing"),
    ],
)
def test_a_mixed_series_is_refused(changes, message):
    with pytest.raises(InputError, match=f"series: its slices differ: 1 of 3 {message}"):
        Stack.of([header(0, (0, 0, 0)), header(1, (0, 0, 5)), header(2, (0, 0, 10), **changes)])


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("ImagePositionPatient", None, "ImagePositionPatient is missing"),
        ("ImageOrientationPatient", None, "ImageOrientationPatient is missing"),
        ("ImageOrientationPatient", [1, 0, 0, 1, 0, 0], "not orthonormal"),
        ("PixelSpacing", None, "PixelSpacing is missing"),
        ("PixelSpacing", [0, 0.5], "PixelSpacing is not positive"),
        ("Rows", None, "Rows"),
    ],
)
def test_a_slice_that_cannot_be_placed_is_refused(make_series, name, value, message):
    series = make_series(count=1).change(**{name: value})
    with pytest.raises(InputError, match=message):
        SliceHeader.of(series.datasets[0], 0)
