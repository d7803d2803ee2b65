"""Where the slices of a DICOM CT series are: order, affine, tilt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from recursive_expand.errors import InputError

SAME_POSITION = 1e-2
"""Slices closer than this, in mm along the normal, are at one position."""

OFF_LINE = 1.0
"""Slices further than this, in mm, from the line through the first and the last one are no stack."""

STRAY_SHARE = 0.25
"""A series of which more than this share has another size, orientation or pixel spacing is several series."""


@dataclass(frozen=True)
class SliceHeader:
    """What is needed of one CT image to place it (PS3.3 C.7.6.2.1.1).

    Attributes:
        file: index into the series' files.
        sop_instance_uid: its SOP Instance UID.
        instance_number: InstanceNumber, 0 if missing.
        position: (3,) ImagePositionPatient: centre of the first pixel, LPS millimetres.
        orientation: (6,) ImageOrientationPatient: directions of a row, then of a column, LPS.
        pixel_spacing: (2,) mm between rows, then between columns.
        shape: (rows, columns).
        gantry_tilt: GantryDetectorTilt in degrees, if given.
        study_instance_uid: StudyInstanceUID, empty if missing.
        frame_of_reference: FrameOfReferenceUID, empty if missing: positions compare within one alone.
        patient: PatientID and its issuer, empty if missing: only ever compared.
        frame: number within a multi-frame instance, from 1; 0 where the instance is the slice.
    """

    file: int
    sop_instance_uid: str
    instance_number: int
    position: NDArray[np.float64]
    orientation: NDArray[np.float64]
    pixel_spacing: NDArray[np.float64]
    shape: tuple[int, int]
    gantry_tilt: float | None
    study_instance_uid: str = ""
    frame_of_reference: str = ""
    patient: str = ""
    frame: int = 0

    @classmethod
    def of(cls, dataset: Dataset, file: int, *, frame: int = 0) -> SliceHeader:
        """Read it from a data set's header, or from a frame's (`frame_headers`).

        Raises:
            InputError: where an attribute that places the slice is missing or malformed.
        """
        try:
            tilt = dataset.get("GantryDetectorTilt")
            patient, issuer = (str(dataset.get(name) or "").strip() for name in ("PatientID", "IssuerOfPatientID"))
            return cls(
                file,
                str(dataset.SOPInstanceUID),
                int(dataset.get("InstanceNumber") or 0),
                _vector(dataset, "ImagePositionPatient", 3),
                _vector(dataset, "ImageOrientationPatient", 6),
                _vector(dataset, "PixelSpacing", 2),
                (int(dataset.Rows), int(dataset.Columns)),
                None if tilt is None or tilt == "" else float(tilt),
                str(dataset.get("StudyInstanceUID") or ""),
                str(dataset.get("FrameOfReferenceUID") or ""),
                f"{issuer}|{patient}" if patient else "",
                frame,
            )
        except (AttributeError, TypeError, ValueError, OverflowError) as error:
            raise InputError("a slice", f"its position is not known ({error})") from error

    @property
    def instance(self) -> tuple[str, int]:
        """What names the slice: its SOP Instance UID and its frame."""
        return self.sop_instance_uid, self.frame

    def is_copy_of(self, other: SliceHeader) -> bool:
        """Whether two files with one SOP Instance UID can be the same image: the same place and size."""
        return self.shape == other.shape and np.allclose(self.position, other.position, atol=SAME_POSITION)

    @cached_property
    def normal(self) -> NDArray[np.float64]:
        """(3,) unit normal of the slice, LPS."""
        return np.cross(self.orientation[:3], self.orientation[3:])


@dataclass(frozen=True)
class Stack:
    """The slices of a series in order along their normal, on one line.

    Attributes:
        slices: at different positions.
        duplicates: those left out because another slice is at their position.
        strays: those left out because most others have another size, orientation or pixel spacing, with the reason.
    """

    slices: tuple[SliceHeader, ...]
    duplicates: tuple[SliceHeader, ...]
    strays: tuple[tuple[SliceHeader, str], ...] = ()

    @classmethod
    def of(cls, headers: Sequence[SliceHeader]) -> Stack:
        """Order slices along their normal; of several at one position the first by instance number stays.

        Raises:
            InputError: where they are of several patients, studies or frames of reference, where many differ in size,
                orientation or pixel spacing, and where their positions are not on a line.
        """
        alike, strays = _alike(headers)
        check_belonging(alike)
        first = alike[0]
        kept: list[SliceHeader] = []
        duplicates: list[SliceHeader] = []
        ordered = sorted(alike, key=lambda header: (header.instance_number, *header.instance))
        for header in sorted(ordered, key=lambda header: round(float(first.normal @ header.position) / SAME_POSITION)):
            if kept and abs(first.normal @ (header.position - kept[-1].position)) < SAME_POSITION:
                duplicates.append(header)
            else:
                kept.append(header)
        _check_line(kept)
        return cls(tuple(kept), tuple(duplicates), strays)

    @property
    def affine(self) -> NDArray[np.float64]:
        """(4, 4), indices (column, row, slice) to RAS millimetres; tilt is a shear, uneven spacing its mean."""
        first, last = self.slices[0], self.slices[-1]
        affine = np.eye(4)
        affine[:3, 0] = first.orientation[:3] * first.pixel_spacing[1]
        affine[:3, 1] = first.orientation[3:] * first.pixel_spacing[0]
        affine[:3, 2] = (last.position - first.position) / (len(self.slices) - 1)
        affine[:3, 3] = first.position
        return np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine

    @property
    def tilt(self) -> float:
        """Angle between the slices' normal and the line through their positions, in degrees; uneven spacing is none."""
        line = self.slices[-1].position - self.slices[0].position
        cosine = float(line @ self.slices[0].normal / np.linalg.norm(line))
        return float(np.degrees(np.arccos(np.clip(cosine, -1, 1))))

    @property
    def spacings(self) -> NDArray[np.float64]:
        """(n - 1,) distances between neighbours along the normal, in mm."""
        return np.diff([float(self.slices[0].normal @ header.position) for header in self.slices])


