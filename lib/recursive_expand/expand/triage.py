"""Triage: how probably an expert accepts a proposal, foretold from the verdicts so far."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from recursive_expand.ledger import Candidate, JudgedProposal

_CONFIDENCE, _LOG_AREA, _COMPONENTS, _AGREEMENT = "confidence", "log_area_mm2", "components", "agreement"
_ALWAYS = (_CONFIDENCE, _LOG_AREA, _COMPONENTS)


def triage_features(
    mask: NDArray[np.uint8],
    *,
    spacing: tuple[float, float],
    confidence: float,
    agreement: NDArray[np.float32],
) -> dict[str, float]:
    """What acceptance is foretold from, besides the leading class.

    Args:
        mask: (slices, rows, columns) uint8 class values, as it is proposed.
        spacing: mm between rows and between columns.
        confidence: the proposal's, 0..1.
        agreement: (slices,) of `Prediction`; nan without flips.

    Returns:
        `confidence`; `log_area_mm2`, the natural logarithm of the foreground's area in all slices; `components`,
        8-connected ones in all slices; `agreement`, the mean over slices with a mask, where it is known. Nothing for
        an empty mask: it is not served.
    """
    filled = np.flatnonzero(mask.any(axis=(1, 2)))
    if not filled.size:
        return {}
    area = np.count_nonzero(mask) * math.prod(spacing)
    components = sum(ndimage.label(mask[number], np.ones((3, 3)))[1] for number in filled)
    features = {_CONFIDENCE: confidence, _LOG_AREA: math.log(area), _COMPONENTS: float(components)}
    if np.isfinite(agreement[filled]).all():
        features[_AGREEMENT] = float(agreement[filled].mean())
    return features


def acceptance_scores(candidates: Sequence[Candidate], judged: Sequence[JudgedProposal]) -> dict[int, float]:
    """The probability that a slice of each proposal is accepted.

    A logistic regression over all slices judged so far. Until experts have both accepted and rejected, and for a
    proposal without features (it was made under `order: balanced`), it is the confidence.

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
    # Only here: they take a second to import, and the server needs none of them.
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    shown = [one.features or {} for one in known] + [one.features or {} for one in open_]
    columns = [*_ALWAYS, *([_AGREEMENT] if all(_AGREEMENT in features for features in shown) else [])]
    classes = sorted({one.leading_class for one in known})
    rows = _matrix(known, columns, classes)
    # A volume counts once for each of its slices: as accepted so often, as rejected so often.
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
    waiting = np.clip(_matrix(open_, columns, classes), rows.min(axis=0), rows.max(axis=0))
    foretold = model.predict_proba(waiting)[:, 1]
    return scores | {one.proposal_id: float(score) for one, score in zip(open_, foretold, strict=True)}


def _matrix(
    proposals: Sequence[Candidate | JudgedProposal], columns: Sequence[str], classes: Sequence[str]
) -> NDArray[np.float64]:
    """A row a proposal: its features, and its leading class one-hot (all 0 for a class without verdicts)."""
    return np.array(
        [
            [*((one.features or {})[column] for column in columns), *(one.leading_class == name for name in classes)]
            for one in proposals
        ],
        np.float64,
    )
