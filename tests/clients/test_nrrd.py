"""NRRD masks, read by the module as SimpleITK wrote them."""

import numpy as np
import pytest
import SimpleITK as sitk
from numpy.testing import assert_allclose, assert_array_equal

from .conftest import library

nrrd = library("nrrd")


@pytest.mark.parametrize("compressed", [False, True])
def test_voxels_and_places_are_those_that_were_written(tmp_path, compressed):
    voxels = np.arange(60, dtype=np.uint8).reshape(3, 4, 5)
    image = sitk.GetImageFromArray(voxels)
    image.SetSpacing((0.5, 0.6, 5.0))
    image.SetOrigin((-1.0, 2.0, 3.5))
    image.SetDirection((0, 1, 0, -1, 0, 0, 0, 0, 1))
    sitk.WriteImage(image, str(tmp_path / "m.nrrd"), useCompression=compressed)
    found = nrrd.read_mask((tmp_path / "m.nrrd").read_bytes())
    assert_array_equal(found.voxels, voxels.T)
    for index in ((0, 0, 0), (4, 3, 2)):
        lps = image.TransformIndexToPhysicalPoint(index)
        assert_allclose(found.ijk_to_ras @ [*index, 1], [-lps[0], -lps[1], lps[2], 1])


def test_a_picture_is_one_slice(tmp_path):
    sitk.WriteImage(sitk.GetImageFromArray(np.ones((4, 5), np.uint8)), str(tmp_path / "m.nrrd"))
    found = nrrd.read_mask((tmp_path / "m.nrrd").read_bytes())
    assert (found.voxels.shape, found.ijk_to_ras) == ((5, 4, 1), None)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"PNG", "no NRRD file"),
        (b"NRRD0004\ntype: short\n\n", "of type short"),
        (b"NRRD0004\ntype: uint8\nencoding: hex\n\n", "encoded as hex"),
        (b"NRRD0004\ntype: uint8\nencoding: raw\nsizes: 2 2 2\n\n1234", "has 4 voxels, its header says 2 2 2"),
    ],
)
def test_what_is_no_mask_is_named(content, said):
    with pytest.raises(nrrd.UnreadableMask, match=said):
        nrrd.read_mask(content)
