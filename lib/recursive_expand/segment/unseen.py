"""Synthetic slices that f never learns from: what it makes of them tells how far its proposals can be trusted."""

from __future__ import annotations

from collections.abc import Iterator

from recursive_expand.cases import Volume
from recursive_expand.phantom import CLASSES
from recursive_expand.segment.examples import Example
from recursive_expand.segment.slice_volume import slice_volume
from recursive_expand.segment.synthetic_examples import synthetic_examples
from recursive_expand.settings import Settings

UNSEEN = 128
"""How many: about 8 seconds of one core."""
_FIRST_HEAD = 500_000_000
"""Heads of the pretraining come before, those of the replay behind."""


def unseen_count(settings: Settings) -> int:
    """How many there are: none without a start from synthetic heads, whose likes f would not know, nor where the task
    has classes that they do not show."""
    known = settings.method.pretrain != "none" and set(settings.task.classes) <= set(CLASSES)
    return UNSEEN if known else 0


def unseen_examples(settings: Settings) -> Iterator[Example]:
    """The same slices in every round, with their exact masks; painted once in a process.

    Args:
        settings: seed, classes, working spacing.
    """
    number = unseen_count(settings)
    if number:
        processes = min(settings.machine.cores, 4)
        yield from synthetic_examples(
            settings, number, first=_FIRST_HEAD, name="synthetic", processes=processes, keep=True
        )


def example_volume(example: Example) -> Volume:
    """An example that knows its spacing, as a scan of one slice."""
    assert example.spacing is not None
    return slice_volume(example.hu, example.spacing)
