"""Triage: how probably an expert accepts a proposal, from verdicts, and before them from slices of known truth."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from recursive_expand.cases import LabelMap
from recursive_expand.ledger import CalibrationSlice, Candidate, Features, JudgedProposal
from recursive_expand.segment.box import Box

PRIOR_VERDICTS = 10
"""Verdicts that weigh as much as the whole calibration set."""


def triage_features(
    label: LabelMap, *, flip_dice: NDArray[np.float32], snapshot_dice: NDArray[np.float32]
) -> Features | None:
    """What acceptance is predicted from, besides confidence and leading class.

    Args:
        label: the mask, as it is proposed.
        flip_dice: (slices,) of `Prediction`; nan without flips.
        snapshot_dice: (slices,) of `Prediction`; nan without snapshots.

    Returns:
        Area and number of components of the foreground in all slices, and the means of `flip_dice` and of
        `snapshot_dice` over slices with a mask, where they are known. None for an empty mask: it is not served.
    """
    filled = list(label.filled)
    if not filled:
        return None
    mask = label.slices
    area = np.count_nonzero(mask) * math.prod(label.geometry.spacing[1:])
    components = sum(_components(mask[number]) for number in filled)
    return Features(math.log(area), components, _mean(flip_dice[filled]), _mean(snapshot_dice[filled]))


def _components(mask: NDArray[np.uint8]) -> int:
    """Connected components (8 neighbours) of the foreground of a slice (R, C) that has some."""
    return int(ndimage.label(mask[Box.around(mask).area], np.ones((3, 3)))[1])


def acceptance_scores(
    candidates: Sequence[Candidate],
    judged: Sequence[JudgedProposal],
    calibration: Sequence[CalibrationSlice] = (),
    *,
    tau: float,
) -> dict[int, float]:
    """The probability that a slice of each proposal is accepted.

    A logistic regression over all slices judged so far, and before them over slices whose truth is known. Where neither
    is there, and for a proposal without features (a ledger of 0.1.0 may hold some), it is the confidence.

    Args:
        candidates: what waits for a verdict.
        judged: what has one. Those without features are left out.
        calibration: what the model proposes on slices whose truth is known. `PRIOR_VERDICTS` verdicts weigh as much as
            all of them.
        tau: share of wrong voxels up to which experts are taken to accept those.

    Returns:
        By proposal id, 0..1. The order of the arguments' members does not matter.
    """
    scores = {candidate.proposal_id: candidate.confidence for candidate in candidates}
    judged = sorted((one for one in judged if one.features), key=lambda one: one.proposal_id)
    calibration = sorted(calibration, key=lambda one: one.key)
    open_ = sorted((one for one in candidates if one.features), key=lambda one: one.proposal_id)
    if not open_ or not (judged or calibration):
        return scores
    # Only here: they take a second to import, and most of the server's work needs none of them.
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    known: list[Candidate | CalibrationSlice] = [*judged, *calibration]
    agreements = _known_agreements(open_, known)
    classes = sorted({one.leading_class for one in known})
    rows = _matrix(known, classes, agreements)
    # A volume counts once for each of its slices: as often accepted, as often rejected.
    verdicts = sum(one.accepted + one.rejected for one in judged)
    weight = PRIOR_VERDICTS / (PRIOR_VERDICTS + verdicts)
    accepted = [float(one.accepted) for one in judged] + [weight * (one.wrong <= tau) for one in calibration]
    rejected = [float(one.rejected) for one in judged] + [weight * (one.wrong > tau) for one in calibration]
    weights = np.array(accepted + rejected)
    more, less = _presumed(rows, weights[: len(rows)] + weights[len(rows) :])
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    weights = np.concatenate([weights, [0.5, 0.5]])
    model.fit(
        np.concatenate([rows, rows, [more, less]]),
        np.repeat([1, 0, 1, 0], [len(rows), len(rows), 1, 1]),
        standardscaler__sample_weight=weights,
        logisticregression__sample_weight=weights,
    )
    # Beyond what is known a line that was fitted to few slices would be all too sure.
    waiting = np.clip(_matrix(open_, classes, agreements), rows.min(axis=0), rows.max(axis=0))
    predicted = model.predict_proba(waiting)[:, 1]
    return scores | {one.proposal_id: float(score) for one, score in zip(open_, predicted, strict=True)}


def _presumed(
    rows: NDArray[np.float64], weights: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Slices like the mean of all, one more confident and one less: half of each is taken as accepted and as rejected.

    A few that all were accepted do not foretell then that all will be, and leave the order to the confidence.
    """
    mean = np.average(rows, axis=0, weights=weights)
    deviation = np.zeros_like(mean)
    deviation[0] = np.sqrt(np.average((rows[:, 0] - mean[0]) ** 2, weights=weights))
    return mean + deviation, mean - deviation


def _mean(dice: NDArray[np.float32]) -> float | None:
    return float(dice.mean()) if np.isfinite(dice).all() else None


def _known_agreements(open_: Sequence[Candidate], known: Sequence[Candidate | CalibrationSlice]) -> dict[str, float]:
    """Features of agreement that all that wait have, and by name the mean of those that have a verdict.

    That stands in where one has none: an earlier round trained nothing, and so had no snapshots.
    """
    means = {}
    for name in ("flip_dice", "snapshot_dice"):
        values = [value for one in known if (value := getattr(one.features, name)) is not None]
        if values and all(getattr(one.features, name) is not None for one in open_):
            means[name] = float(np.mean(values))
    return means


def _matrix(
    proposals: Sequence[Candidate | CalibrationSlice], classes: Sequence[str], agreements: Mapping[str, float]
) -> NDArray[np.float64]:
    """A row a proposal: its features as of one slice, and its leading class one-hot (all 0 for an unknown class)."""
    rows = []
    for one in proposals:
        assert one.features is not None
        slices = 1 if isinstance(one, CalibrationSlice) else max(1, one.slices)
        columns = [one.confidence, one.features.log_area - math.log(slices), one.features.components / slices]
        columns.append(float(one.judged_before))
        for name, mean in agreements.items():
            agreement = getattr(one.features, name)
            columns.append(mean if agreement is None else agreement)
        rows.append([*columns, *(float(one.leading_class == name) for name in classes)])
    return np.array(rows, np.float64)
