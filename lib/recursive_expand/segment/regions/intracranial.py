"""The region `intracranial`: the head, with proposals kept to the inside of the skull."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.morphology import convex_hull_image

from recursive_expand.segment.regions.head import Head

GRID_MM = 2.0
"""The skull is found on a grid of about this pitch: a millisecond a slice."""
BONE_HU = 160
"""Bone is denser, averaged over a cell; blood is not."""
PLATEAU_HU = 6
"""A slice that was mapped back from a display window has no values above the window's upper end: there bone is what
lies within so many HU of it."""
GAP_MM = 4.0
"""Gaps of up to twice this (sutures, fractures, canals of the skull base) do not open the skull."""
EDGE_MM = 3.0
"""By how much the inside reaches into the inner table: blood that touches bone shares its voxels."""
LEAST_SKULL_CM2 = 2.0
"""Less bone than this is no skull: nothing is known of such a slice."""
BONY_SHARE = 0.6
"""A patch of soft tissue whose border is bone to this share is a part of the brain in an open skull base; muscles have
bone on one side."""
OPEN_BRAIN_CM2 = 40.0
"""Within the hull of an open skull (a craniectomy, a head at the image's border) a larger patch of soft tissue is
brain: no muscle is so large."""
ALIKE_HU = 95
"""Where a display window ends below this, blood is as bright as bone: then bone counts as inside."""
_PATCH_MM = 4.0
_PATCH_CM2 = 2.0
_TABLE_SHARE = 0.25
_BULGE_MM = 6.0
_CROSS = ndimage.generate_binary_structure(2, 1)
_FAT_HU = -25
_LEAST_CM2 = 0.3
_SMALL_CM2 = 25.0


class Intracranial(Head):
    """The head; what lies outside the skull is no finding."""

    def inside(self, hu: NDArray[np.int16], spacing: tuple[float, float]) -> NDArray[np.bool_] | None:
        """See `skull_interior`."""
        return skull_interior(hu, spacing)


def skull_interior(hu: NDArray[np.int16], spacing: tuple[float, float]) -> NDArray[np.bool_] | None:
    """Find the inside of the skull.

    Outside is what the image's border reaches past the bone, whose small gaps are closed. Of what is enclosed, fat and
    air (orbits, sinuses) are no brain. Where the skull is wide open, large patches of soft tissue within the hull of
    the bone count as inside. Losing blood is a safety failure, a wrong proposal is only rejected: where no skull is
    found, nothing is said.

    Args:
        hu: (R, C) int16, Hounsfield units, also of pictures whose values end at a display window's.
        spacing: mm between rows and between columns; what no CT can have (beyond 0.1 to 5 mm) is not believed.

    Returns:
        (R, C) bool, the inside and the inner table's edge; None where the slice shows no skull.
    """
    if not all(0.1 <= mm <= 5 for mm in spacing):
        return None
    steps = [max(1, round(GRID_MM / mm)) for mm in spacing]
    grid = _coarse(hu, steps)
    cell = (steps[0] * spacing[0], steps[1] * spacing[1])
    cm2 = cell[0] * cell[1] / 100
    low, top = float(grid.min()), float(grid.max())
    bone = grid >= min(BONE_HU, top - PLATEAU_HU)
    if np.count_nonzero(bone) * cm2 < LEAST_SKULL_CM2 or top - low < 2 * PLATEAU_HU:
        return None
    closed = _closed(bone, _disc(GAP_MM, cell))
    fatty = grid <= max(_FAT_HU, low + 2)
    # Closing also fills pockets between bones, which bone encloses without it.
    enclosed = _filled(_enclosed(closed, fatty, cm2), cm2) | _enclosed(bone, fatty, cm2)
    # What closing filled is given back, as far as it is no bone.
    inside = _dilated(enclosed, _disc(GAP_MM, cell)) & ~bone & ~fatty if enclosed.any() else enclosed
    inside = inside | _open_brain(bone, (grid > max(-10.0, low + 2)) & ~bone & ~inside, cell)
    edge = _dilated(inside, _disc(EDGE_MM, cell))
    if top < ALIKE_HU:
        edge |= closed
    return _native(edge, hu.shape, steps)


def _coarse(hu: NDArray[np.int16], steps: list[int]) -> NDArray[np.float32]:
    """Means along the row of every n-th row: (r, c); what is left over at the ends is in the last cells."""
    rows = hu[steps[0] // 2 :: steps[0]]
    columns = rows.shape[1] // steps[1]
    return rows[:, : columns * steps[1]].reshape(len(rows), columns, steps[1]).mean(axis=2, dtype=np.float32)


def _native(grid: NDArray[np.bool_], shape: tuple[int, ...], steps: list[int]) -> NDArray[np.bool_]:
    full = grid.repeat(steps[0], axis=0).repeat(steps[1], axis=1)
    if full.shape == shape:
        return full
    missing = [(0, max(0, size - have)) for size, have in zip(shape, full.shape, strict=True)]
    return np.pad(full, missing, mode="edge")[: shape[0], : shape[1]]


@lru_cache(maxsize=256)
def _disc(radius: float, cell: tuple[float, float]) -> NDArray[np.bool_]:
    reach = [max(1, round(radius / mm)) for mm in cell]
    rows, columns = np.ogrid[-reach[0] : reach[0] + 1, -reach[1] : reach[1] + 1]
    return (rows / (reach[0] + 0.5)) ** 2 + (columns / (reach[1] + 0.5)) ** 2 <= 1


def _closed(bone: NDArray[np.bool_], disc: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Closing that takes what lies beyond the border for background."""
    margin = max(disc.shape)
    grown = _dilated(_framed(bone, margin, margin), disc)
    return ~_dilated(~grown, disc)[margin:-margin, margin:-margin]


def _framed(mask: NDArray[np.bool_], rows: int, columns: int) -> NDArray[np.bool_]:
    """With so many rows and columns of False around it; `np.pad` takes longer than all that it is needed for."""
    out = np.zeros((mask.shape[0] + 2 * rows, mask.shape[1] + 2 * columns), np.bool_)
    out[rows : rows + mask.shape[0], columns : columns + mask.shape[1]] = mask
    return out


def _dilated(mask: NDArray[np.bool_], disc: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Binary dilation with a symmetric element; on small grids ten times as fast as SciPy's."""
    rows, columns = mask.shape
    reach = [size // 2 for size in disc.shape]
    padded = _framed(mask, *reach)
    out = np.zeros_like(mask)
    for row, column in np.argwhere(disc).tolist():
        out |= padded[row : row + rows, column : column + columns]
    return out


def _enclosed(closed: NDArray[np.bool_], fatty: NDArray[np.bool_], cm2: float) -> NDArray[np.bool_]:
    """What bone encloses and is neither air nor fat."""
    labels, number = ndimage.label(~_framed(closed, 1, 1))
    outside = labels[0, 0]
    labels = labels[1:-1, 1:-1]
    sizes = np.bincount(labels.ravel(), minlength=number + 1)
    fat = np.bincount(labels.ravel(), fatty.ravel(), minlength=number + 1) / np.maximum(sizes, 1)
    kept = (sizes * cm2 >= _LEAST_CM2) & (fat < np.where(sizes * cm2 < _SMALL_CM2, 0.08, 0.4))
    kept[[0, outside]] = False
    return kept[labels]


def _filled(found: NDArray[np.bool_], cm2: float) -> NDArray[np.bool_]:
    """With the islands of bone in it: calcium, a drain."""
    if not found.any():
        return found
    holes, number = ndimage.label(~_framed(found, 1, 1))
    islands = np.bincount(holes.ravel(), minlength=number + 1) * cm2 < _SMALL_CM2
    islands[[0, holes[0, 0]]] = False
    return found | islands[holes[1:-1, 1:-1]]


def _open_brain(bone: NDArray[np.bool_], soft: NDArray[np.bool_], cell: tuple[float, float]) -> NDArray[np.bool_]:
    """Patches of soft tissue that no bone encloses, and that are brain: bone is all round them but for a leak, or they
    are large and lie within the hull of the skull.

    Args:
        bone: (r, c) the skull.
        soft: (r, c) other tissue than fat, besides what is known to be inside.
        cell: mm.
    """
    found = np.zeros_like(bone)
    cm2 = cell[0] * cell[1] / 100
    disc = _disc(_PATCH_MM, cell)
    hull: NDArray[np.bool_] | None = None
    cores, number = ndimage.label(~_dilated(~soft, disc))
    sizes = np.bincount(cores.ravel(), minlength=number + 1)
    reach = disc.shape[0] // 2 + 1, disc.shape[1] // 2 + 1
    for value, place in enumerate(ndimage.find_objects(cores), start=1):
        if sizes[value] * cm2 < _PATCH_CM2:
            continue
        box = tuple(slice(max(0, p.start - r), p.stop + r) for p, r in zip(place, reach, strict=True))
        patch = _dilated(cores[box] == value, disc) & soft[box]
        whole = _framed(patch, 1, 1)  # the image's border is no bone
        border = _dilated(whole, _CROSS) & ~whole
        if np.count_nonzero(border[1:-1, 1:-1] & bone[box]) >= BONY_SHARE * np.count_nonzero(border):
            found[box] |= patch
        elif np.count_nonzero(patch) * cm2 >= OPEN_BRAIN_CM2:
            if hull is None:
                hull = _hull(bone, cell)
            within = patch & hull[box]
            if np.count_nonzero(within) * cm2 >= OPEN_BRAIN_CM2:
                found[box] |= within
    return found


def _hull(bone: NDArray[np.bool_], cell: tuple[float, float]) -> NDArray[np.bool_]:
    """The convex hull of the skull, and a little of what bulges out of it; the table's parts are left out."""
    labels, _ = ndimage.label(bone, np.ones((3, 3)))
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    skull = (sizes >= _TABLE_SHARE * sizes.max())[labels]
    return _dilated(convex_hull_image(skull), _disc(_BULGE_MM, cell))
