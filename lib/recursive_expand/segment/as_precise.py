"""The thresholds at which one f is as precise as another, told by synthetic slices that neither has seen.

Training on makes f surer: at an equal probability it marks more, and more of that is wrong.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from recursive_expand.segment.log_odds import log_odds, threshold_at
from recursive_expand.segment.predict import Predictor
from recursive_expand.segment.unseen import example_volume, unseen_examples
from recursive_expand.settings import Settings

SHIFTS = (-1.5, 3.0)
"""By how much thresholds may move, in log-odds."""
HALVINGS = 4
LOOKS = HALVINGS + 1
"""How often each slice is looked at: once by the reference."""
TRUST = 0.5
"""Thresholds go half of the way, as in expand/point_choice.py: f has learned from the likes of these slices."""


def as_precise(
    settings: Settings,
    network: nn.Module,
    reference: nn.Module,
    device: torch.device,
    *,
    on_slice: Callable[[int], None] = lambda done: None,
) -> tuple[dict[str, float], float | None]:
    """Move thresholds towards those at which f is as precise as the reference at the configured ones.

    Precision is that of all pixels of what is proposed, together and whatever the class. All thresholds move alike, in
    log-odds, down as well as up, and no further than `SHIFTS`.

    Args:
        settings: under which both propose; `Method.foreground_threshold` is the reference's.
        network: f.
        reference: another f.
        device: where both run.
        on_slice: slices done, of `LOOKS` times `unseen_count`.

    Returns:
        (thresholds by class name, the precision that is aimed at); the configured ones and None where there are no
        unseen slices, no thresholds, or the reference marks nothing.
    """
    configured = settings.method.thresholds_by_class(settings.task.classes)
    examples = list(unseen_examples(settings)) if configured else []
    done = 0

    def precision(f: nn.Module, shift: float) -> float | None:
        nonlocal done
        predictor = Predictor(settings.changed(foreground_threshold=_moved(configured, shift)), f, device)
        volumes = ((one.key, example_volume(one)) for one in examples)
        marked = right = 0
        for one, (_, prediction) in zip(examples, predictor.propose_volumes(volumes), strict=True):
            mask = prediction.mask[0]
            marked += np.count_nonzero(mask)
            right += np.count_nonzero((mask > 0) & (one.target > 0))
            done += 1
            on_slice(done)
        return right / marked if marked else None

    aim = precision(reference, 0.0) if examples else None
    if aim is None:
        return configured, None
    low, high = SHIFTS
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        reached = precision(network, middle)
        if reached is None or reached >= aim:
            high = middle
        else:
            low = middle
    return _moved(configured, TRUST * (low + high) / 2), aim


def _moved(thresholds: dict[str, float], shift: float) -> dict[str, float]:
    """Each threshold, so far away in log-odds, and a probability still."""
    if not shift:
        return thresholds
    return {name: threshold_at(log_odds(one) + shift) for name, one in thresholds.items()}
