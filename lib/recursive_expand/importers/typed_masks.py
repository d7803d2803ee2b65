"""Binary masks of all bleeding become class masks, through the types that each slice is labelled with.

In a slice of one type, all that is marked is of that type. For a slice of several types, `--multi` says what to do:

- `skip` leaves the slice out.
- `outermost` calls all that is marked by the type that lies outermost in the head, as the paper's Table 2 does.
- `any` goes by the reader's rule. A marked region (8-connected, at least `MIN_REGION` pixels) that lies on a region of
  a neighbouring slice, where that slice has one type alone, has that type. The types that have no region yet share the
  other regions from the skull inwards: in the order in which they lie deeper and deeper in the head they are epidural,
  subdural, subarachnoid, intraparenchymal, intraventricular, and the gaps in depth are largest where one type ends and
  the next begins. Where every type has a region already, another one has the type of the one at the most similar depth.
  Where there are fewer regions than types nobody can tell which is which, and the slice is left out.

Whatever the rule, a slice is left out where mask and labels contradict each other: marked but labelled clean, or
labelled with blood that nobody marked (it would teach a network that blood is background).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from recursive_expand.importers.bleed_types import OUTSIDE_IN

MIN_REGION = 5
"""Smaller marked regions, in pixels, are crumbs of compression: they get the type of the nearest region."""

HEAD_HU = -200
"""Whatever is denser than this, with its holes filled, is the head."""

_EIGHT = np.ones((3, 3), bool)


class Multi(StrEnum):
    """What to do with a slice of several types."""

    ANY = "any"
    SKIP = "skip"
    OUTERMOST = "outermost"


@dataclass(frozen=True)
class TypedMask:
    """A class mask made of a binary one.

    Attributes:
        mask: (slices, rows, columns) uint8 class values; slices that are left out are empty.
        left_out: why, by slice number.
        split: numbers of the slices in which the reader's rule told several types apart.
    """

    mask: NDArray[np.uint8]
    left_out: dict[int, str]
    split: tuple[int, ...]


def type_mask(
    marked: NDArray[np.bool_],
    types: Mapping[int, frozenset[str]],
    hu: NDArray[np.int16],
    classes: Sequence[str],
    *,
    multi: Multi = Multi.ANY,
) -> TypedMask:
    """Give each marked region its type.

    Args:
        marked: (slices, rows, columns): the binary mask.
        types: types by slice number; empty is clean. A slice without an entry may only be unmarked.
        hu: (slices, rows, columns), HU: tells where the head is.
        classes: the task's class names.
        multi: what to do with slices of several types.
    """
    mask = np.zeros(marked.shape, np.uint8)
    left_out: dict[int, str] = {}
    several: list[int] = []
    for number, plane in enumerate(marked):
        names, drawn = types.get(number), bool(plane.any())
        if names is None:
            if drawn:
                left_out[number] = "is marked, but has no labels"
        elif drawn and not names:
            left_out[number] = "is marked, but labelled clean"
        elif names and not drawn:
            left_out[number] = f"is labelled {_and(names)}, but nothing is marked"
        elif len(names) == 1:
            mask[number][plane] = classes.index(next(iter(names))) + 1
        elif names and multi is Multi.SKIP:
            left_out[number] = f"has several types ({_and(names)}); skipped (--multi skip)"
        elif names and multi is Multi.OUTERMOST:
            mask[number][plane] = classes.index(outermost(names)) + 1
        elif names:
            several.append(number)
    single = mask.copy()
    split = []
    for number in several:
        ordered = [name for name in OUTSIDE_IN if name in types[number]]
        near = [single[other] for other in (number - 1, number + 1) if 0 <= other < len(single)]
        found = _split(marked[number], ordered, near, hu[number], classes)
        if found is None:
            left_out[number] = (
                f"has fewer marked regions than types ({_and(types[number])}): which is which cannot be told"
            )
        else:
            mask[number] = found
            split.append(number)
    return TypedMask(mask, left_out, tuple(split))


def outermost(names: Collection[str]) -> str:
    """The type that lies outermost in the head, of those named."""
    return next(name for name in OUTSIDE_IN if name in names)


def _split(
    marked: NDArray[np.bool_],
    names: Sequence[str],
    near: Sequence[NDArray[np.uint8]],
    hu: NDArray[np.int16],
    classes: Sequence[str],
) -> NDArray[np.uint8] | None:
    """The reader's rule on one slice: (rows, columns) class values, or None where there are too few regions."""
    regions, count = ndimage.label(marked, _EIGHT)
    sizes = np.bincount(regions.ravel(), minlength=count + 1)
    kept = [region for region in range(1, count + 1) if sizes[region] >= MIN_REGION]
    given: dict[int, str] = {}
    for region in kept:
        touched = np.concatenate([other[regions == region] for other in near]) if near else np.zeros(0, np.uint8)
        votes = {name: int(np.count_nonzero(touched == classes.index(name) + 1)) for name in names}
        if any(votes.values()):
            given[region] = max(votes, key=lambda name: votes[name])
    rest = [region for region in kept if region not in given]
    missing = [name for name in names if name not in given.values()]
    if len(rest) < len(missing):
        return None
    if rest:
        depth = _depth(hu)
        depths = {region: float(np.median(depth[regions == region])) for region in rest}
        rest.sort(key=lambda region: depths[region])
        if missing:
            gaps = np.diff([depths[region] for region in rest])
            cuts = sorted(np.argsort(-gaps, kind="stable")[: len(missing) - 1] + 1)
            groups = np.split(np.array(rest), cuts)
            given |= {int(region): name for name, group in zip(missing, groups, strict=True) for region in group}
        else:
            known = {region: float(np.median(depth[regions == region])) for region in given}
            given |= {r: given[min(known, key=lambda k: abs(known[k] - depths[r]))] for r in rest}
    # Crumbs follow the nearest region.
    lookup = np.zeros(count + 1, np.uint8)
    for region, name in given.items():
        lookup[region] = classes.index(name) + 1
    typed = lookup[regions]
    nearest = ndimage.distance_transform_edt(typed == 0, return_distances=False, return_indices=True)
    return np.where(marked, typed[tuple(nearest)], 0).astype(np.uint8)


def _depth(hu: NDArray[np.int16]) -> NDArray[np.float64]:
    """(rows, columns): how far each pixel is from the outside of the head, in pixels; air and its like are 0."""
    parts, count = ndimage.label(hu > HEAD_HU)
    if not count:
        return np.zeros(hu.shape)
    largest = int(np.bincount(parts.ravel())[1:].argmax()) + 1
    head = ndimage.binary_fill_holes(parts == largest)
    return ndimage.distance_transform_edt(np.pad(head, 1))[1:-1, 1:-1]


def _and(names: Sequence[str] | frozenset[str]) -> str:
    return ", ".join(sorted(names))
