"""Synthetic slices as examples: each head seen once, on the grid at which f works, with its exact mask."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from itertools import chain

from recursive_expand.phantom.varied_stream import Slice, VariedSlices
from recursive_expand.segment.examples import Example
from recursive_expand.segment.pretrain import class_table, synthetic_spacing
from recursive_expand.settings import Settings


def synthetic_examples(
    settings: Settings, number: int, *, first: int, name: str, processes: int = 0, keep: bool = False
) -> Iterator[Example]:
    """Make them.

    Args:
        settings: seed, classes, working spacing.
        number: how many.
        first: number of the first head; whoever wants heads of its own keeps to a range.
        name: the examples are called `name:0` and so on.
        processes: how many make them; 0: this one.
        keep: in memory, for whoever asks for the same ones next.

    Raises:
        InputError: the task has classes that no synthetic head shows.
    """
    table, pixel = class_table(settings).numpy(), synthetic_spacing(settings)
    slices = VariedSlices(settings.method.seed, number, 1, pixel, first=first)
    made = _kept(slices, processes) if keep else chain.from_iterable(slices.stream(processes))
    for n, (hu, mask) in enumerate(made):
        yield Example(f"{name}:{n}", hu, table[mask], with_dice=True, spacing=(pixel, pixel), synthetic=True)


@lru_cache(maxsize=1)
def _kept(slices: VariedSlices, processes: int) -> tuple[Slice, ...]:
    return tuple(chain.from_iterable(slices.stream(processes)))
