"""The operating point: the foreground thresholds at which a round's model proposes, and the least it proposes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from recursive_expand.expand.point_choice import best_area, best_thresholds
from recursive_expand.expand.point_sweep import Point, SweptSlice, at_threshold, sweep
from recursive_expand.expand.progress import Progress
from recursive_expand.expand.recursion import Recursion, choose_device
from recursive_expand.expand.risk_control import fewest_patients, lowest_safe
from recursive_expand.ledger import RoundRecord
from recursive_expand.segment.as_precise import LOOKS, as_precise
from recursive_expand.segment.unseen import unseen_count
from recursive_expand.settings import Method, Settings

GRID = (0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9, 0.97)
"""Thresholds that are tried, besides the configured ones."""
AREAS = (10.0, 25.0, 50.0, 100.0, 200.0)
"""Smallest areas of a component, mm^2, that are tried besides the configured one."""

Sweep = Callable[[Sequence[Point]], Sequence[SweptSlice]]


def choose_operating_point(recursion: Recursion, round_: RoundRecord, progress: Progress) -> dict[str, Any]:
    """Choose where a round that has its model proposes (`Method.operating_point`).

    It follows from the ledger, the model and the settings alone: the same again after a kill.

    Args:
        recursion: under the round's settings.
        round_: the round.
        progress: shows the slices that are looked at.

    Returns:
        `thresholds` by class (a class without one is proposed where it is more probable than background). With
        `operating_point: steady`, the `precision` of the first model, or None where nothing was looked at; else the
        `patients` that were looked at by source, and, with `precision`, `min_area`, mm^2, or with `conformal`,
        `promised`: the share of acceptance that is, or None where too few patients tell.
    """
    method, classes = recursion.settings.method, recursion.settings.task.classes
    if method.operating_point == "steady":
        return _as_the_first_model(recursion, round_, progress)
    swept: list[SweptSlice] = []

    def by_threshold(points: Sequence[Point]) -> list[SweptSlice]:
        swept[:] = sweep(recursion, round_, points, progress, "thresholds")
        return swept

    def by_area(points: Sequence[Point]) -> list[SweptSlice]:
        # What was judged has no say: what had been left out for its size would count as wrong, and hold the area up.
        return sweep(recursion, round_, points, progress, "the smallest area", with_judged=False)

    told: dict[str, Any]
    if method.operating_point == "precision":
        point = most_acceptable(recursion.settings, by_area, by_threshold)
        thresholds, told = point["foreground_threshold"], {"min_area": point["min_area"]}
    else:
        grid, configured = threshold_grid(recursion.settings), method.thresholds(classes)
        threshold, promised = safe_threshold(
            by_threshold([at_threshold(one, classes) for one in grid]), grid, configured, method
        )
        thresholds, told = dict.fromkeys(classes, threshold), {"promised": promised}
    sources = ("locked", "judged", "synthetic")
    patients = {name: len({one.patient for one in swept if one.source == name}) for name in sources}
    return {"thresholds": thresholds, "patients": patients, **told}


def threshold_grid(settings: Settings) -> list[float | None]:
    """The thresholds that are tried: `GRID`, and what is configured."""
    configured = settings.method.thresholds(settings.task.classes)
    numbers = sorted({*GRID, *(one for one in configured if one is not None)})
    return [*numbers, None] if None in configured else [*numbers]


def most_acceptable(settings: Settings, by_area: Sweep, by_threshold: Sweep) -> Point:
    """The point at which experts accept most: the smallest component first, which costs less blood than a threshold.

    Args:
        settings: under which f proposes.
        by_area, by_threshold: what is proposed at some points, of the slices that have a say in either.

    Returns:
        `foreground_threshold` by class and `min_area`, mm^2: the configured one where that is 0, since there is no way
        from there in a logarithm, and whoever chose it wants every speck.
    """
    method, classes, area = settings.method, settings.task.classes, settings.method.refinement.min_area
    if area:
        areas = sorted({area, *AREAS})
        area = best_area(by_area([{"min_area": one} for one in areas]), areas, area, tau=method.tau)
    grid = threshold_grid(settings)
    swept = by_threshold([at_threshold(one, classes) | {"min_area": area} for one in grid])
    best = best_thresholds(swept, grid, method.thresholds(classes), tau=method.tau)
    named = zip(classes, best, strict=True)
    return {"foreground_threshold": {name: one for name, one in named if one is not None}, "min_area": area}


def _as_the_first_model(recursion: Recursion, round_: RoundRecord, progress: Progress) -> dict[str, Any]:
    """The thresholds at which the round's model is about as precise as the first one is at the configured ones."""
    models = [one.model for one in recursion.ledger.rounds.all() if one.round <= round_.round and one.model is not None]
    settings, slices = recursion.settings, unseen_count(recursion.settings)
    thresholds = settings.method.thresholds_by_class(settings.task.classes)
    if models[0] == models[-1] or not thresholds or not slices:
        return {"thresholds": thresholds, "precision": None}
    progress.begin("choosing thresholds", LOOKS * slices)
    thresholds, precision = as_precise(
        settings,
        recursion.network(models[-1]),
        recursion.network(models[0]),
        choose_device(),
        on_slice=lambda done: progress.step(done, "slices"),
    )
    return {"thresholds": thresholds, "precision": precision}


def safe_threshold(
    swept: Sequence[SweptSlice], thresholds: Sequence[float | None], configured: Sequence[float | None], method: Method
) -> tuple[float, float | None]:
    """The lowest threshold of all classes at which patients are safe (`lowest_safe`).

    A patient's risk is the share of the proposed slices of which more than `tau` is wrong: several slices of a patient
    are no more evidence than one. It is calibrated on locked patients, who are like those that wait as far as the pixel
    set is like the image set; what was judged does not count, as what was accepted does not wait any more. Where they
    are too few for any promise, synthetic heads stand in. They promise nothing of scans, and do not make f bolder than
    it is configured.

    Args:
        swept: slices at `thresholds`.
        thresholds: T; None is passed over.
        configured: the thresholds of all classes.
        method: `tau`, `conformal_alpha`, `conformal_delta`.

    Returns:
        (the threshold, the share of acceptance that is promised); the strictest and None where none is safe.
    """
    alpha, delta = method.conformal_alpha, method.conformal_delta
    strict_first = sorted(
        ((threshold, place) for place, threshold in enumerate(thresholds) if threshold is not None), reverse=True
    )
    locked = [one for one in swept if one.source == "locked"]
    enough = len({one.patient for one in locked}) >= fewest_patients(alpha, delta)
    asked = locked if enough else [one for one in swept if one.source == "synthetic"]
    safe = lowest_safe([_risks(asked, place, method.tau) for _, place in strict_first], alpha=alpha, delta=delta)
    threshold = strict_first[0 if safe is None else safe][0]
    if enough:
        return threshold, None if safe is None else 1 - alpha
    return max([threshold, *(one for one in configured if one is not None)]), None


def _risks(swept: Sequence[SweptSlice], place: int, tau: float) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Of each patient with a proposal at this threshold, the share of slices that an expert would reject."""
    rejected: dict[str, list[bool]] = {}
    for one in swept:
        marked, wrong = one.marked[place].sum(), one.wrong[place].sum()
        if marked:
            rejected.setdefault(one.patient, []).append(bool(wrong > tau * marked))
    return np.array([np.mean(slices) for slices in rejected.values()], np.float64)
