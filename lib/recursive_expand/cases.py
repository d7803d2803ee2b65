"""Cases: a scan's voxels in Hounsfield units, its geometry, its series, its role and its image-level labels."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property, lru_cache
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from recursive_expand.errors import InputError

AIR_HU = -1024

MIN_SIDE = 4
"""Fewest rows and columns of a slice."""


TILTED, UNEVEN, GAP = 0.1, 0.05, 1.5
"""What is remarked: a tilt in degrees, distances of slices that differ in mm, a distance of so many usual ones."""


class Role(StrEnum):
    """What a case may be used for (DESIGN.md, "Words")."""

    PIXEL = "pixel"
    """An expert mask exists: the paper's D_pix."""
    IMAGE = "image"
    """Image-level labels only: the paper's D_img."""
    TEST = "test"
    """Held out, never trained on and never proposed."""
    UNLABELLED = "unlabelled"
    """No labels at all: gets proposals like D_img."""


@dataclass(frozen=True)
class Orientation:
    """How a native array (i, j, k) becomes slices (slice, row, column), and back.

    Rows run towards posterior and columns towards the patient's left, as radiologists look at axial CT.
    The slice axis is never flipped: a slice number is the index along the native slice axis, counted from 0.

    Attributes:
        axes: the native axes that become (slice, row, column).
        flip_rows: whether the row axis runs towards anterior in the native array.
        flip_columns: whether the column axis runs towards the patient's right in the native array.
    """

    axes: tuple[int, int, int]
    flip_rows: bool
    flip_columns: bool

    @classmethod
    def from_affine(cls, affine: NDArray[np.float64], native_shape: tuple[int, int, int]) -> Orientation:
        """Derive the orientation from a voxel-to-world matrix.

        Args:
            affine: (4, 4), voxel indices (i, j, k) to RAS millimetres.
            native_shape: the array's shape. An array with exactly one axis of length 1 is a single slice and
                that axis is its slice axis; otherwise it is the axis closest to inferior-superior.
        """
        axes = _closest_axes(np.asarray(affine, np.float64)[:3, :3].tobytes())
        world = [-1 if axis is None else axis for axis, _ in axes]  # world axis of each native axis
        sign = [direction for _, direction in axes]
        for missing in sorted({0, 1, 2} - set(world)):
            world[world.index(-1)] = missing
        singles = [axis for axis in range(3) if native_shape[axis] == 1]
        slice_axis = singles[0] if len(singles) == 1 else world.index(2)
        first, second = [axis for axis in range(3) if axis != slice_axis]
        # The in-plane axis closest to left-right becomes the columns.
        columns, rows = (first, second) if world[first] < world[second] else (second, first)
        # World axes are RAS: an axis that runs towards right, anterior or superior (+1) is turned round.
        return cls((slice_axis, rows, columns), sign[rows] > 0, sign[columns] > 0)

    def to_slices(self, native: NDArray) -> NDArray:
        """A view of a native (i, j, k) array as (slice, row, column)."""
        out = np.transpose(native, self.axes)
        return out[:, :: -1 if self.flip_rows else 1, :: -1 if self.flip_columns else 1]

    def to_native(self, slices: NDArray) -> NDArray:
        """A view of a (slice, row, column) array in the native axes: the inverse of `to_slices`."""
        out = slices[:, :: -1 if self.flip_rows else 1, :: -1 if self.flip_columns else 1]
        return np.transpose(out, np.argsort(self.axes))


@lru_cache(maxsize=1024)
def _closest_axes(directions: bytes) -> tuple[tuple[int | None, int], ...]:
    """The world axis (None: none is left) and the direction, 1 or -1, of each native axis.

    Kept, since the slices of an import of single slices have few directions and an answer takes 0.5 ms.

    Args:
        directions: an affine's (3, 3) float64 part, as bytes.
    """
    affine = np.eye(4)
    affine[:3, :3] = np.frombuffer(directions).reshape(3, 3)
    return tuple(
        (int(axis) if np.isfinite(axis) else None, 1 if np.isnan(direction) else int(direction))
        for axis, direction in nib.orientations.io_orientation(affine)
    )


