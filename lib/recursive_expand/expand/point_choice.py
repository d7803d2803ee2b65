"""Which operating point brings the most acceptable slices, as far as the evidence goes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from recursive_expand.expand.point_sweep import SweptSlice
from recursive_expand.segment.log_odds import log_odds, threshold_at

PRIOR_PATIENTS = 10
"""Patients whose weight what is configured has; and all synthetic slices together."""
REJECTED_COSTS = 0.25
"""What a rejected proposal costs of what an accepted one brings: one with less than one chance in five is better not
made."""
SOFTNESS = 0.1
"""Width of the step at tau, in shares of wrong pixels: a slice that just passes here may just fail elsewhere."""


def best_thresholds(
    swept: Sequence[SweptSlice],
    thresholds: Sequence[float | None],
    configured: Sequence[float | None],
    *,
    tau: float,
) -> tuple[float | None, ...]:
    """Choose by the expert's rule: a slice is accepted if at most `tau` of its marked pixels are wrong.

    A slice brings its probability of acceptance, a soft step of its share of wrong pixels at tau; a rejected one costs
    `REJECTED_COSTS`; an empty one neither, so that marking nothing is no answer. First one threshold for all classes is
    looked for, then in turn one for each class. Three things keep few slices from swinging it:

    - A move has to gain more than its standard error over patients, as a patient's slices go together; else, and where
      nothing is gained, the threshold stays (the one-standard-error rule, Breiman et al., 1984).
    - The thresholds go only part of the way, in log-odds: n / (n + `PRIOR_PATIENTS`), with n the patients that speak
      for the move; for a class, those on whom it is marked.
    - Synthetic slices together count as `PRIOR_PATIENTS`: by themselves they take the thresholds half of the way. f has
      learned from their like, so that it may be right on them where it is wrong on scans.

    Args:
        swept: slices at `thresholds`.
        thresholds: T; None: where a class is more probable than background.
        configured: K, each one of `thresholds`.
        tau: largest share of wrong pixels in a mask that is accepted.

    Returns:
        K thresholds; the configured one, as it is, where nothing speaks for another.
    """
    if not swept:
        return tuple(configured)
    evidence = _Evidence(swept, tau)
    start = np.array([thresholds.index(threshold) for threshold in configured])
    where = [_log_odds(threshold) for threshold in thresholds]
    together = evidence.improved(start, [np.full_like(start, place) for place in _numbers(thresholds)], where)
    chosen = together.copy()
    for k in range(len(chosen)):
        moves = [_with(chosen, k, place) for place in sorted({*_numbers(thresholds), int(start[k])})]
        chosen = evidence.improved(chosen, moves, where)
    found: list[float | None] = []
    for k, before in enumerate(configured):
        if chosen[k] == start[k]:
            found.append(before)
            continue
        first, joint, own = (where[place] for place in (start[k], together[k], chosen[k]))
        moved = first + evidence.trust() * (joint - first) + evidence.trust(k, start) * (own - joint)
        found.append(threshold_at(moved))
    return tuple(found)


def best_area(swept: Sequence[SweptSlice], areas: Sequence[float], configured: float, *, tau: float) -> float:
    """Choose the smallest component that is proposed, for all classes alike and by the same rules.

    Small components are wrong more often than large ones: a speck beside acceptable blood costs little, but one that is
    alone on its slice is a proposal that an expert has to reject. The way is gone in the area's logarithm.

    Args:
        swept: slices at `areas`.
        areas: mm^2, above 0.
        configured: one of `areas`.
        tau: as `best_thresholds` takes it.

    Returns:
        mm^2, to a tenth; the configured one, as it is, where nothing speaks for another.
    """
    if not swept:
        return configured
    evidence = _Evidence(swept, tau)
    start = np.full(swept[0].marked.shape[1], areas.index(configured))
    where = [math.log(area) for area in areas]
    chosen = evidence.improved(start, [np.full_like(start, place) for place in range(len(areas))], where)
    if chosen[0] == start[0]:
        return configured
    way = where[chosen[0]] - where[start[0]]
    return round(math.exp(where[start[0]] + evidence.trust() * way), 1)


class _Evidence:
    """Slices with their weights."""

    def __init__(self, swept: Sequence[SweptSlice], tau: float) -> None:
        self._marked = np.stack([one.marked for one in swept]).astype(np.float64)
        self._wrong = np.stack([one.wrong for one in swept]).astype(np.float64)
        self._tau = tau
        synthetic = np.array([one.source == "synthetic" for one in swept])
        self._weights = np.where(synthetic, min(1.0, PRIOR_PATIENTS / max(1, synthetic.sum())), 1.0)
        names = [f"{one.source}:{one.patient}" for one in swept]
        _, self._patients = np.unique(names, return_inverse=True)

    def trust(self, k: int | None = None, at: NDArray[np.int64] | None = None) -> float:
        """n / (n + `PRIOR_PATIENTS`), of the patients on whom anything, or class `k` at these places, is marked."""
        speaks = np.full(len(self._weights), True) if k is None or at is None else self._marked[:, at[k], k] > 0
        number = np.zeros(self._patients.max() + 1)
        np.maximum.at(number, self._patients[speaks], self._weights[speaks])
        return float(number.sum() / (number.sum() + PRIOR_PATIENTS))

    def improved(
        self, current: NDArray[np.int64], moves: Sequence[NDArray[np.int64]], where: Sequence[float]
    ) -> NDArray[np.int64]:
        """The move that surely gains most, of equals the nearest, the points lying `where` on a line; the current
        places where none surely gains."""
        value, best, most = self._values(current), current, (1e-9, -math.inf)
        for move in moves:
            gains = np.bincount(self._patients, self._weights * (self._values(move) - value))
            way = sum(abs(where[a] - where[b]) for a, b in zip(move, current, strict=True))
            sure = (round(float(gains.sum() - np.sqrt((gains**2).sum())), 9), -way)
            if sure > most:
                best, most = move, sure
        return best

    def _values(self, places: NDArray[np.int64]) -> NDArray[np.float64]:
        """What each slice brings with the classes at these places among the points."""
        classes = np.arange(len(places))
        marked, wrong = (counts[:, places, classes].sum(1) for counts in (self._marked, self._wrong))
        share = wrong / np.maximum(marked, 1)
        accepted = 1 / (1 + np.exp((share - self._tau) / SOFTNESS))
        return np.where(marked > 0, accepted - REJECTED_COSTS * (1 - accepted), 0.0)


def _numbers(thresholds: Sequence[float | None]) -> list[int]:
    """Places of those that are numbers: a class is moved to no other rule."""
    return [place for place, threshold in enumerate(thresholds) if threshold is not None]


def _with(places: NDArray[np.int64], k: int, place: int) -> NDArray[np.int64]:
    moved = places.copy()
    moved[k] = place
    return moved


def _log_odds(threshold: float | None) -> float:
    """Without a threshold a class has to be as probable as background: much as at 0.5."""
    return 0.0 if threshold is None else log_odds(threshold)
