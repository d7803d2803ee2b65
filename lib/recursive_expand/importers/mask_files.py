"""Mask files that come with scans: brought onto the scan's grid, values turned into the task's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from recursive_expand.archives.images import read_label
from recursive_expand.cases import Geometry, ImageLabels, LabelMap, Volume
from recursive_expand.errors import InputError
from recursive_expand.importers.measures import share_like_blood

BACKGROUND = "background"
"""What a mask's value may be called that is none of the task's classes: oedema, say."""

IN_PLANE = 1.0
"""A mask's corner may be so many pixels (or mm, if that is more) off its scan's within the slice."""

ALONG = 0.5
"""And so many slices along the slice axis: further, and marks would be on the neighbouring slice."""

CLEARLY = 0.2
"""A reading by which so much more of the marked voxels have HU of blood is the right one."""

_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def read_mask_on(path: Path, volume: Volume) -> LabelMap:
    """Read a mask that may run along its axes another way than its scan does.

    All eight corners of the mask must be where the scan's are, or where the scan's would be on a regular grid: writers
    (ITK among them) make tilted and unevenly spaced grids regular from the first slice on.

    Args:
        path: NIfTI or NRRD; the voxel grid is the scan's, save for turned or flipped axes.
        volume: the scan.

    Returns:
        The file's values on the scan's grid.

    Raises:
        InputError: for a mask of another size or spacing, one that is elsewhere, one whose header has LPS and RAS
            exchanged, and as `read_label` does.
    """
    label = read_label(path)
    native, affine = _turned(label, label.geometry.affine, volume.geometry)
    if native.shape != volume.geometry.native_shape:
        sizes = (" x ".join(map(str, shape)) for shape in (native.shape, volume.geometry.native_shape))
        raise InputError(path.name, "has {} voxels, its scan {}; a mask has its scan's grid".format(*sizes))
    exchanged, exchanged_affine = _turned(label, _LPS @ label.geometry.affine, volume.geometry)
    exchanged_fits = exchanged.shape == native.shape and _fits(exchanged_affine, volume)
    lps = "its header has LPS and RAS exchanged: left is right in it; export it again"
    if not _fits(affine, volume):
        if exchanged_fits:
            raise InputError(path.name, lps)
        away = _farthest(affine, volume)
        raise InputError(path.name, f"lies {away:.0f} mm off its scan at a corner; save it on its scan's grid")
    found = LabelMap(native, volume.geometry)
    if exchanged_fits:
        # A scan that is centred on the origin fits either way: the voxels tell.
        other = volume.geometry.orientation.to_slices(exchanged)
        here, there = (share_like_blood(volume.hu, marked > 0) for marked in (found.slices, other))
        if there > here + CLEARLY:
            raise InputError(path.name, lps)
    return found


def map_values(label: LabelMap, values: Mapping[int, str], classes: Sequence[str], source: str) -> LabelMap:
    """Turn a mask's values into the task's.

    Args:
        label: the file's values.
        values: class name by the mask's value, or `BACKGROUND`; 0 is background.
        classes: the task's class names.
        source: what to call the mask in errors.

    Raises:
        InputError: for a value that `values` does not name.
    """
    lookup = np.zeros(256, np.uint8)
    for value, name in values.items():
        lookup[value] = 0 if name == BACKGROUND else classes.index(name) + 1
    unknown = [value for value in label.values if value not in values]
    if unknown:
        named = ", ".join(f"{value} {name}" for value, name in sorted(values.items()))
        raise InputError(source, f"holds the value {unknown[0]}; known are {named} (--class-values)")
    return LabelMap(lookup[label.native], label.geometry, tuple(classes))


def check_values(values: Mapping[int, str], classes: Sequence[str]) -> None:
    """Refuse names that are no classes and values that no mask holds.

    Raises:
        InputError: naming the first.
    """
    for value, name in values.items():
        if name not in (*classes, BACKGROUND) or not 0 < value < 256:
            known = ", ".join((*classes, BACKGROUND))
            raise InputError(f"--class-values {value}={name}", f"needs a value from 1 to 255 and one of {known}")


def labels_of(mask: NDArray[np.uint8], classes: Sequence[str]) -> ImageLabels:
    """The classes in a mask of any shape, as image-level labels."""
    return ImageLabels(frozenset(classes[value - 1] for value in np.unique(mask) if value))


def present_types(mask: LabelMap | None) -> str:
    """The classes in a mask, as a clause with the number of slices of each."""
    if mask is None:
        return "no mask"
    slices = Counter(name for present in mask.slice_voxels().values() for name in present)
    return ", ".join(f"{name} in {slices[name]} slices" for name in mask.classes if slices[name]) or "nothing marked"


def _turned(
    label: LabelMap, affine: NDArray[np.float64], geometry: Geometry
) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """A mask's voxels and its (4, 4) affine with axes in the order and direction of its scan's, for this affine."""
    turn = nib.orientations.ornt_transform(
        nib.orientations.io_orientation(affine), nib.orientations.io_orientation(geometry.affine)
    )
    native = nib.orientations.apply_orientation(label.native, turn)
    return native, affine @ nib.orientations.inv_ornt_aff(turn, label.native.shape)


def _fits(affine: NDArray[np.float64], volume: Volume) -> bool:
    """Whether all corners of a grid with this affine are the scan's."""
    slice_axis = volume.geometry.orientation.axes[0]
    corners = _corners(volume)
    for place in _placements(volume):
        spacing = np.linalg.norm(place[:3, :3], axis=0)
        off = np.abs((np.linalg.inv(place) @ affine @ corners - corners)[:3]).max(axis=1)
        allowed = np.maximum(IN_PLANE, 1 / spacing)
        allowed[slice_axis] = ALONG
        if (off <= allowed).all():
            return True
    return False


def _farthest(affine: NDArray[np.float64], volume: Volume) -> float:
    """Millimetres between the corners that are furthest apart, on the placement that is nearest."""
    corners = _corners(volume)
    return min(float(np.linalg.norm(((affine - place) @ corners)[:3], axis=0).max()) for place in _placements(volume))


def _corners(volume: Volume) -> NDArray[np.float64]:
    """(4, 8) voxel indices of the grid's corners."""
    ends = [(0, side - 1) for side in volume.geometry.native_shape]
    return np.array([(*corner, 1) for corner in product(*ends)], np.float64).T


def _placements(volume: Volume) -> list[NDArray[np.float64]]:
    """Affines that a mask of this scan may have: its own, and those of regular grids from its first slice on."""
    affine = volume.geometry.affine
    slice_axis, *in_plane = volume.geometry.orientation.axes
    step = affine[:3, slice_axis]
    normal = np.cross(affine[:3, in_plane[0]], affine[:3, in_plane[1]])
    normal *= np.sign(normal @ step) / np.linalg.norm(normal)
    steps = {float(np.linalg.norm(step)), float(normal @ step)}
    if volume.series is not None and len(volume.series.slice_spacings_mm):
        spacings = np.abs(volume.series.slice_spacings_mm)
        steps |= {float(spacing) for spacing in (spacings[0], np.median(spacings), spacings.min(), spacings.max())}
    regular = []
    for length in sorted(steps):
        place = affine.copy()
        place[:3, slice_axis] = normal * length
        regular.append(place)
    return [affine, *regular]
