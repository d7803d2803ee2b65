"""Examples made of slices without blood: synthetic bleeds painted in, or real ones pasted."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from recursive_expand.errors import InputError
from recursive_expand.phantom import CLASSES
from recursive_expand.segment.examples import Example
from recursive_expand.segment.fitted_head import FittedHead
from recursive_expand.segment.painted_bleeds import paint_bleeds_into
from recursive_expand.segment.pasted_bleeds import Donor, paste_bleed
from recursive_expand.segment.pretrain import class_table
from recursive_expand.segment.resample import target_to_working, to_working, working_shape
from recursive_expand.settings import Settings

ATTEMPTS = 4
"""Slices tried for each example wanted: those at the base of the skull and at the vertex have no outline."""


@dataclass(frozen=True)
class CleanSlice:
    """A slice without blood.

    Attributes:
        key: "case:slice".
        hu: (R, C) int16, Hounsfield units; may be a view of a memory map.
        spacing: mm between rows and between columns.
    """

    key: str
    hu: NDArray[np.int16]
    spacing: tuple[float, float]


def painted_examples(
    settings: Settings, clean: Sequence[CleanSlice], number: int, round_index: int
) -> Iterator[Example]:
    """Slices with synthetic bleeds painted in, on the working grid, with exact masks.

    Args:
        settings: seed, classes, working spacing.
        clean: what is painted into, each about equally often.
        number: how many are wanted; fewer are made where most slices have no outline (`FittedHead.of`).
        round_index: the round: each has its own.

    Raises:
        InputError: the task has classes that no synthetic bleed shows.
    """
    unknown = [name for name in settings.task.classes if name not in CLASSES]
    if unknown:
        raise InputError(
            f"painted_share {settings.method.training.painted_share:g}",
            f"synthetic bleeds show no {', '.join(unknown)}; set it to 0",
        )
    table = class_table(settings).numpy()

    def painted(one: CleanSlice, rng: np.random.Generator) -> Example | None:
        hu, spacing = _on_working_grid(one.hu, one.spacing, settings)
        made = paint_bleeds_into(hu, spacing, rng)
        return made and Example(one.key, made[0], table[made[1]], with_dice=True, spacing=spacing)

    yield from _made(painted, "painted", settings, clean, number, round_index)


def pasted_examples(
    settings: Settings, clean: Sequence[CleanSlice], donors: Sequence[Example], number: int, round_index: int
) -> Iterator[Example]:
    """Slices with bleeds of other examples pasted in, on the working grid; all types equally often.

    What is pasted is all that the donor's target marks of one type, so the new mask is exact wherever that is blood.

    Args:
        settings: seed, classes, working spacing.
        clean: what is pasted into, each about equally often.
        donors: expert masks and accepted proposals; those without a mask are passed over.
        number: how many are wanted; fewer are made where most slices have no outline.
        round_index: the round: each has its own.
    """
    by_value: dict[int, list[Example]] = {}
    for donor in donors:
        for value in range(1, len(settings.task.classes) + 1):
            if (donor.target == value).any() and donor.spacing is not None:
                by_value.setdefault(value, []).append(donor)

    def pasted(one: CleanSlice, rng: np.random.Generator) -> Example | None:
        value = int(rng.choice(list(by_value)))
        source = by_value[value][int(rng.integers(len(by_value[value])))]
        assert source.spacing is not None
        hu, spacing = _on_working_grid(one.hu, one.spacing, settings)
        from_hu, from_spacing = _on_working_grid(source.hu, source.spacing, settings)
        shape = from_hu.shape[0], from_hu.shape[1]
        target = target_to_working(torch.from_numpy(np.array(source.target))[None], shape)[0].numpy()
        theirs, ours = FittedHead.of(from_hu, from_spacing), FittedHead.of(hu, spacing)
        if theirs is None or ours is None or not (target == value).any():
            return None
        donor = Donor(from_hu, target == value, settings.task.classes[value - 1], theirs)
        made = paste_bleed(donor, hu, ours, rng)
        if made is None:
            return None
        mask = np.where(made[1], np.uint8(value), np.uint8(0))
        return Example(f"{source.key}:{one.key}", made[0], mask, with_dice=True, spacing=spacing)

    if by_value:
        yield from _made(pasted, "pasted", settings, clean, number, round_index)


def _made(
    make: Callable[[CleanSlice, np.random.Generator], Example | None],
    how: str,
    settings: Settings,
    clean: Sequence[CleanSlice],
    number: int,
    round_index: int,
) -> Iterator[Example]:
    """So many examples, the slices in turn, in an order of their own each time."""
    seed = [settings.method.seed, round_index, zlib.crc32(how.encode())]
    made = 0
    for attempt in range(ATTEMPTS * number if clean else 0):
        turn, place = divmod(attempt, len(clean))
        one = clean[int(np.random.default_rng([*seed, turn]).permutation(len(clean))[place])]
        example = make(one, np.random.default_rng([*seed, turn, place]))
        if example is None:
            continue
        yield replace(example, key=f"{how}:{round_index}:{attempt}:{example.key}")
        made += 1
        if made == number:
            return


def _on_working_grid(
    hu: NDArray[np.int16], spacing: tuple[float, float], settings: Settings
) -> tuple[NDArray[np.int16], tuple[float, float]]:
    """A slice as f sees it, and its spacing then."""
    shape = working_shape((hu.shape[0], hu.shape[1]), spacing, settings.method.working_spacing)
    working = to_working(torch.from_numpy(np.array(hu))[None], shape)[0]
    rows, columns = (mm * had / has for mm, had, has in zip(spacing, hu.shape, shape, strict=True))
    return working.round().to(torch.int16).numpy(), (rows, columns)
