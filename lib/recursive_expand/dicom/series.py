"""DICOM CT series and single slices as volumes, voxels as they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray

from recursive_expand.cases import MIN_SIDE, Geometry, SeriesReference, Volume
from recursive_expand.dicom.files import read_dicom
from recursive_expand.dicom.frames import frame_headers, is_multi_frame_ct
from recursive_expand.dicom.pixels import read_frames, read_hu
from recursive_expand.dicom.slice_geometry import SliceHeader, Stack, check_belonging
from recursive_expand.errors import InputError

MIN_SLICES = 3
"""Shorter series are scouts and test shots, not scans."""

SLICE_THICKNESS = 5.0
"""Millimetres along the slice axis of a single slice whose header does not tell; nothing is computed from it."""

EVEN = 0.05
"""Distances between slices that differ by less, in mm, are even."""

_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
"""Secondary Capture Image Storage, and the multi-frame ones whose UIDs begin with its."""

GAP = 1.5
"""A distance between slices of so many usual ones is a hole where something was left out."""


@dataclass(frozen=True)
class Series:
    """A CT series.

    Attributes:
        volume: HU in the series' own voxels, with its reference: tilt is a shear of the affine, uneven spacing a mean.
        files: the files of the slices, in the volume's order: of frames, each time that of all.
        facts: for `geometry/<case>.geometry.json`: the reference, and how many files there were.
        what: one clause on size, spacing and tilt.
        left_out: one clause for each thing in the series that is not in the volume.
    """

    volume: Volume
    files: tuple[Path, ...]
    facts: dict[str, Any]
    what: str
    left_out: tuple[str, ...]


def read_series(files: Sequence[Path], open_file: Callable[..., pydicom.Dataset] = read_dicom) -> Series:
    """Read the files of one series.

    Scouts, secondary captures, repeated instances, second slices at one position and damaged files are left out; of two
    copies of an instance a good one wins. The series is refused where a slice left out so leaves a hole.

    Args:
        files: in any order.
        open_file: gives the data set of each, and takes what `read_dicom` takes; other than that where they are in
            memory, and a file's path is its name alone.

    Raises:
        InputError: for a series that is no single stack of slices, and where fewer than `MIN_SLICES` slices are left.
    """
    omitted = _Omissions()
    found = _instances(files, omitted, open_file)
    check_belonging([header for copies in found.copies.values() for header in copies])
    stack = Stack.of(found.headers)
    for stray, why in stack.strays:
        omitted.slices.append(f"{files[stray.file].name} and the other slices {why}; left out")
    if len(stack.slices) < MIN_SLICES:
        omitted.raise_for_too_few(f"has {len(stack.slices)} positions")
    rows, columns = stack.slices[0].shape
    if min(rows, columns) < MIN_SIDE:
        raise InputError("series", f"its slices have {rows} x {columns} pixels")
    planes = _planes(stack, found.copies, files, omitted, open_file)
    for duplicate in stack.duplicates:
        omitted.harmless.append(f"{files[duplicate.file].name} is at the position of another slice; left out")
    if len(planes) < MIN_SLICES:
        omitted.raise_for_too_few(f"has {len(planes)} readable slices")
    stack = Stack.of([header for header in stack.slices if header.instance in planes])
    usual = float(np.sort(stack.spacings)[(len(stack.spacings) - 1) // 2])
    if omitted.slices and stack.spacings.max() > GAP * usual:
        raise InputError("series", f"has a hole of {stack.spacings.max():.1f} mm: {'; '.join(omitted.slices)}")
    used = [planes[header.instance] for header in stack.slices]
    hu = np.stack([plane for _, plane in used])
    geometry = Geometry.of((columns, rows, len(stack.slices)), stack.affine)
    reference = _reference(stack, open_file(used[0][0], stop_before_pixels=True, specific_tags=["SeriesInstanceUID"]))
    return Series(
        # DICOM's (slice, row, column) is the native array (column, row, slice) reversed.
        volume=Volume(geometry.orientation.to_slices(hu.transpose(2, 1, 0)), geometry, reference),
        files=tuple(path for path, _ in used),
        facts={
            "files": len(files),
            **reference.to_json(),
            "gantry_detector_tilt_degrees": stack.slices[0].gantry_tilt,
        },
        what=_described(stack),
        left_out=(*omitted.slices, *omitted.harmless),
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


@dataclass
class _Omissions:
    """What is not in the volume.

    Attributes:
        harmless: clauses on scouts, secondary captures and copies, which no stack misses.
        slices: clauses on what may have been a slice of the stack.
    """

    harmless: list[str] = field(default_factory=list)
    slices: list[str] = field(default_factory=list)

    def raise_for_too_few(self, what: str) -> None:
        """Refuse the series, naming what was left out."""
        rest = "".join(f"; {clause}" for clause in (*self.slices, *self.harmless))
        raise InputError("series", f"{what}; a scan has {MIN_SLICES} or more{rest}")


@dataclass(frozen=True)
class _Instances:
    """The slices of a series by instance, in the order of the files.

    Attributes:
        headers: one a SOP Instance UID, or a frame of it.
        copies: headers of all files of a slice, by its UID and frame.
    """

    headers: list[SliceHeader] = field(default_factory=list)
    copies: dict[tuple[str, int], list[SliceHeader]] = field(default_factory=dict)

    def add(self, header: SliceHeader, path: Path, omitted: _Omissions) -> None:
        """Take a slice; one that repeats another is noted."""
        copies = self.copies.setdefault(header.instance, [])
        if not copies:
            self.headers.append(header)
        elif header.is_copy_of(copies[0]):
            if header.frame < 2:
                omitted.harmless.append(f"{path.name} repeats an instance that is there already; left out")
        else:
            omitted.slices.append(f"{path.name} is another image under an instance's UID; left out")
            check_belonging([copies[0], header])
            return
        copies.append(header)


def _instances(files: Sequence[Path], omitted: _Omissions, open_file: Callable[..., pydicom.Dataset]) -> _Instances:
    """Headers of the slices; scouts, and what is no slice, are omitted."""
    found = _Instances()
    scouts = 0
    for number, path in enumerate(files):
        slices: list[SliceHeader] = []
        try:
            dataset = open_file(path, stop_before_pixels=True)
            if str(dataset.get("SOPClassUID") or "").startswith(_SECONDARY_CAPTURE):
                omitted.harmless.append(f"{path.name} is a secondary capture, no slice; left out")
                continue
            multi_frame = is_multi_frame_ct(dataset)
            for frame, header in enumerate(frame_headers(dataset) if multi_frame else [dataset], start=1):
                if _is_scout(header):
                    scouts += 1
                    continue
                _check_slice(header)
                slices.append(SliceHeader.of(header, number, frame=frame if multi_frame else 0))
        except InputError as error:
            omitted.slices.append(f"{path.name} {error.reason}; left out")
            continue
        except Exception as error:  # malformed values raise only when they are looked at
            omitted.slices.append(f"{path.name} has a malformed header ({type(error).__name__}); left out")
            continue
        for slice_ in slices:
            found.add(slice_, path, omitted)
    if scouts:
        omitted.harmless.append(f"{scouts} scout images (ImageType LOCALIZER); left out")
    if scouts and not found.headers and not omitted.slices and len(omitted.harmless) == 1:
        raise InputError("series", f"holds nothing but {scouts} scout images (ImageType LOCALIZER)")
    if len(found.headers) < MIN_SLICES:
        omitted.raise_for_too_few(f"has {len(found.headers)} slices")
    return found


def _is_scout(dataset: pydicom.Dataset) -> bool:
    return "LOCALIZER" in [str(kind).upper() for kind in dataset.get("ImageType") or []]


def _check_slice(dataset: pydicom.Dataset) -> None:
    """Refuse what has modality CT, but is no slice: colour pages, films."""
    frames, samples = int(dataset.get("NumberOfFrames") or 1), int(dataset.get("SamplesPerPixel") or 1)
    if frames > 1:
        raise InputError(
            "file", f"is a multi-frame image ({frames} frames); of no CT class; convert it to single-frame CT"
        )
    if samples > 1:
        raise InputError("file", f"is a colour image ({samples} samples per pixel); a CT has one")
    if int(dataset.get("HighBit", 0)) != int(dataset.get("BitsStored", 1)) - 1:
        raise InputError("file", f"its HighBit {dataset.get('HighBit')} is not BitsStored - 1")


def _planes(
    stack: Stack,
    copies: Mapping[tuple[str, int], Sequence[SliceHeader]],
    files: Sequence[Path],
    omitted: _Omissions,
    open_file: Callable[..., pydicom.Dataset],
) -> dict[tuple[str, int], tuple[Path, NDArray[np.int16]]]:
    """The file and the (rows, columns) HU of each slice that can be decoded: of copies, the first good one."""
    planes: dict[tuple[str, int], tuple[Path, NDArray[np.int16]]] = {}

    @cache  # a multi-frame file holds many slices
    def decode(path: Path) -> list[NDArray[np.int16]]:
        dataset = open_file(path)
        return read_frames(dataset, frame_headers(dataset), path.name)

    for header in stack.slices:
        problem = ""
        for copy in copies[header.instance]:
            path = files[copy.file]
            try:
                plane = decode(path)[copy.frame - 1] if copy.frame else read_hu(open_file(path), path.name)
                if plane.shape != header.shape:
                    raise InputError(path.name, "is another image under the same SOPInstanceUID")
            except InputError as error:
                problem = f"{path.name} {error.reason}; left out"
                continue
            planes[header.instance] = path, plane
            break
        else:
            omitted.slices.append(problem)
    return planes


def _reference(stack: Stack, header: pydicom.Dataset) -> SeriesReference:
    first = stack.slices[0]
    return SeriesReference(
        str(header.get("SeriesInstanceUID") or ""),
        first.study_instance_uid or None,
        tuple(slice_.sop_instance_uid for slice_ in stack.slices),
        np.array([slice_.position for slice_ in stack.slices]),
        first.orientation,
        first.pixel_spacing,
        stack.tilt,
        stack.spacings,
        tuple(slice_.frame for slice_ in stack.slices) if first.frame else (),
    )


def _described(stack: Stack) -> str:
    """One clause on size, spacing and tilt."""
    rows, columns = stack.slices[0].shape
    low, high = stack.spacings.min(), stack.spacings.max()
    step = f"{low:.2f} mm" if high - low < EVEN else f"{low:.2f} to {high:.2f} mm (uneven)"
    tilt = f", tilt {stack.tilt:.1f} degrees" if stack.tilt > 0.1 else ""
    return f"{columns} x {rows} x {len(stack.slices)} voxels, slices {step} apart{tilt}"
