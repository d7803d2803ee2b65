"""Training examples: one slice with its target."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

# The target values are part of what an example is.
from recursive_expand.segment.losses import IGNORE as IGNORE
from recursive_expand.segment.losses import REJECTED as REJECTED
from recursive_expand.segment.slice_label_loss import LABELLED as LABELLED


@dataclass(frozen=True)
class Example:
    """One slice to train on.

    An example whose image is a view of a memory-mapped file is pickled as the place in that file, so that
    processes that train together share the pages instead of copying every scan.

    Attributes:
        key: "case:slice"; seeds the slice's augmentation.
        hu: (R, C) int16, Hounsfield units; may be a view of a memory map.
        target: (R, C) uint8 class values 0..K; IGNORE for pixels that no loss counts. Of a rejected proposal
            REJECTED in its mask, IGNORE elsewhere; of a slice with `labels` LABELLED where they hold, IGNORE elsewhere.
        with_dice: whether the Dice loss joins the cross-entropy: on expert masks, not on accepted proposals.
        spacing: mm between rows and between columns; needed only where `Method.working_spacing` is set.
        accepted: whether the target is an accepted proposal, which `Training.accepted_loss` is for.
        neighbours: what f sees besides: the `Method.context` slices before it and those after it, by position, each of
            the shape of `hu`; empty where it has none: then it is its own neighbour.
        labels: whether the slice shows each of the K classes, where that is all that is known of it; empty otherwise.
        synthetic: whether it is of a synthetic head: of these every epoch sees others.
    """

    key: str
    hu: NDArray[np.int16]
    target: NDArray[np.uint8]
    with_dice: bool
    spacing: tuple[float, float] | None = None
    accepted: bool = False
    neighbours: tuple[NDArray[np.int16], ...] = ()
    labels: tuple[bool, ...] = ()
    synthetic: bool = False

    def __post_init__(self) -> None:
        if self.hu.ndim != 2 or self.hu.shape != self.target.shape:
            raise ValueError(
                f"example {self.key}: image {self.hu.shape} and target {self.target.shape} must be one slice"
            )

    def seen(self, context: int) -> tuple[NDArray[np.int16], ...]:
        """The 2 * context + 1 slices that f sees, this one in the middle."""
        beside = self.neighbours or (self.hu,) * (2 * context)
        return (*beside[:context], self.hu, *beside[context:])

    def __getstate__(self) -> dict[str, Any]:
        neighbours = tuple(_place_in_file(image) or image for image in self.neighbours)
        return {**self.__dict__, "hu": _place_in_file(self.hu) or self.hu, "neighbours": neighbours}

    def __setstate__(self, state: dict[str, Any]) -> None:
        hu, *neighbours = (
            image.open() if isinstance(image, _Place) else image for image in (state["hu"], *state["neighbours"])
        )
        self.__dict__.update({**state, "hu": hu, "neighbours": tuple(neighbours)})


def examples_sha256(examples: Sequence[Example]) -> str:
    """Identity of a training set: keys, targets and losses; the images are told by their keys and shapes."""
    digest = hashlib.sha256()
    for example in examples:
        losses = f"{example.with_dice} {example.accepted}"
        if example.labels:
            losses += f" {example.labels}"
        if example.synthetic:
            losses += " synthetic"
        digest.update(f"{example.key} {example.hu.shape} {losses} {example.spacing}\n".encode())
        digest.update(np.ascontiguousarray(example.target).data)
    return digest.hexdigest()


@dataclass(frozen=True)
class _Place:
    """Where in a file a strided array lies, in bytes."""

    path: Path
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: str

    def open(self) -> NDArray:
        mapped = np.memmap(self.path, np.uint8, "r")
        return np.ndarray(self.shape, self.dtype, mapped, self.offset, self.strides)


def _place_in_file(array: NDArray) -> _Place | None:
    root: Any = array
    while isinstance(root.base, np.ndarray):
        root = root.base
    if not isinstance(root, np.memmap) or root.filename is None:
        return None
    within = array.__array_interface__["data"][0] - root.__array_interface__["data"][0]
    return _Place(Path(root.filename), root.offset + within, array.shape, array.strides, array.dtype.str)
