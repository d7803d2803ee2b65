"""Batches: examples cropped to the region, brought to the working grid, augmented, padded and stacked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from recursive_expand.cases import AIR_HU
from recursive_expand.segment.augment import augment, example_rng
from recursive_expand.segment.box import Box
from recursive_expand.segment.examples import IGNORE, LABELLED, REJECTED, Example
from recursive_expand.segment.network import size_multiple
from recursive_expand.segment.regions.registry import region_named
from recursive_expand.segment.resample import target_to_working, to_working, working_shape
from recursive_expand.settings import Settings

KEPT_BYTES = 512 * 2**20
"""Slices on the working grid are kept from epoch to epoch up to this: some 6,000 heads' slices at 1.2 mm."""


@dataclass(frozen=True)
class Batch:
    """What one step of training takes.

    Attributes:
        hu: (B, H, W) int16, Hounsfield units, padded with air; with `Method.context` (B, 2 * context + 1, H, W).
        target: (B, H, W) uint8, padded with IGNORE: padding is no part of the mean.
        with_dice: (B,) bool.
        accepted: (B,) bool.
        labels: (B, K) bool, False for examples without.
    """

    hu: Tensor
    target: Tensor
    with_dice: Tensor
    accepted: Tensor
    labels: Tensor


def epoch_order(number: int, batch_size: int, *, seed: int, round_index: int, epoch: int) -> list[list[int]]:
    """Shuffle examples into batches of nearly equal size.

    Equal sizes because batch normalisation learns little from a last batch of one slice.

    Args:
        number: number of examples, at least 1.
        batch_size: the most in a batch.
        seed, round_index, epoch: decide the order.

    Returns:
        Indices by batch; every example once.
    """
    order = np.random.default_rng([seed, round_index, epoch]).permutation(number)
    return [part.tolist() for part in np.array_split(order, -(-number // batch_size))]


def training_box(example: Example, settings: Settings) -> Box:
    """The part of a slice that is trained on: the region and all of the mask, or the whole slice."""
    whole = Box.whole(example.hu.shape)
    if not settings.method.training.crop_to_region:
        return whole
    box = region_named(settings.task.region).box(example.hu)
    if box is None:
        return whole
    mask = (example.target > 0) & (example.target != IGNORE)
    if mask.any():
        box = box.union(Box.around(mask))
    multiple = size_multiple(settings)
    aligned = box.aligned(multiple)
    return Box(aligned.r0, min(aligned.r1, whole.r1), aligned.c0, min(aligned.c1, whole.c1))


class WorkingGrid:
    """Brings examples to f's working grid, and keeps those that it averaged: they are the same in every epoch.

    Args:
        settings: context and working spacing.
        most_bytes: what is kept of all examples, at most.
    """

    def __init__(self, settings: Settings, *, most_bytes: int = KEPT_BYTES) -> None:
        self._method, self._left = settings.method, most_bytes
        self._kept: dict[int, tuple[Tensor, Tensor]] = {}

    def read(self, example: Example, box: Box) -> tuple[Tensor, Tensor]:
        """A part of an example before augmentation.

        Args:
            example: lives as long as this grid does.
            box: the same one in every call.

        Returns:
            HU (h, w), with context (S, h, w), int16, and target (h, w) uint8; not to be written to.
        """
        kept = self._kept.get(id(example))
        if kept is not None:
            return kept
        planes = [box.read(image, AIR_HU) for image in example.seen(self._method.context)]
        hu = torch.from_numpy(np.array(planes if len(planes) > 1 else planes[0]))
        target = torch.from_numpy(np.array(box.read(example.target, IGNORE)))
        shape = working_shape(box.shape, example.spacing, self._method.working_spacing)
        if shape == box.shape:
            return hu, target
        hu = to_working(hu[None], shape)[0].round().to(torch.int16)
        target = target_to_working(target[None], shape)[0]
        if hu.nbytes + target.nbytes <= self._left:
            self._left -= hu.nbytes + target.nbytes
            self._kept[id(example)] = hu, target
        return hu, target


def make_batch(
    examples: Sequence[Example],
    boxes: Sequence[Box],
    settings: Settings,
    *,
    round_index: int,
    epoch: int,
    grid: WorkingGrid | None = None,
) -> Batch:
    """Assemble a batch.

    Args:
        examples: at least one.
        boxes: the part of each that is trained on.
        settings: context, working spacing, augmentation, seed and the network's size multiple.
        round_index, epoch: seed the augmentation, with the settings' seed.
        grid: what keeps the examples between epochs; None: nothing is kept.

    Returns:
        The batch, on the CPU; H and W are the smallest multiples that f can take.
    """
    slices = []
    grid = grid or WorkingGrid(settings)
    for example, box in zip(examples, boxes, strict=True):
        hu, target = grid.read(example, box)
        if settings.method.training.augment:
            partial = bool(((target == REJECTED) | (target == LABELLED)).any())
            hu, target = augment(hu, target, example_rng(settings.method.seed, round_index, epoch, example.key))
            if partial:  # what came in from outside is background, which such a slice does not teach
                target = target.masked_fill(target < LABELLED, IGNORE)
        slices.append((hu, target))
    multiple = size_multiple(settings)
    height, width = (
        max(2, -(-max(int(target.shape[axis]) for _, target in slices) // multiple)) * multiple for axis in (0, 1)
    )
    unknown = (False,) * len(settings.task.classes)
    return Batch(
        hu=torch.stack([_padded(hu, (height, width), AIR_HU) for hu, _ in slices]),
        target=torch.stack([_padded(target, (height, width), IGNORE) for _, target in slices]),
        with_dice=torch.tensor([example.with_dice for example in examples]),
        accepted=torch.tensor([example.accepted for example in examples]),
        labels=torch.tensor([example.labels or unknown for example in examples]),
    )


def _padded(values: Tensor, shape: tuple[int, int], fill: int) -> Tensor:
    return functional.pad(values, (0, shape[1] - values.shape[-1], 0, shape[0] - values.shape[-2]), value=fill)
