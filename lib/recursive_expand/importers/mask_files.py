"""Mask files that come with scans: brought onto the scan's grid, values turned into the task's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from recursive_expand.archives.images import read_label
from recursive_expand.cases import Geometry, ImageLabels
from recursive_expand.errors import InputError

FAR = 20.0
"""A mask whose first voxel lies further than this from its scan's, in mm, belongs elsewhere. Less is usual: writers
make tilted and uneven grids regular."""


def read_mask_on(path: Path, geometry: Geometry) -> NDArray[np.uint8]:
    """Read a mask that may run along its axes another way than its scan does.

    Args:
        path: NIfTI or NRRD; the voxel grid is the scan's, save for turned or flipped axes.
        geometry: the scan's.

    Returns:
        (slices, rows, columns) uint8, the file's values.

    Raises:
        InputError: for a mask of another size, one that lies elsewhere, and as `read_label` does.
    """
    label = read_label(path)
    own = label.geometry
    turn = nib.orientations.ornt_transform(
        nib.orientations.io_orientation(own.affine), nib.orientations.io_orientation(geometry.affine)
    )
    affine = own.affine @ nib.orientations.inv_ornt_aff(turn, own.native_shape)
    native = nib.orientations.apply_orientation(label.native, turn)
    if native.shape != geometry.native_shape:
        sizes = (" x ".join(map(str, shape)) for shape in (native.shape, geometry.native_shape))
        raise InputError(path.name, "has {} voxels, its scan {}; a mask has its scan's grid".format(*sizes))
    away = float(np.linalg.norm(affine[:3, 3] - geometry.affine[:3, 3]))
    if away > FAR:
        raise InputError(path.name, f"lies {away:.0f} mm off its scan; save it on its scan's grid")
    return geometry.orientation.to_slices(native)


def map_values(
    mask: NDArray[np.uint8], values: Mapping[int, str], classes: Sequence[str], source: str
) -> NDArray[np.uint8]:
    """Turn a mask's values into the task's.

    Args:
        mask: any shape.
        values: class name by the mask's value; 0 is background.
        classes: the task's class names.
        source: what to call the mask in errors.

    Raises:
        InputError: for a value that `values` does not name.
    """
    lookup = np.zeros(256, np.uint8)
    for value, name in values.items():
        lookup[value] = classes.index(name) + 1
    found = np.flatnonzero(np.bincount(mask.ravel(order="K"), minlength=256))
    unknown = [int(value) for value in found if value and value not in values]
    if unknown:
        named = ", ".join(f"{value} {name}" for value, name in sorted(values.items()))
        raise InputError(source, f"holds the value {unknown[0]}; known are {named} (--class-values)")
    return lookup[mask]


def check_values(values: Mapping[int, str], classes: Sequence[str]) -> None:
    """Refuse names that are no classes and values that no mask holds.

    Raises:
        InputError: naming the first.
    """
    for value, name in values.items():
        if name not in classes or not 0 < value < 256:
            raise InputError(
                f"--class-values {value}={name}", f"needs a value from 1 to 255 and one of {', '.join(classes)}"
            )


def labels_of(mask: NDArray[np.uint8], classes: Sequence[str]) -> ImageLabels:
    """The classes in a mask of any shape, as image-level labels."""
    return ImageLabels(frozenset(classes[value - 1] for value in np.unique(mask) if value))


def present_types(mask: NDArray[np.uint8] | None, classes: Sequence[str]) -> str:
    """The classes in a mask, as a clause with the number of slices of each."""
    if mask is None:
        return "no mask"
    counts = {name: int((mask == value).any(axis=(1, 2)).sum()) for value, name in enumerate(classes, start=1)}
    return ", ".join(f"{name} in {count} slices" for name, count in counts.items() if count) or "nothing marked"
