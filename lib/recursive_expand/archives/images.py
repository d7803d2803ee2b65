"""Image files as volumes in HU and as label maps: NIfTI and NRRD."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recursive_expand.archives import nifti, nrrd
from recursive_expand.archives.atomic import atomic_path
from recursive_expand.archives.native import (
    MAX_CASE_BYTES,
    PORTION,
    Bounds,
    NativeHeader,
    NativeImage,
    portions,
)
from recursive_expand.cases import MIN_SIDE, Geometry, LabelMap, Volume
from recursive_expand.errors import InputError

_INT16 = np.iinfo(np.int16)
_INFO = (
    "verdict",
    "source",
    "round",
    "model_sha256",
    "tool",
    "proposal_sha256",
    "reviewer",
    "ts",
)  # goes into label files
_KEY = "recursive_expand"  # of that in a NIfTI comment, beside which others may write their own


def read_volume(path: Path, *, max_bytes: int = MAX_CASE_BYTES) -> Volume:
    """Read a scan in any orientation, spacing and data type.

    Scaling is applied, fractions are rounded, values beyond int16 are clipped to its range. A 2-D image is one slice.

    Args:
        path: NIfTI or NRRD, by content.
        max_bytes: of its voxels, as stored and as HU; no more than twice that is used.

    Raises:
        InputError: for a file that is unreadable, truncated, empty, in colour, 4-D, smaller than a slice or too large,
            and for voxels that are not finite.
    """
    with _named(path):
        image = _read(path, Bounds(max_bytes))
        geometry = _geometry(image.header, path.name)
        return Volume(_hounsfield(geometry.orientation.to_slices(image.voxels), image.header, path.name), geometry)


def read_geometry(path: Path) -> Geometry:
    """Read where a scan's voxels are, without reading them.

    Raises:
        InputError: as `read_volume` does for headers.
    """
    with _named(path):
        return _geometry(nrrd.read_header(path) if _is_nrrd(path) else nifti.read_header(path), path.name)


def read_label(
    path: Path,
    classes: Collection[str] = (),
    *,
    shape: tuple[int, int, int] | None = None,
    max_bytes: int = MAX_CASE_BYTES,
) -> LabelMap:
    """Read a mask of class values, with where its voxels are: the file is parsed once.

    Args:
        path: NIfTI or NRRD of any data type; a scaling is applied.
        classes: the task's class names, if anybody is going to ask for them.
        shape: its image's native shape (i, j, k), if known: another one is refused before voxels are decoded.
        max_bytes: of its voxels; no more than twice that is used.

    Returns:
        Its native voxels are in Fortran order.

    Raises:
        InputError: as `read_volume` does, for another shape, and for a value that is no whole number from 0 to 255.
    """
    with _named(path):
        image = _read(path, Bounds(max_bytes, shape))
        geometry = Geometry.of(image.header.shape, image.header.affine)
        return LabelMap(_class_values(image, path.name), geometry, tuple(classes))


def write_label(path: Path, label: LabelMap, *, info: Mapping[str, Any] | None = None, fsync: bool = True) -> None:
    """Write a label map so that ITK, Slicer and `read_label` read the same voxels: atomically.

    Args:
        path: .nii.gz, .nii or .nrrd.
        label: its voxels and where they are; class names are not written.
        info: where it comes from. The keys verdict, source, round, model_sha256, tool, proposal_sha256, reviewer and ts
            go into the file as a comment, so that it is known for what it is without a file beside it.
        fsync: whether it is on disk before this returns.
    """
    kept = {key: value for key, value in (info or {}).items() if key in _INFO and value is not None}
    comment = json.dumps({_KEY: kept}) if info is not None else ""
    _write(path, label.native, label.geometry, comment=comment, fsync=fsync)


def read_info(path: Path) -> dict[str, Any]:
    """What `write_label` put into a label file; empty where it put nothing, and where the file is damaged."""
    try:
        with _named(path):
            texts = [nrrd.read_comment(path)] if _is_nrrd(path) else nifti.read_comments(path)
    except InputError:
        return {}
    for text in texts:
        try:
            info = json.loads(text)[_KEY]
        except (ValueError, RecursionError, LookupError, TypeError):  # somebody else's
            continue
        if isinstance(info, dict):
            return info
    return {}


def write_volume(path: Path, volume: Volume, *, fsync: bool = True) -> None:
    """Write a scan's HU as int16 in its native axes: atomically.

    Args:
        path: .nii.gz, .nii or .nrrd.
        volume: the scan.
        fsync: whether it is on disk before this returns.
    """
    _write(path, volume.geometry.orientation.to_native(volume.hu), volume.geometry, comment="", fsync=fsync)


def _write(path: Path, native: NDArray, geometry: Geometry, *, comment: str, fsync: bool) -> None:
    if native.shape != geometry.native_shape:
        raise ValueError(f"an array of {native.shape} does not fit an image of {geometry.native_shape}")
    name = path.name.lower()
    if not name.endswith((".nii.gz", ".nii", ".nrrd")):
        raise ValueError(f"images are written as .nii.gz, .nii or .nrrd, not {path.name}")
    with atomic_path(path, fsync=fsync) as temporary:
        if name.endswith(".nrrd"):
            nrrd.write(temporary, native, geometry.affine, comment=comment)
        else:
            packed = name.endswith(".gz")
            nifti.write(temporary, native, geometry.affine, compress=packed, comment=comment.encode())


def _is_nrrd(path: Path) -> bool:
    """By content: uploads and temporary files may have any name."""
    with path.open("rb") as file:
        magic = file.read(4)
    return magic == b"NRRD" or (not magic and path.name.lower().endswith(".nrrd"))


def _read(path: Path, bounds: Bounds) -> NativeImage:
    return nrrd.read(path, bounds) if _is_nrrd(path) else nifti.read(path, bounds)


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Whatever a reader raises concerns this file alone, and says so in one line."""
    try:
        with np.errstate(all="ignore"):  # what overflows is found out afterwards
            yield
    except InputError:
        raise
    except OSError as error:
        raise InputError(path.name, f"cannot be read ({error.strerror or error})") from error
    except MemoryError as error:
        raise InputError(path.name, "needs more memory than there is; lower max_case_bytes, or free some") from error
    except Exception as error:
        raise InputError(
            path.name, f"cannot be read as an image ({type(error).__name__}: {error}); copy or export it again"
        ) from error


