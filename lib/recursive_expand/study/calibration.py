"""How well a score tells which proposals will be accepted: calibration, risk at coverage, the queue's first quarter."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

BINS = 10
"""Bins of the calibration at most: as many verdicts in each."""
PER_BIN = 20
"""Verdicts that a bin holds at least: fewer say little of a share."""

FIRST = 0.25
"""Share of a round's queue that `first_quarter_lift` looks at."""


def foretold(verdicts: pd.DataFrame) -> NDArray[np.float64]:
    """The probability of acceptance that came with each proposal: triage's score, or the confidence where it had none.

    Args:
        verdicts: rows of `verdicts.csv`.
    """
    return verdicts["score"].astype(float).fillna(verdicts["confidence"].astype(float)).to_numpy()


def first_quarter_lift(verdicts: pd.DataFrame) -> float:
    """How many times more slices the first quarter of every round's queue got accepted than a random one would have.

    Args:
        verdicts: rows of `verdicts.csv` of one run.

    Returns:
        Slices accepted in the first quarters of all rounds, over what each round's own acceptance rate makes expect
        there; nan where nothing was accepted.
    """
    accepted, expected = 0.0, 0.0
    for _, round_ in verdicts.groupby("round"):
        proposals = round_["order"].nunique()
        places = round_["order"].rank(method="dense")  # from 1
        first = round_[places <= max(1, round(FIRST * proposals))]
        accepted += float(first["accepted"].sum())
        expected += len(first) * float(round_["accepted"].astype(float).mean())
    return accepted / expected if expected else np.nan


def best_order(verdicts: pd.DataFrame) -> pd.DataFrame:
    """The verdicts of one run as if every round's queue had begun with the proposals of which most was accepted."""
    share = verdicts.groupby(["round", "order"])["accepted"].transform(lambda slices: slices.astype(float).mean())
    places = pd.MultiIndex.from_arrays([-share, verdicts["order"]])
    return verdicts.assign(order=pd.Series(pd.factorize(places, sort=True)[0], index=verdicts.index))


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