@dataclass(frozen=True)
class Geometry:
    """Where a case's voxels are.

    Attributes:
        native_shape: shape (i, j, k) of the image's own array.
        affine: (4, 4) float64, native voxel indices to RAS millimetres. It may be sheared (gantry tilt) and is
            only a best fit where slices are unevenly spaced.
        orientation: the map between the native array and slices.
    """

    native_shape: tuple[int, int, int]
    affine: NDArray[np.float64]
    orientation: Orientation

    @classmethod
    def of(cls, native_shape: tuple[int, int, int], affine: NDArray[np.float64]) -> Geometry:
        """Geometry of a native array with this affine."""
        return cls(native_shape, np.asarray(affine, np.float64), Orientation.from_affine(affine, native_shape))

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape as (slices, rows, columns)."""
        s, r, c = (self.native_shape[a] for a in self.orientation.axes)
        return s, r, c

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Spacing in mm as (between slices along the slice axis, between rows, between columns)."""
        lengths = np.linalg.norm(self.affine[:3, :3], axis=0)
        s, r, c = (float(lengths[a]) for a in self.orientation.axes)
        return s, r, c


@dataclass(frozen=True, eq=False)
class SeriesReference:
    """The DICOM series that a volume was read from, and the way from each slice back to its instance.

    Attributes:
        series_instance_uid: SeriesInstanceUID.
        study_instance_uid: StudyInstanceUID; None where it is not known.
        sop_instance_uids: SOPInstanceUID by slice number.
        positions: (slices, 3) float64, ImagePositionPatient by slice number: LPS millimetres.
        orientation: (6,) float64, ImageOrientationPatient: directions of a row, then of a column, LPS.
        pixel_spacing: (2,) float64, mm between rows, then between columns.
        tilt_degrees: angle between the slices' normal and the line through their positions.
        slice_spacings_mm: (slices - 1,) float64, distances between neighbours along the normal, in mm.
        frame_numbers: by slice number, which frame of its multi-frame instance it is, from 1; empty where each
            instance is one slice.
    """

    series_instance_uid: str
    study_instance_uid: str | None
    sop_instance_uids: tuple[str, ...]
    positions: NDArray[np.float64]
    orientation: NDArray[np.float64]
    pixel_spacing: NDArray[np.float64]
    tilt_degrees: float
    slice_spacings_mm: NDArray[np.float64]
    frame_numbers: tuple[int, ...] = ()

    @property
    def slice_names(self) -> tuple[tuple[str, int], ...]:
        """(SOPInstanceUID, frame number or 0) by slice number."""
        return tuple(zip(self.sop_instance_uids, self.frame_numbers or [0] * len(self.sop_instance_uids), strict=True))

    @property
    def remarks(self) -> list[str]:
        """One clause for each thing about the slices' places that is not as in most series; nothing is resampled."""
        said = []
        steps = np.abs(self.slice_spacings_mm)
        if self.tilt_degrees > TILTED:
            said.append(f"tilted by {self.tilt_degrees:.1f} degrees")
        if len(steps) and steps.max() - steps.min() > UNEVEN:
            said.append(f"slices {steps.min():.2f} to {steps.max():.2f} mm apart")
            gaps = np.flatnonzero(steps > GAP * np.median(steps))
            said += [f"a gap of {steps[number]:.2f} mm after slice {number}" for number in gaps[:3]]
        return said

    def to_json(self) -> dict[str, Any]:
        """What `geometry/<case>.geometry.json` holds of it: names as DICOM has them, distances to 0.1 micrometres."""
        frames = {"frame_numbers": list(self.frame_numbers)} if self.frame_numbers else {}
        return frames | {
            "series_instance_uid": self.series_instance_uid,
            "study_instance_uid": self.study_instance_uid,
            "sop_instance_uids": list(self.sop_instance_uids),
            "image_position_patient": self.positions.tolist(),
            "image_orientation_patient": self.orientation.tolist(),
            "pixel_spacing_mm": self.pixel_spacing.tolist(),
            "tilt_degrees": round(self.tilt_degrees, 4),
            "slice_spacings_mm": [round(float(spacing), 4) for spacing in self.slice_spacings_mm],
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> SeriesReference | None:
        """Read what `to_json` made; other keys are ignored.

        Returns:
            None where the content tells of no series: that of pictures, and of what 0.1.0 wrote for data sets.

        Raises:
            InputError: where it tells of a series, but not all, or not of as many slices throughout.
        """
        if not content.get("series_instance_uid"):
            return None
        try:
            uids = tuple(map(str, content["sop_instance_uids"]))
            study = content.get("study_instance_uid")
            return cls(
                str(content["series_instance_uid"]),
                None if study is None else str(study),
                uids,
                np.array(content["image_position_patient"], np.float64).reshape(len(uids), 3),
                np.array(content["image_orientation_patient"], np.float64).reshape(6),
                np.array(content["pixel_spacing_mm"], np.float64).reshape(2),
                float(content["tilt_degrees"]),
                np.array(content["slice_spacings_mm"], np.float64).reshape(len(uids) - 1),
                tuple(int(number) for number in content.get("frame_numbers") or ()),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise InputError("geometry.json", f"does not place a series ({error}); import the series anew") from error


@dataclass(frozen=True)
class Volume:
    """A case's voxels.

    Attributes:
        hu: (slices, rows, columns) int16, Hounsfield units; possibly a read-only memory map.
        geometry: where these voxels are.
        series: the DICOM series they were read from; None for other files.
    """

    hu: NDArray[np.int16]
    geometry: Geometry
    series: SeriesReference | None = None


def voxel_sha256(mask: NDArray[np.uint8]) -> str:
    """SHA-256 of a mask's decoded voxels: the identity of a proposal.

    Args:
        mask: uint8 class values in the image's native axes (i, j, k).

    Returns:
        Hex digest of the shape as text (`"512x512x28\\n"`) followed by the voxels in C order. Independent of file
        format, compression and stored data type.
    """
    if mask.dtype != np.uint8:
        raise TypeError(f"a mask is hashed as uint8, not {mask.dtype}")
    digest = hashlib.sha256(("x".join(map(str, mask.shape)) + "\n").encode())
    digest.update(_in_c_order(mask).data)
    return digest.hexdigest()


def _in_c_order(mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The (i, j, k) mask itself or a copy, C-contiguous.

    Turning an array over goes through memory in leaps, and most of a mask is background: only the box of its foreground
    is turned.
    """
    if mask.flags.c_contiguous:
        return mask
    out = np.zeros(mask.shape, mask.dtype)
    filled = [np.flatnonzero(mask.any(axis=(axis - 1, axis - 2))) for axis in range(3)]
    if filled[0].size:
        box = tuple(slice(numbers[0], numbers[-1] + 1) for numbers in filled)
        out[box] = mask[box]
    return out


@dataclass(frozen=True, eq=False)
class LabelMap:
    """A mask of class values that knows where its voxels are. Never changed: each change is a new one.

    Attributes:
        native: (i, j, k) uint8 class values, C- or Fortran-contiguous and read-only; 0 is background.
        geometry: where these voxels are; for a proposal or an expert mask, its image's.
        classes: the task's class names: class k has value k + 1. Empty where nobody asks for names.

    Raises:
        TypeError: for another data type.
        ValueError: for an array that does not fit the geometry.

    Example:
        >>> geometry = Geometry.of((4, 4, 2), np.diag([-1.0, -1.0, 5.0, 1.0]))
        >>> label = LabelMap(np.ones((4, 4, 2), np.uint8), geometry, ("subdural",))
        >>> label.filled, label.emptied([1]).filled, label.voxels()
        ((0, 1), (0,), {'subdural': 32})
    """

    native: NDArray[np.uint8]
    geometry: Geometry
    classes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        native = self.native
        if native.dtype != np.uint8:
            raise TypeError(f"a label map holds uint8, not {native.dtype}")
        if native.shape != self.geometry.native_shape:
            raise ValueError(f"an array of {native.shape} does not fit an image of {self.geometry.native_shape}")
        if not (native.flags.c_contiguous or native.flags.f_contiguous):
            native = np.asfortranarray(native)
        native = native.view()
        native.flags.writeable = False
        object.__setattr__(self, "native", native)
        object.__setattr__(self, "classes", tuple(self.classes))

    @classmethod
    def from_slices(cls, slices: NDArray[np.uint8], geometry: Geometry, classes: Collection[str] = ()) -> LabelMap:
        """The label map of a (slices, rows, columns) uint8 array.

        Its voxels lie in Fortran order, as files have them: in nearly all scans a slice lies together in memory then.
        An array that lies so already is taken up, not copied: it belongs to the label map from then on.
        """
        return cls(np.asfortranarray(geometry.orientation.to_native(slices)), geometry, tuple(classes))

    @classmethod
    def background(cls, geometry: Geometry, classes: Collection[str] = ()) -> LabelMap:
        """A label map without any foreground."""
        return cls(np.zeros(geometry.native_shape, np.uint8), geometry, tuple(classes))

    @property
    def slices(self) -> NDArray[np.uint8]:
        """A read-only view of the voxels as (slices, rows, columns)."""
        return self.geometry.orientation.to_slices(self.native)

    @cached_property
    def sha256(self) -> str:
        """`voxel_sha256` of the native voxels."""
        return voxel_sha256(self.native)

    @cached_property
    def filled(self) -> tuple[int, ...]:
        """Numbers of the slices with foreground, in order."""
        return tuple(int(number) for number in np.flatnonzero(self.slices.any(axis=(1, 2))))

    @cached_property
    def values(self) -> tuple[int, ...]:
        """The foreground values that occur, in order; those above `len(classes)` are no class."""
        return tuple(int(value) for value in np.flatnonzero(self._counts.sum(axis=0)) if value)

    def slice_voxels(self) -> dict[int, dict[str, int]]:
        """Number of voxels by slice number and class name; slices and classes without voxels are left out.

        Raises:
            ValueError: where a value is no class.
        """
        return {
            number: {self._name(int(value)): int(self._counts[number, value]) for value in present}
            for number in self.filled
            if (present := np.flatnonzero(self._counts[number, 1:]) + 1).size
        }

    def voxels(self) -> dict[str, int]:
        """Number of voxels by class name; classes without voxels are left out.

        Raises:
            ValueError: where a value is no class.
        """
        total = self._counts.sum(axis=0)
        return {self._name(value): int(total[value]) for value in self.values}

    def on(self, geometry: Geometry) -> LabelMap:
        """The same mask on a grid whose axes run another way, by what the two affines say.

        Args:
            geometry: of the same voxels, their axes turned or flipped; where they lie is not compared.

        Raises:
            ValueError: the shape does not fit then.
        """
        own, other = (nib.orientations.io_orientation(affine) for affine in (self.geometry.affine, geometry.affine))
        native = nib.orientations.apply_orientation(self.native, nib.orientations.ornt_transform(own, other))
        return LabelMap(native, geometry, self.classes)

    def emptied(self, slice_numbers: Collection[int]) -> LabelMap:
        """The same with these slices all background."""
        slices = self.slices.copy()
        slices[list(slice_numbers)] = 0
        return LabelMap.from_slices(slices, self.geometry, self.classes)

    def kept(self, slice_numbers: Collection[int]) -> LabelMap:
        """The same with all but these slices background."""
        slices = np.zeros_like(self.slices)
        slices[list(slice_numbers)] = self.slices[list(slice_numbers)]
        return LabelMap.from_slices(slices, self.geometry, self.classes)

    @cached_property
    def _counts(self) -> NDArray[np.int64]:
        """(slices, 256) voxels by slice and value; `bincount` sees the foreground alone, of which it makes int64."""
        counts = np.zeros((len(self.slices), 256), np.int64)
        for number, plane in enumerate(self.slices):
            foreground = plane[plane > 0]
            counts[number] = np.bincount(foreground, minlength=256)
            counts[number, 0] = plane.size - foreground.size
        return counts

    def _name(self, value: int) -> str:
        if value > len(self.classes):
            raise ValueError(f"the value {value} is no class; classes are {', '.join(self.classes) or 'not given'}")
        return self.classes[value - 1]


@dataclass(frozen=True)
class ImageLabels:
    """Image-level labels of one slice or of one whole case.

    Attributes:
        present: names of the classes that are said to be present; empty means "clean".
    """

    present: frozenset[str]
