"""mask_files.py: masks come onto their scan's grid, however they are turned."""

from __future__ import annotations

from itertools import permutations, product

import nibabel as nib
import numpy as np
import pytest

from recursive_expand.cases import Geometry, Volume
from recursive_expand.errors import InputError
from recursive_expand.importers.mask_files import read_mask_on

GEOMETRY = Geometry.of((4, 5, 6), np.diag([-1.0, -2.0, 3.0, 1.0]))
AIR = Volume(np.full(GEOMETRY.shape, -1000, np.int16), GEOMETRY)


def written(tmp_path, native, affine):
    path = tmp_path / "mask.nii.gz"
    nib.save(nib.Nifti1Image(native, affine), path)
    return path


@pytest.mark.parametrize("axes", list(permutations(range(3))))
@pytest.mark.parametrize("flips", list(product((False, True), repeat=3)))
def test_any_turn_is_undone(tmp_path, axes, flips):
    native = np.arange(120, dtype=np.uint8).reshape(4, 5, 6)
    turn = np.array([[axes[i], -1 if flips[i] else 1] for i in range(3)], float)
    turned = nib.orientations.apply_orientation(native, turn)
    affine = GEOMETRY.affine @ nib.orientations.inv_ornt_aff(turn, native.shape)
    found = read_mask_on(written(tmp_path, turned, affine), AIR)
    assert np.array_equal(found.native, native)


def test_another_size_and_another_place_are_refused(tmp_path):
    mask = np.zeros((4, 5, 7), np.uint8)
    with pytest.raises(InputError, match="has 4 x 5 x 7 voxels, its scan 4 x 5 x 6"):
        read_mask_on(written(tmp_path, mask, GEOMETRY.affine), AIR)
    affine = GEOMETRY.affine.copy()
    affine[2, 3] = 50
    with pytest.raises(InputError, match="lies 50 mm off its scan"):
        read_mask_on(written(tmp_path, mask[:, :, :6], affine), AIR)


@pytest.mark.parametrize(
    ("entry", "value", "off"),
    [
        ((2, 3), 15, 15),  # 15 mm: five slices
        ((2, 3), 3, 3),  # one slice
        ((0, 3), 4, 4),
        ((2, 2), 3.5, 2),  # slices 3.5 mm apart, not 3
        ((0, 0), -1.5, 2),  # pixels of 1.5 mm, not 1
        ((1, 2), 1.2, 6),  # sheared, and the scan is not
    ],
)
def test_a_mask_that_is_off_at_any_corner_is_refused(tmp_path, entry, value, off):
    affine = GEOMETRY.affine.copy()
    affine[entry] = value
    with pytest.raises(InputError, match=f"lies {off} mm off its scan at a corner"):
        read_mask_on(written(tmp_path, np.zeros((4, 5, 6), np.uint8), affine), AIR)


def test_rounding_and_half_pixels_of_writers_are_of_no_account(tmp_path):
    mask = np.zeros((4, 5, 6), np.uint8)
    mask[1, 2, 3] = 1
    affine = GEOMETRY.affine.copy()
    affine[:3, 3] = 0.5, -1, 0.1
    affine[2, 2] = 3.001
    assert np.array_equal(read_mask_on(written(tmp_path, mask, affine), AIR).native, mask)


@pytest.mark.parametrize("length", ["norm", "normal"])
def test_a_tilted_scan_s_mask_may_be_on_a_regular_grid(tmp_path, length):
    tilted = GEOMETRY.affine.copy()
    tilted[1, 2] = 1.0
    volume = Volume(AIR.hu, Geometry.of((4, 5, 6), tilted))
    regular = GEOMETRY.affine.copy()
    regular[2, 2] = np.hypot(3, 1) if length == "norm" else 3
    mask = np.zeros((4, 5, 6), np.uint8)
    mask[1, 2, 5] = 1
    found = read_mask_on(written(tmp_path, mask, regular), volume)
    assert np.array_equal(found.native, mask) and found.geometry is volume.geometry


def test_exchanged_lps_and_ras_are_found_where_the_scan_is_not_centred(tmp_path):
    affine = GEOMETRY.affine.copy()
    affine[:3, 3] = 20, 30, 0
    volume = Volume(AIR.hu, Geometry.of((4, 5, 6), affine))
    wrong = np.diag([-1.0, -1, 1, 1]) @ affine
    with pytest.raises(InputError, match="its header has LPS and RAS exchanged"):
        read_mask_on(written(tmp_path, np.zeros((4, 5, 6), np.uint8), wrong), volume)


@pytest.mark.parametrize("false_header", [False, True])
def test_on_a_centred_scan_the_blood_tells_a_false_header_from_a_turned_mask(tmp_path, false_header):
    affine = GEOMETRY.affine.copy()
    affine[:2, 3] = 1.5, 4  # the grid is centred on x = y = 0
    native = np.full((4, 5, 6), -1000, np.int16)
    native[0, 1:3, 2] = 60
    geometry = Geometry.of((4, 5, 6), affine)
    volume = Volume(geometry.orientation.to_slices(native), geometry)
    mask = (native == 60).astype(np.uint8)
    wrong = np.diag([-1.0, -1, 1, 1]) @ affine
    if false_header:
        with pytest.raises(InputError, match="its header has LPS and RAS exchanged"):
            read_mask_on(written(tmp_path, mask, wrong), volume)
    else:
        # Truly turned: voxels and header both.
        assert np.array_equal(read_mask_on(written(tmp_path, mask[::-1, ::-1], wrong), volume).native, mask)