def _geometry(header: NativeHeader, source: str) -> Geometry:
    geometry = Geometry.of(header.shape, header.affine)
    _, rows, columns = geometry.shape
    if min(rows, columns) < MIN_SIDE:
        raise InputError(source, f"its slices have {rows} x {columns} voxels: too few for a CT")
    return geometry


def _class_values(image: NativeImage, source: str) -> NDArray[np.uint8]:
    """(i, j, k) uint8 in Fortran order, from whatever data type the file has."""
    header = image.header
    if header.dtype == np.uint8 and not header.scaled:
        return image.voxels
    stored = image.voxels.reshape(-1, order="F")
    mask = np.empty(stored.size, np.uint8)
    for part in portions(stored.size):
        values = stored[part] * header.slope + header.intercept if header.scaled else stored[part]
        mask[part] = np.clip(np.nan_to_num(values, nan=-1.0), 0, 255).astype(np.uint8)
        wrong = mask[part] != values
        if wrong.any():
            raise InputError(source, f"holds the value {values[wrong][0]:g}; a mask holds whole numbers from 0 to 255")
    return mask.reshape(header.shape, order="F")


def _hounsfield(stored: NDArray, header: NativeHeader, source: str) -> NDArray[np.int16]:
    """(slices, rows, columns) of stored values to HU, part by part so that no float copy of a volume is made."""
    hu = np.empty(stored.shape, np.int16)
    if not header.scaled and stored.dtype.kind in "iu" and np.can_cast(stored.dtype, np.int16):
        hu[...] = stored
        return hu
    step = max(1, PORTION // stored.shape[2])
    for number, plane in enumerate(stored):
        bad = 0
        for start in range(0, len(plane), step):
            rows = slice(start, start + step)
            values = plane[rows].astype(np.float64) * header.slope + header.intercept
            bad += int(np.count_nonzero(~np.isfinite(values)))
            if not bad:
                hu[number, rows] = np.clip(np.rint(values), _INT16.min, _INT16.max)
        if bad:
            raise InputError(
                source, f"holds {bad} voxels in slice {number} that are NaN or infinite; replace them with -1024"
            )
    return hu
