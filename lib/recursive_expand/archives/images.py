"""Image files as volumes in HU and as label maps: NIfTI and NRRD."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recursive_expand.archives import nifti, nrrd
from recursive_expand.archives.atomic import atomic_path
from recursive_expand.archives.native import NativeHeader, NativeImage
from recursive_expand.cases import Geometry, LabelMap, Volume
from recursive_expand.errors import InputError

MIN_SIDE = 4
"""Fewest rows and columns of a slice."""

_INT16 = np.iinfo(np.int16)


def read_volume(path: Path) -> Volume:
    """Read a scan in any orientation, spacing and data type.

    Scaling is applied, fractions are rounded, values beyond int16 are clipped to its range. A 2-D image is one slice.

    Raises:
        InputError: for a file that is unreadable, truncated, empty, in colour, 4-D or smaller than a slice, and for
            voxels that are not finite.
    """
    image = _read(path)
    geometry = _geometry(image.header, path.name)
    return Volume(_hounsfield(geometry.orientation.to_slices(image.voxels), image.header, path.name), geometry)


def read_geometry(path: Path) -> Geometry:
    """Read where a scan's voxels are, without reading them.

    Raises:
        InputError: as `read_volume` does for headers.
    """
    try:
        header = nrrd.read_header(path) if _is_nrrd(path) else nifti.read_header(path)
    except OSError as error:
        raise InputError(path.name, f"cannot be read ({error.strerror})") from error
    return _geometry(header, path.name)


def read_label(path: Path, classes: Collection[str] = ()) -> LabelMap:
    """Read a mask of class values, with where its voxels are: the file is parsed once.

    Args:
        path: NIfTI or NRRD of any data type; a scaling is applied.
        classes: the task's class names, if anybody is going to ask for them.

    Returns:
        Its native voxels are in Fortran order.

    Raises:
        InputError: as `read_volume` does, and for a value that is no whole number from 0 to 255.
    """
    image = _read(path)
    geometry = Geometry.of(image.header.shape, image.header.affine)
    return LabelMap(_class_values(image, path.name), geometry, tuple(classes))


def write_label(path: Path, label: LabelMap, *, fsync: bool = True) -> None:
    """Write a label map so that ITK, Slicer and `read_label` read the same voxels: atomically.

    Args:
        path: .nii.gz, .nii or .nrrd.
        label: its voxels and where they are; class names are not written.
        fsync: whether it is on disk before this returns.
    """
    _write(path, label.native, label.geometry, fsync=fsync)


def read_mask(path: Path) -> NDArray[np.uint8]:
    """To be removed: `read_label` took its place."""
    return read_label(path).native.copy(order="F")


def write_mask(path: Path, mask: NDArray[np.uint8], geometry: Geometry, *, fsync: bool = True) -> None:
    """To be removed: `write_label` took its place."""
    write_label(path, LabelMap(mask, geometry), fsync=fsync)


def write_volume(path: Path, volume: Volume, *, fsync: bool = True) -> None:
    """Write a scan's HU as int16 in its native axes: atomically.

    Args:
        path: .nii.gz, .nii or .nrrd.
        volume: the scan.
        fsync: whether it is on disk before this returns.
    """
    _write(path, volume.geometry.orientation.to_native(volume.hu), volume.geometry, fsync=fsync)


def _write(path: Path, native: NDArray, geometry: Geometry, *, fsync: bool) -> None:
    if native.shape != geometry.native_shape:
        raise ValueError(f"an array of {native.shape} does not fit an image of {geometry.native_shape}")
    name = path.name.lower()
    if not name.endswith((".nii.gz", ".nii", ".nrrd")):
        raise ValueError(f"images are written as .nii.gz, .nii or .nrrd, not {path.name}")
    with atomic_path(path, fsync=fsync) as temporary:
        if name.endswith(".nrrd"):
            nrrd.write(temporary, native, geometry.affine)
        else:
            nifti.write(temporary, native, geometry.affine, compress=name.endswith(".gz"))


def _is_nrrd(path: Path) -> bool:
    """By content: uploads and temporary files may have any name."""
    with path.open("rb") as file:
        magic = file.read(4)
    return magic == b"NRRD" or (not magic and path.name.lower().endswith(".nrrd"))


def _read(path: Path) -> NativeImage:
    try:
        return nrrd.read(path) if _is_nrrd(path) else nifti.read(path)
    except OSError as error:
        raise InputError(path.name, f"cannot be read ({error.strerror})") from error


def _geometry(header: NativeHeader, source: str) -> Geometry:
    geometry = Geometry.of(header.shape, header.affine)
    _, rows, columns = geometry.shape
    if min(rows, columns) < MIN_SIDE:
        raise InputError(source, f"its slices have {rows} x {columns} voxels: too few for a CT")
    return geometry


def _class_values(image: NativeImage, source: str) -> NDArray[np.uint8]:
    """(i, j, k) uint8 in Fortran order, from whatever data type the file has."""
    voxels = image.voxels
    if image.header.scaled:
        voxels = voxels * image.header.slope + image.header.intercept
    if voxels.dtype == np.uint8:
        return voxels.copy(order="F")
    mask = np.clip(np.nan_to_num(voxels, nan=-1.0), 0, 255).astype(np.uint8, order="F")
    wrong = mask != voxels
    if wrong.any():
        raise InputError(source, f"holds the value {voxels[wrong][0]:g}; a mask holds whole numbers from 0 to 255")
    return mask


def _hounsfield(stored: NDArray, header: NativeHeader, source: str) -> NDArray[np.int16]:
    """(slices, rows, columns) of stored values to HU, slice by slice so that no float copy of a volume is made."""
    hu = np.empty(stored.shape, np.int16)
    if not header.scaled and stored.dtype.kind in "iu" and np.can_cast(stored.dtype, np.int16):
        hu[...] = stored
        return hu
    for number, plane in enumerate(stored):
        values = plane.astype(np.float64) * header.slope + header.intercept
        if not np.isfinite(values).all():
            bad = int(np.count_nonzero(~np.isfinite(values)))
            raise InputError(
                source, f"holds {bad} voxels in slice {number} that are NaN or infinite; replace them with -1024"
            )
        hu[number] = np.clip(np.rint(values), _INT16.min, _INT16.max)
    return hu
