"""Replay: synthetic slices among the examples of a round, so that f does not forget what they taught it."""

from __future__ import annotations

from collections.abc import Iterator

from recursive_expand.segment.examples import Example
from recursive_expand.segment.synthetic_examples import synthetic_examples
from recursive_expand.settings import Settings

_FIRST_HEAD = 1_000_000_000
"""Heads of the replay are none that f was pretrained on."""


def replay_count(settings: Settings, others: int) -> int:
    """How many synthetic slices join so many others: `Training.replay_share` of all."""
    share = settings.method.training.replay_share
    return 0 if settings.method.pretrain == "none" else round(others * share / (1 - share))


def replay_examples(settings: Settings, number: int, round_index: int) -> Iterator[Example]:
    """Synthetic slices with their exact masks; each round has its own.

    Args:
        settings: seed, classes, working spacing.
        number: how many.
        round_index: the round.
    """
    first = _FIRST_HEAD + round_index * 10_000_000
    return synthetic_examples(settings, number, first=first, name=f"synthetic:{round_index}")
