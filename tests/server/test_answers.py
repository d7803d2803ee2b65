"""The file that answers POST /infer: on the grid that ITK reads, in the form that the client asked for."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from recursive_expand.archives.images import read_label
from recursive_expand.server.answers import write_answer

MASK = (np.arange(20 * 24 * 4) % 6).astype(np.uint8).reshape(20, 24, 4)


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "head.nii.gz"
    nib.save(nib.Nifti1Image(np.zeros(MASK.shape, np.int16), np.diag([-1.0, -2.0, 5.0, 1.0])), path)
    return path


@pytest.mark.parametrize("extension", [".nrrd", ".nii.gz", ".nii"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_it_has_the_masks_voxels_on_the_images_grid(image, extension, dtype):
    path = Path(write_answer(image, MASK, extension=extension, dtype=dtype))
    answer, own = sitk.ReadImage(str(path)), sitk.ReadImage(str(image))
    assert path.name.endswith(extension)
    assert sitk.GetArrayFromImage(answer).dtype == dtype
    assert np.array_equal(sitk.GetArrayFromImage(answer), MASK.T)
    assert (answer.GetSpacing(), answer.GetOrigin(), answer.GetDirection()) == (
        own.GetSpacing(),
        own.GetOrigin(),
        own.GetDirection(),
    )
    path.unlink()


@pytest.mark.parametrize(("extension", "dtype"), [(None, None), (".exe", "object"), (".nrrd", "no such type")])
def test_what_cannot_be_had_is_a_small_nrrd(image, extension, dtype):
    path = Path(write_answer(image, MASK, extension=extension, dtype=dtype))
    assert path.suffix == ".nrrd"
    assert sitk.GetArrayFromImage(sitk.ReadImage(str(path))).dtype == np.uint8
    path.unlink()


def test_an_image_that_itk_refuses_is_answered_all_the_same(tmp_path):
    sheared = np.diag([-1.0, -1.0, 5.0, 1.0])
    sheared[1, 2] = 2.0
    header = nib.Nifti1Image(np.zeros(MASK.shape, np.int16), None)
    header.set_sform(sheared, code=1)
    header.set_qform(None, code=0)
    nib.save(header, tmp_path / "tilted.nii.gz")
    path = Path(write_answer(tmp_path / "tilted.nii.gz", MASK, extension=".nii.gz", dtype=None))
    assert np.array_equal(read_label(path).native, MASK)
    path.unlink()
