"""A mask as the file that answers POST /infer."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

EXTENSIONS = (".nrrd", ".nii.gz", ".nii")


def write_answer(image: Path, mask: NDArray[np.uint8], *, extension: str | None, dtype: str | None) -> str:
    """Write a mask on the grid that ITK reads from the image, so that viewers lay one exactly over the other.

    ITK and nibabel read some headers differently (a sheared sform beside a qform); the viewers are ITK's.

    Args:
        image: the case's file.
        mask: uint8, the image's native axes.
        extension: what the client asked for; .nrrd if it did not, or asked for something else.
        dtype: numpy name of the voxel type the client asked for; uint8 if it did not.

    Returns:
        A temporary file, which MONAI Label deletes once it is sent.
    """
    header = sitk.ImageFileReader()
    header.SetFileName(str(image))
    header.ReadImageInformation()
    voxels = np.ascontiguousarray(mask.T)
    if dtype and np.issubdtype(np.dtype(dtype), np.number):
        voxels = voxels.astype(dtype)
    dimension = header.GetDimension()
    answer = sitk.GetImageFromArray(voxels if dimension == 3 else voxels.reshape(voxels.shape[-dimension:]))
    answer.SetSpacing(header.GetSpacing())
    answer.SetOrigin(header.GetOrigin())
    answer.SetDirection(header.GetDirection())
    suffix = extension if extension in EXTENSIONS else EXTENSIONS[0]
    with tempfile.NamedTemporaryFile(prefix="proposal_", suffix=suffix, delete=False) as file:
        path = file.name
    sitk.WriteImage(answer, path, useCompression=suffix == ".nii.gz")
    return path
