"""DICOM CT series and single slices as volumes, voxels as they are."""

from __future__ import annotations

import struct
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.errors import InvalidDicomError

from recursive_expand.archives.images import MIN_SIDE
from recursive_expand.cases import Geometry, Volume
from recursive_expand.errors import InputError
from recursive_expand.importers.ct_geometry import SliceHeader, Stack
from recursive_expand.importers.ct_pixels import read_hu

MIN_SLICES = 3
"""Shorter series are scouts and test shots, not scans."""

SLICE_THICKNESS = 5.0
"""Millimetres along the slice axis of a single slice whose header does not tell; nothing is computed from it."""


@dataclass(frozen=True)
class Series:
    """A CT series.

    Attributes:
        volume: HU in the series' own voxels: tilt is a shear of the affine, uneven spacing its mean.
        files: the files of the slices, in the volume's order.
        facts: where each slice is and which instance it was, for `geometry/<case>.geometry.json`.
        what: one clause on size, spacing and tilt.
        left_out: one clause for each thing in the series that is not in the volume.
    """

    volume: Volume
    files: tuple[Path, ...]
    facts: dict[str, Any]
    what: str
    left_out: tuple[str, ...]


def read_series(files: Sequence[Path]) -> Series:
    """Read the files of one series; scouts, repeated instances and second slices at one position are left out.

    Raises:
        InputError: for files that cannot be read or placed, and where fewer than `MIN_SLICES` slices are left.
    """
    left_out: list[str] = []
    stack = Stack.of(_headers(files, left_out))
    for duplicate in stack.duplicates:
        left_out.append(f"{files[duplicate.file].name} is at the position of another slice; left out")
    if len(stack.slices) < MIN_SLICES:
        raise _too_few(f"has {len(stack.slices)} positions", left_out)
    rows, columns = stack.slices[0].shape
    if min(rows, columns) < MIN_SIDE:
        raise InputError("series", f"its slices have {rows} x {columns} pixels")
    hu = np.empty((len(stack.slices), rows, columns), np.int16)
    for index, header in enumerate(stack.slices):
        path = files[header.file]
        hu[index] = read_hu(read_dicom(path), path.name)
    geometry = Geometry.of((columns, rows, len(stack.slices)), stack.affine)
    facts = {
        "files": len(files),
        "sop_instance_uids": [header.sop_instance_uid for header in stack.slices],
        "image_position_patient": [header.position.tolist() for header in stack.slices],
        "image_orientation_patient": stack.slices[0].orientation.tolist(),
        "pixel_spacing_mm": stack.slices[0].pixel_spacing.tolist(),
        "tilt_degrees": round(stack.tilt, 4),
        "gantry_detector_tilt_degrees": stack.slices[0].gantry_tilt,
        "slice_spacings_mm": [round(float(spacing), 4) for spacing in stack.spacings],
    }
    low, high = stack.spacings.min(), stack.spacings.max()
    step = f"{low:.2f} mm" if high - low < 0.05 else f"{low:.2f} to {high:.2f} mm (uneven)"
    tilt = f", tilt {stack.tilt:.1f} degrees" if stack.tilt > 0.1 else ""
    return Series(
        # DICOM's (slice, row, column) is the native array (column, row, slice) reversed.
        volume=Volume(geometry.orientation.to_slices(hu.transpose(2, 1, 0)), geometry),
        files=tuple(files[header.file] for header in stack.slices),
        facts=facts,
        what=f"{columns} x {rows} x {len(stack.slices)} voxels, slices {step} apart{tilt}",
        left_out=tuple(left_out),
    )


def read_slice(path: Path) -> tuple[Volume, pydicom.Dataset]:
    """Read one CT image as a volume of one slice.

    Returns:
        The volume, and the data set that it was read from.

    Raises:
        InputError: for a file that cannot be read or placed, and one without any contrast (a defect of the writer).
    """
    dataset = read_dicom(path)
    try:
        header = SliceHeader.of(dataset, 0)
    except InputError as error:
        raise InputError(path.name, error.reason) from error
    hu = read_hu(dataset, path.name)
    if min(hu.shape) < MIN_SIDE:
        raise InputError(path.name, f"has {hu.shape[0]} x {hu.shape[1]} pixels: too few for a CT")
    if hu.min() == hu.max():
        raise InputError(path.name, f"all its pixels are {hu.min()} HU; there is nothing to see")
    affine = np.eye(4)
    affine[:3, 0] = header.orientation[:3] * header.pixel_spacing[1]
    affine[:3, 1] = header.orientation[3:] * header.pixel_spacing[0]
    affine[:3, 2] = header.normal * float(dataset.get("SliceThickness") or SLICE_THICKNESS)
    affine[:3, 3] = header.position
    geometry = Geometry.of((hu.shape[1], hu.shape[0], 1), np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine)
    return Volume(geometry.orientation.to_slices(hu.T[:, :, None]), geometry), dataset


def read_dicom(path: Path, **options: Any) -> pydicom.Dataset:
    """`pydicom.dcmread` with what damaged files raise as InputError; InvalidDicomError where it is no DICOM at all."""
    try:
        return pydicom.dcmread(path, **options)
    except InvalidDicomError:
        raise
    except (OSError, ValueError, EOFError, KeyError, AttributeError, NotImplementedError, struct.error) as error:
        raise InputError(path.name, f"cannot be read as DICOM ({type(error).__name__}); copy it again") from error


@contextmanager
def identifiers_as_they_are() -> Iterator[None]:
    """Keep pydicom from a warning for each identifier that is no UID: RSNA 2019 has `ID_...` in their place."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Invalid value for VR UI", UserWarning)
        yield


def _headers(files: Sequence[Path], left_out: list[str]) -> list[SliceHeader]:
    """Headers of the slices; scouts are left out."""
    headers: dict[str, SliceHeader] = {}
    scouts = 0
    for number, path in enumerate(files):
        dataset = read_dicom(path, stop_before_pixels=True)
        kinds = [str(kind).upper() for kind in dataset.get("ImageType") or []]
        if "LOCALIZER" in kinds:
            scouts += 1
            continue
        frames, samples = int(dataset.get("NumberOfFrames") or 1), int(dataset.get("SamplesPerPixel") or 1)
        if frames > 1:
            raise InputError(path.name, f"is a multi-frame image ({frames} frames); convert it to single-frame CT")
        if samples > 1:
            raise InputError(path.name, f"is a colour image ({samples} samples per pixel); a CT has one")
        if int(dataset.get("HighBit", 0)) != int(dataset.get("BitsStored", 1)) - 1:
            raise InputError(path.name, f"its HighBit {dataset.get('HighBit')} is not BitsStored - 1")
        try:
            header = SliceHeader.of(dataset, number)
        except InputError as error:
            raise InputError(path.name, error.reason) from error
        if headers.setdefault(header.sop_instance_uid, header) is not header:
            left_out.append(f"{path.name} repeats an instance that is there already; left out")
    if scouts:
        left_out.append(f"{scouts} scout images (ImageType LOCALIZER); left out")
    if not headers:
        raise InputError("series", f"holds nothing but {scouts} scout images (ImageType LOCALIZER)")
    if len(headers) < MIN_SLICES:
        raise _too_few(f"has {len(headers)} slices", left_out)
    return list(headers.values())


def _too_few(what: str, left_out: Sequence[str]) -> InputError:
    rest = "".join(f"; {clause}" for clause in left_out)
    return InputError("series", f"{what}; a scan has {MIN_SLICES} or more{rest}")
