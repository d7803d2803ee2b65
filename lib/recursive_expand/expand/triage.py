"""Triage: how probably an expert accepts a proposal, predicted from the verdicts so far."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from recursive_expand.cases import LabelMap
from recursive_expand.ledger import Candidate, Features, JudgedProposal


def triage_features(label: LabelMap, *, flip_dice: NDArray[np.float32]) -> Features | None:
    """What acceptance is predicted from, besides confidence and leading class.

    Args:
        label: the mask, as it is proposed.
        flip_dice: (slices,) of `Prediction`; nan without flips.

    Returns:
        Area and number of components of the foreground in all slices, and the mean `flip_dice` over slices with a
        mask, where it is known. None for an empty mask: it is not served.
    """
    filled = list(label.filled)
    if not filled:
        return None
    mask = label.slices
    area = np.count_nonzero(mask) * math.prod(label.geometry.spacing[1:])
    components = sum(ndimage.label(mask[number], np.ones((3, 3)))[1] for number in filled)
    known = bool(np.isfinite(flip_dice[filled]).all())
    return Features(math.log(area), components, float(flip_dice[filled].mean()) if known else None)


def acceptance_scores(candidates: Sequence[Candidate], judged: Sequence[JudgedProposal]) -> dict[int, float]:
    """The probability that a slice of each proposal is accepted.

    A logistic regression over all slices judged so far. Until experts have both accepted and rejected, and for a
    proposal without features (a ledger of 0.1.0 may hold some), it is the confidence.

    Args:
        candidates: what waits for a verdict.
        judged: what has one. Those without features are left out.

    Returns:
        By proposal id, 0..1. The order of the arguments' members does not matter.
    """
    scores = {candidate.proposal_id: candidate.confidence for candidate in candidates}
    known = sorted((one for one in judged if one.features), key=lambda one: one.proposal_id)
    open_ = sorted((one for one in candidates if one.features), key=lambda one: one.proposal_id)
    if not open_ or not any(one.accepted for one in known) or not any(one.rejected for one in known):
        return scores
    # Only here: they take a second to import, and most of the server's work needs none of them.
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    with_flips = all(one.features and one.features.flip_dice is not None for one in (*known, *open_))
    classes = sorted({one.leading_class for one in known})
    rows = _matrix(known, classes, with_flips=with_flips)
    # A volume counts once for each of its slices: as often accepted, as often rejected.
    accepted = np.repeat([1, 0], len(known))
    weights = np.array([one.accepted for one in known] + [one.rejected for one in known], np.float64)
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    model.fit(
        np.concatenate([rows, rows]),
        accepted,
        standardscaler__sample_weight=weights,
        logisticregression__sample_weight=weights,
    )
    # Beyond what was judged a line that was fitted to few verdicts would be all too sure.
    waiting = np.clip(_matrix(open_, classes, with_flips=with_flips), rows.min(axis=0), rows.max(axis=0))
    predicted = model.predict_proba(waiting)[:, 1]
    return scores | {one.proposal_id: float(score) for one, score in zip(open_, predicted, strict=True)}


def _matrix(proposals: Sequence[Candidate], classes: Sequence[str], *, with_flips: bool) -> NDArray[np.float64]:
    """A row a proposal: its features, and its leading class one-hot (all 0 for a class without verdicts)."""
    rows = []
    for one in proposals:
        assert one.features is not None
        columns = [one.confidence, one.features.log_area, float(one.features.components)]
        if with_flips:
            columns.append(one.features.flip_dice or 0.0)
        rows.append([*columns, *(float(one.leading_class == name) for name in classes)])
    return np.array(rows, np.float64)
