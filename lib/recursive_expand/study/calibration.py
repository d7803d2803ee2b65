"""How well a score tells which proposals will be accepted: calibration, and risk at coverage."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

BINS = 10
"""Bins of the calibration at most: as many verdicts in each."""
PER_BIN = 20
"""Verdicts that a bin holds at least: fewer say little of a share."""


def calibration_bins(scores: NDArray[np.float64], accepted: NDArray[np.bool_], *, bins: int = BINS) -> pd.DataFrame:
    """Bins with as many verdicts each.

    Returns:
        Columns `score` (mean), `accepted` (share) and `n`, by rising score.
    """
    order = np.argsort(scores, kind="stable")
    parts = np.array_split(order, max(1, min(bins, len(order) // PER_BIN)))
    rows = [(scores[part].mean(), accepted[part].mean(), len(part)) for part in parts]
    return pd.DataFrame(rows, columns=["score", "accepted", "n"])


def calibration_error(bins: pd.DataFrame) -> float:
    """Expected calibration error: the mean distance between score and share accepted, weighted by verdicts."""
    return float(np.average((bins.score - bins.accepted).abs(), weights=bins.n))


def risk_at_coverage(scores: NDArray[np.float64], accepted: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Share rejected among the k highest scores, for every k from 1; ties count as their mean."""
    frame = pd.DataFrame({"score": scores, "risk": 1.0 - np.asarray(accepted, np.float64)})
    frame["risk"] = frame.groupby("score").risk.transform("mean")
    risks = frame.sort_values("score", ascending=False, kind="stable").risk.to_numpy()
    return np.cumsum(risks) / np.arange(1, len(risks) + 1)
