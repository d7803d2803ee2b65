"""mask_files.py: masks come onto their scan's grid, however they are turned."""

from __future__ import annotations

from itertools import permutations, product

import nibabel as nib
import numpy as np
import pytest

from recursive_expand.cases import Geometry
from recursive_expand.errors import InputError
from recursive_expand.importers.mask_files import read_mask_on

GEOMETRY = Geometry.of((4, 5, 6), np.diag([-1.0, -2.0, 3.0, 1.0]))


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
    found = read_mask_on(written(tmp_path, turned, affine), GEOMETRY)
    assert np.array_equal(GEOMETRY.orientation.to_native(found), native)


def test_another_size_and_another_place_are_refused(tmp_path):
    mask = np.zeros((4, 5, 7), np.uint8)
    with pytest.raises(InputError, match="has 4 x 5 x 7 voxels, its scan 4 x 5 x 6"):
        read_mask_on(written(tmp_path, mask, GEOMETRY.affine), GEOMETRY)
    affine = GEOMETRY.affine.copy()
    affine[2, 3] = 50
    with pytest.raises(InputError, match="lies 50 mm off its scan"):
        read_mask_on(written(tmp_path, mask[:, :, :6], affine), GEOMETRY)


def test_small_differences_of_writers_are_of_no_account(tmp_path):
    mask = np.zeros((4, 5, 6), np.uint8)
    mask[1, 2, 3] = 1
    affine = GEOMETRY.affine.copy()
    affine[1, 2], affine[2, 3] = 1.2, 8
    found = read_mask_on(written(tmp_path, mask, affine), GEOMETRY)
    assert np.array_equal(GEOMETRY.orientation.to_native(found), mask)
