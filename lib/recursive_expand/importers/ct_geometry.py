"""Where the slices of a DICOM CT series are: order, affine, tilt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from recursive_expand.errors import InputError

SAME_POSITION = 1e-2
"""Slices closer than this, in mm along the normal, are at one position."""


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
    """

    file: int
    sop_instance_uid: str
    instance_number: int
    position: NDArray[np.float64]
    orientation: NDArray[np.float64]
    pixel_spacing: NDArray[np.float64]
    shape: tuple[int, int]
    gantry_tilt: float | None

    @classmethod
    def of(cls, dataset: Dataset, file: int) -> SliceHeader:
        """Read it from a data set's header.

        Raises:
            InputError: where an attribute that places the slice is missing or malformed.
        """
        try:
            tilt = dataset.get("GantryDetectorTilt")
            return cls(
                file,
                str(dataset.SOPInstanceUID),
                int(dataset.get("InstanceNumber") or 0),
                _vector(dataset, "ImagePositionPatient", 3),
                _vector(dataset, "ImageOrientationPatient", 6),
                _vector(dataset, "PixelSpacing", 2),
                (int(dataset.Rows), int(dataset.Columns)),
                None if tilt is None else float(tilt),
            )
        except (AttributeError, TypeError, ValueError) as error:
            raise InputError("a slice", f"its position is not known ({error})") from error

    @property
    def normal(self) -> NDArray[np.float64]:
        """(3,) unit normal of the slice, LPS."""
        return np.cross(self.orientation[:3], self.orientation[3:])


@dataclass(frozen=True)
class Stack:
    """The slices of a series in order along their normal.

    Attributes:
        slices: at least two, at different positions.
        duplicates: those left out because another slice is at their position.
    """

    slices: tuple[SliceHeader, ...]
    duplicates: tuple[SliceHeader, ...]

    @classmethod
    def of(cls, headers: Sequence[SliceHeader]) -> Stack:
        """Order slices along their normal; of several at one position the first by instance number stays.

        Raises:
            InputError: where sizes, orientations or pixel spacings differ.
        """
        first = headers[0]
        shapes = sorted({header.shape for header in headers})
        if len(shapes) > 1:
            named = ", ".join(f"{columns} x {rows}" for rows, columns in shapes)
            raise InputError("series", f"its slices differ in size ({named})")
        if any(not np.allclose(header.orientation, first.orientation, atol=1e-3) for header in headers):
            raise InputError("series", "its slices differ in orientation")
        if any(not np.allclose(header.pixel_spacing, first.pixel_spacing, rtol=1e-3) for header in headers):
            raise InputError("series", "its slices differ in pixel spacing")
        kept: list[SliceHeader] = []
        duplicates: list[SliceHeader] = []
        ordered = sorted(headers, key=lambda header: (header.instance_number, header.sop_instance_uid))
        for header in sorted(ordered, key=lambda header: round(float(first.normal @ header.position) / SAME_POSITION)):
            if kept and abs(first.normal @ (header.position - kept[-1].position)) < SAME_POSITION:
                duplicates.append(header)
            else:
                kept.append(header)
        return cls(tuple(kept), tuple(duplicates))

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
        """Angle between the slices' normal and the line through their positions, in degrees."""
        line = self.slices[-1].position - self.slices[0].position
        cosine = float(line @ self.slices[0].normal / np.linalg.norm(line))
        return float(np.degrees(np.arccos(np.clip(cosine, -1, 1))))

    @property
    def spacings(self) -> NDArray[np.float64]:
        """(n - 1,) distances between neighbours along the normal, in mm."""
        return np.diff([float(self.slices[0].normal @ header.position) for header in self.slices])


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
