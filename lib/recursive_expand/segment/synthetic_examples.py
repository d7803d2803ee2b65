"""Synthetic slices as examples: each head seen once, on the grid at which f works, with its exact mask."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from recursive_expand.phantom.varied_stream import VariedSlices
from recursive_expand.segment.examples import Example
from recursive_expand.segment.pretrain import class_table, synthetic_spacing
from recursive_expand.settings import Settings


def synthetic_examples(
    settings: Settings, number: int, *, first: int, name: str, processes: int = 0
) -> Iterator[Example]:
    """Make them.

    Args:
        settings: seed, classes, working spacing.
        number: how many.
        first: number of the first head; whoever wants heads of its own keeps to a range.
        name: the examples are called `name:0` and so on.
        processes: how many make them; 0: this one.

    Raises:
        InputError: the task has classes that no synthetic head shows.
    """
    table, pixel = class_table(settings).numpy(), synthetic_spacing(settings)
    made = VariedSlices(settings.method.seed, number, 1, pixel, first=first).stream(processes)
    for n, (hu, mask) in enumerate(chain.from_iterable(made)):
        yield Example(f"{name}:{n}", hu, table[mask], with_dice=True, spacing=(pixel, pixel), synthetic=True)
