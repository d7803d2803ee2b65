"""A submitted label held against its frozen proposal: what verdict is it?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recursive_expand.cases import Geometry, LabelMap
from recursive_expand.errors import InputError, RecursiveExpandError


@dataclass(frozen=True)
class Unchanged:
    """The proposal as it was: accept."""


@dataclass(frozen=True)
class Emptied:
    """All background: reject."""


@dataclass(frozen=True)
class PartlyEmptied:
    """Some slices emptied, the rest as it was: those slices rejected, the rest accepted.

    Attributes:
        slices: numbers of the emptied slices.
    """

    slices: tuple[int, ...]


@dataclass(frozen=True)
class Edited:
    """Anything else.

    Attributes:
        voxels: number of differing voxels by slice number.
    """

    voxels: dict[int, int]

    def describe(self, most: int = 10) -> str:
        """One sentence that names the slices and voxel counts that differ."""
        shown = [f"slice {number}: {count}" for number, count in sorted(self.voxels.items())[:most]]
        more = f" and {len(self.voxels) - most} more slices" if len(self.voxels) > most else ""
        return f"{sum(self.voxels.values())} voxels differ from the proposal ({', '.join(shown)}{more})"


Submission = Unchanged | Emptied | PartlyEmptied | Edited


_SUBMITTED = "submitted mask"
NO_CLASS = 255
"""A segment that the user added under a name that is no class."""


class AmbiguousVerdict(RecursiveExpandError):
    """An empty mask for an empty proposal says neither accept nor reject."""


def compare(proposal: LabelMap, submitted: LabelMap, *, label_info: Sequence[Mapping[str, Any]] = ()) -> Submission:
    """Hold a submitted label map against the frozen proposal, voxel by voxel (DESIGN.md, "The verdict is about ...").

    Clients re-encode masks. 3D Slicer makes every volume right-handed, which turns the third native axis of some
    images round, and renumbers segments when some were removed. What the client says its values mean counts then.

    Args:
        proposal: on the image's grid, with the task's classes.
        submitted: the same native shape, values as the client wrote them. Its geometry says whether its third axis runs
            the other way; its classes are not looked at.
        label_info: the client's segments, `{"name": ..., "idx": ...}`: value v is the v-th of them (3D Slicer), or the
            one with `idx` v (other clients). Without it, values are the task's.

    Returns:
        What the submission is. For an empty proposal it is `Unchanged` if it is empty too.

    Raises:
        ValueError: the shapes differ.
    """
    if proposal.native.shape != submitted.native.shape:
        raise ValueError(
            f"the submitted mask has {'x'.join(map(str, submitted.native.shape))} voxels, the image "
            f"{'x'.join(map(str, proposal.native.shape))}: submit it on the image's own grid"
        )
    # Not every client's affine is to be trusted: the direction that it claims is tried first, then the other one.
    directions = [submitted.native, submitted.native[:, :, ::-1]]
    if _third_axis_turned(proposal.geometry, submitted.geometry):
        directions.reverse()
    best: Edited | None = None
    for direction in directions:
        for reading in _readings(direction, proposal.classes, label_info):
            found = _classify(proposal.slices, proposal.geometry.orientation.to_slices(reading))
            if not isinstance(found, Edited):
                return found
            if best is None or sum(found.voxels.values()) < sum(best.voxels.values()):
                best = found
    assert best is not None
    return best


def as_drawn(
    submitted: LabelMap, image: Geometry, *, classes: Sequence[str], label_info: Sequence[Mapping[str, Any]] = ()
) -> LabelMap:
    """A submitted mask as the expert drew it: on the image's grid, in the task's values.

    Unlike `compare`, nothing here tells a right reading from a wrong one: what is ambiguous is refused.

    Args:
        submitted: as the client wrote it (`compare` tells what clients do to masks).
        image: the image's geometry.
        classes: the task's class names.
        label_info: as for `compare`.

    Raises:
        InputError: another shape, a segment of no class, and values that the client's names give two meanings.
    """
    try:
        turned = submitted.on(image)
    except ValueError as error:
        sent, own = ("x".join(map(str, one.native_shape)) for one in (submitted.geometry, image))
        raise InputError(
            _SUBMITTED, f"has {sent} voxels, the image {own}; submit it on the image's own grid"
        ) from error
    readings = _readings(turned.native, classes, label_info)
    if any(not np.array_equal(readings[0], other) for other in readings[1:]):
        raise InputError(
            _SUBMITTED, "has values that can mean two segments each, by place or by idx; send it with all its segments"
        )
    drawn = LabelMap(readings[0], image, tuple(classes))
    wrong = [value for value in drawn.values if value > len(classes)]
    if wrong:
        what = "a segment that is no class" if wrong == [NO_CLASS] else f"the value {wrong[0]}, which is no class"
        known = ", ".join(f"{value} {name}" for value, name in enumerate(classes, start=1))
        raise InputError(_SUBMITTED, f"holds {what}; classes are {known}")
    return drawn


def _third_axis_turned(own: Geometry, sent: Geometry) -> bool:
    return float(np.dot(sent.affine[:3, 2], own.affine[:3, 2])) < 0


def _readings(
    submitted: NDArray[np.uint8], classes: Sequence[str], label_info: Sequence[Mapping[str, Any]]
) -> list[NDArray[np.uint8]]:
    """The submitted mask in the task's values, as the client's names give them; as it is where it names nothing."""
    value_of = {name: value for value, name in enumerate(classes, start=1)}
    present = [int(value) for value in np.unique(submitted) if value]
    by_position = {position: info.get("name") for position, info in enumerate(label_info, start=1)}
    by_index = {idx: info.get("name") for info in label_info if isinstance(idx := info.get("idx"), int | float)}
    readings = []
    for names in (by_position, by_index):
        if present and all(value in names for value in present):
            table = np.zeros(256, np.uint8)
            for value in present:
                table[value] = value_of.get(str(names[value]), NO_CLASS)
            readings.append(table[submitted])
    return readings or [submitted]


def _classify(frozen: NDArray[np.uint8], sent: NDArray[np.uint8]) -> Submission:
    """Hold two masks (slices, rows, columns) against each other."""
    plane = (1, 2)
    differing = np.count_nonzero(frozen != sent, axis=plane)
    if not differing.any():
        return Unchanged()
    if not sent.any():
        return Emptied()
    emptied = ~sent.any(axis=plane) & frozen.any(axis=plane)
    edited = (differing > 0) & ~emptied
    if edited.any():
        return Edited({int(number): int(differing[number]) for number in np.flatnonzero(edited)})
    return PartlyEmptied(tuple(int(number) for number in np.flatnonzero(emptied)))
