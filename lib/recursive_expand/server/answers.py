"""A mask as the file that answers POST /infer."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from recursive_expand.archives.images import read_geometry, write_label
from recursive_expand.cases import LabelMap

EXTENSIONS = (".nrrd", ".nii.gz", ".nii")
DTYPES = ("uint8", "int16", "uint16", "int32", "uint32", "float32", "float64")


def write_answer(image: Path, mask: NDArray[np.uint8], *, extension: str | None, dtype: str | None) -> str:
    """Write a mask on the grid that ITK reads from the image, so that viewers lay one exactly over the other.

    ITK and nibabel read some headers differently (a sheared sform beside a qform); the viewers are ITK's.

    Args:
        image: the case's file.
        mask: uint8, the image's native axes.
        extension: what the client asked for; .nrrd if it did not, or asked for something else.
        dtype: which of `DTYPES` the client asked for; uint8 if it did not, or asked for something else.

    Returns:
        A temporary file, which MONAI Label deletes once it is sent.
    """
    suffix = extension if extension in EXTENSIONS else EXTENSIONS[0]
    with tempfile.NamedTemporaryFile(prefix="proposal_", suffix=suffix, delete=False) as file:
        path = file.name
    header = sitk.ImageFileReader()
    header.SetFileName(str(image))
    try:
        header.ReadImageInformation()
    except RuntimeError:
        # ITK cannot read this image (a sheared sform without a qform), so none of its viewers can: any grid will do.
        write_label(Path(path), LabelMap(mask, read_geometry(image)), fsync=False)
        return path
    voxels = np.ascontiguousarray(mask.T).astype(dtype if dtype in DTYPES else "uint8", copy=False)
    dimension = header.GetDimension()
    answer = sitk.GetImageFromArray(voxels if dimension == 3 else voxels.reshape(voxels.shape[-dimension:]))
    answer.SetSpacing(header.GetSpacing())
    answer.SetOrigin(header.GetOrigin())
    answer.SetDirection(header.GetDirection())
    sitk.WriteImage(answer, path, useCompression=suffix == ".nii.gz")
    return path
