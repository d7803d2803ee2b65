"""What an epoch goes through: every example once, of the synthetic ones those whose turn it is."""

from __future__ import annotations

from collections.abc import Sequence

from recursive_expand.segment.examples import Example
from recursive_expand.settings import Settings


def replay_count(settings: Settings, others: int) -> int:
    """How many synthetic slices an epoch has beside so many others: `Training.replay_share` of all."""
    share = settings.method.training.replay_share
    return 0 if settings.method.pretrain == "none" else round(others * share / (1 - share))


def seen_in_epoch(settings: Settings, examples: Sequence[Example], epoch: int) -> list[int]:
    """Which examples an epoch sees.

    Args:
        settings: `Training.replay_share`.
        examples: of a training, the synthetic ones of all epochs among them.
        epoch: from 0.

    Returns:
        Their indices, ascending: all that are not synthetic, and the next `replay_count` of those that are, from the
        first again where they are all through.
    """
    others = [i for i, example in enumerate(examples) if not example.synthetic]
    synthetic = [i for i, example in enumerate(examples) if example.synthetic]
    count = min(replay_count(settings, len(others)), len(synthetic))
    return sorted(others + [synthetic[(epoch * count + n) % len(synthetic)] for n in range(count)])
