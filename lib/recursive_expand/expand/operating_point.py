"""The operating point: the foreground thresholds at which a round's model proposes, and the least it proposes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from recursive_expand.expand.point_choice import best_area, best_thresholds
from recursive_expand.expand.point_sweep import SweptSlice, at_threshold, sweep
from recursive_expand.expand.progress import Progress
from recursive_expand.expand.recursion import Recursion, choose_device
from recursive_expand.expand.risk_control import fewest_patients, lowest_safe
from recursive_expand.ledger import RoundRecord
from recursive_expand.segment.as_precise import LOOKS, as_precise
from recursive_expand.segment.unseen import unseen_count
from recursive_expand.settings import Method

GRID = (0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9, 0.97)
"""Thresholds that are tried, besides the configured ones."""
AREAS = (10.0, 25.0, 50.0, 100.0, 200.0)
"""Smallest areas of a component, mm^2, that are tried besides the configured one."""


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
    configured = method.thresholds(classes)
    thresholds: list[float | None] = [*sorted({*GRID, *(one for one in configured if one is not None)})]
    if None in configured:
        thresholds.append(None)
    area: dict[str, Any] = {}
    if method.operating_point == "precision":  # specks first: that costs less blood than a threshold
        area = {"min_area": _smallest_area(recursion, round_, progress)}
    points = [at_threshold(one, classes) | area for one in thresholds]
    swept = sweep(recursion, round_, points, progress, "thresholds")
    chosen: Sequence[float | None]
    told = area
    if method.operating_point == "precision":
        chosen = best_thresholds(swept, thresholds, configured, tau=method.tau)
    else:
        threshold, promised = safe_threshold(swept, thresholds, configured, method)
        chosen, told = (threshold,) * len(classes), {"promised": promised}
    sources = ("locked", "judged", "synthetic")
    return {
        "thresholds": by_class(classes, chosen),
        "patients": {name: len({one.patient for one in swept if one.source == name}) for name in sources},
        **told,
    }


def by_class(classes: Sequence[str], thresholds: Sequence[float | None]) -> dict[str, float]:
    """Thresholds by the name of their class, of those that have one."""
    return {name: one for name, one in zip(classes, thresholds, strict=True) if one is not None}


def _smallest_area(recursion: Recursion, round_: RoundRecord, progress: Progress) -> float:
    """The smallest component that the round proposes, mm^2."""
    method = recursion.settings.method
    configured = method.refinement.min_area
    if not configured:  # there is no way from 0 in a logarithm, and whoever chose it wants every speck
        return configured
    areas = sorted({configured, *AREAS})
    swept = sweep(recursion, round_, [{"min_area": area} for area in areas], progress, "the smallest area")
    return best_area(swept, areas, configured, tau=method.tau)


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
