"""Replay: synthetic slices among the examples of a round, so that f does not forget what they taught it."""

from __future__ import annotations

from collections.abc import Iterator

from recursive_expand.segment.epochs import replay_count
from recursive_expand.segment.examples import Example
from recursive_expand.segment.synthetic_examples import synthetic_examples
from recursive_expand.settings import Settings

MOST_HEADS = 2000
"""What is painted for a round at most: a minute and a half of one core. Longer trainings see them again."""
_FIRST_HEAD = 1_000_000_000
"""Heads of the replay are none that f was pretrained on."""


def replay_heads(settings: Settings, others: int, epochs: int) -> int:
    """How many heads a round with so many other slices needs: new ones in every epoch, of those that are painted.

    The same few in every epoch teach f less than they make it forget: it learns them by heart (docs/experiment.md).
    """
    count = replay_count(settings, others)
    return max(count, min(count * epochs, MOST_HEADS))


def replay_examples(settings: Settings, number: int, round_index: int) -> Iterator[Example]:
    """Synthetic slices with their exact masks; each round has its own.

    Args:
        settings: seed, classes, working spacing, threads.
        number: how many.
        round_index: the round.
    """
    first = _FIRST_HEAD + round_index * 10_000_000
    processes = settings.machine.cores
    return synthetic_examples(settings, number, first=first, name=f"synthetic:{round_index}", processes=processes)