def _alike(headers: Sequence[SliceHeader]) -> tuple[list[SliceHeader], tuple[tuple[SliceHeader, str], ...]]:
    """The largest group of one size, orientation and pixel spacing, and why each other slice is not of it."""
    groups: list[list[SliceHeader]] = []
    for header in headers:
        group = next((group for group in groups if not _difference(group[0], header)), None)
        if group is None:
            groups.append([header])
        else:
            group.append(header)
    groups.sort(key=len, reverse=True)
    main, rest = groups[0], [header for group in groups[1:] for header in group]
    strays = tuple((header, _difference(main[0], header)) for header in rest)
    if len(rest) > STRAY_SHARE * len(headers):
        raise InputError("series", f"its slices differ: {len(rest)} of {len(headers)} {strays[0][1]}")
    return main, strays


def _difference(one: SliceHeader, other: SliceHeader) -> str:
    """In what a slice differs from another one of its series; empty where it does not."""
    if one.shape != other.shape:
        sizes = [f"{columns} x {rows}" for rows, columns in (other.shape, one.shape)]
        return f"differ in size ({sizes[0]}, {sizes[1]})"
    if not np.allclose(one.orientation, other.orientation, atol=1e-3):
        return "differ in orientation"
    if not np.allclose(one.pixel_spacing, other.pixel_spacing, rtol=1e-3):
        return "differ in pixel spacing"
    return ""


def check_belonging(headers: Sequence[SliceHeader]) -> None:
    """One SeriesInstanceUID must not bring two patients, two studies or two frames of reference into one volume.

    Raises:
        InputError: where it does.
    """
    for what, names in (
        ("patients (PatientID)", {header.patient for header in headers}),
        ("studies (StudyInstanceUID)", {header.study_instance_uid for header in headers}),
        ("frames of reference (FrameOfReferenceUID)", {header.frame_of_reference for header in headers}),
    ):
        if len(names - {""}) > 1:
            raise InputError("series", f"one SeriesInstanceUID holds images of {len(names - {''})} {what}; part them")


def _check_line(slices: Sequence[SliceHeader]) -> None:
    """Positions must follow one line: a tilt leans it and uneven spacing leaves gaps on it, neither bends it."""
    if len(slices) < 3:
        return
    places = np.array([header.position for header in slices])
    along = (places - places[0]) @ slices[0].normal
    line = places[0] + np.outer(along / along[-1], places[-1] - places[0])
    off = np.linalg.norm(places - line, axis=1)
    if off.max() > OFF_LINE:
        number = slices[int(off.argmax())].instance_number
        raise InputError(
            "series", f"its slices are not on a line: instance {number} is {off.max():.1f} mm off; part them"
        )


def _vector(dataset: Dataset, name: str, length: int) -> NDArray[np.float64]:
    value = dataset.get(name)
    if value is None:
        raise ValueError(f"{name} is missing")
    vector = np.array(value, np.float64).ravel()
    if vector.shape != (length,) or not np.isfinite(vector).all():
        raise ValueError(f"{name} has not {length} numbers")
    if name == "PixelSpacing" and (vector <= 0).any():
        raise ValueError("PixelSpacing is not positive")
    if name == "ImageOrientationPatient" and abs(np.linalg.norm(np.cross(vector[:3], vector[3:])) - 1) > 1e-2:
        raise ValueError("ImageOrientationPatient is not orthonormal")
    return vector


def instance_order(headers: Sequence[Dataset]) -> tuple[str, ...]:
    """SOP Instance UIDs of a series' slices in its volume's order, as headers alone tell it.

    Args:
        headers: of all its instances, in any order; scouts are passed over.

    Raises:
        InputError: they are no stack, or multi-frame instances, which name no slice.
    """
    if any(int(header.get("NumberOfFrames") or 1) > 1 for header in headers):
        raise InputError("series", "has multi-frame instances; name its slices by number")
    slices = [header for header in headers if "LOCALIZER" not in (header.get("ImageType") or [])]
    if not slices:
        raise InputError("series", "has no slices")
    stack = Stack.of([SliceHeader.of(header, number) for number, header in enumerate(slices)])
    return tuple(header.sop_instance_uid for header in stack.slices)
