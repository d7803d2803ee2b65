"""How well a score predicts acceptance: calibration, risk at coverage, lift of the queue's first quarter."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

BINS = 10
"""Largest number of calibration bins; each holds the same number of verdicts."""
PER_BIN = 20
"""Smallest number of verdicts per bin: a share of fewer means little."""

FIRST = 0.25
"""The share of a round's queue that `first_quarter_lift` measures."""


def predicted_acceptance(verdicts: pd.DataFrame) -> NDArray[np.float64]:
    """The predicted probability of acceptance of each reviewed slice: triage's score, or the confidence without one.

    Args:
        verdicts: rows of `verdicts.csv`.
    """
    return verdicts["score"].astype(float).fillna(verdicts["confidence"].astype(float)).to_numpy()


def first_quarter_lift(verdicts: pd.DataFrame) -> float:
    """How many times more slices were accepted in the first quarter of every round's queue than in a random quarter.

    Args:
        verdicts: rows of `verdicts.csv` of one run.

    Returns:
        Slices accepted in the first quarters of all rounds, over the number expected from each round's own acceptance
        rate; nan where nothing was accepted.
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
    """The verdicts of one run, reordered as the best possible queue: most accepted proposals first in every round."""
    share = verdicts.groupby(["round", "order"])["accepted"].transform(lambda slices: slices.astype(float).mean())
    places = pd.MultiIndex.from_arrays([-share, verdicts["order"]])
    return verdicts.assign(order=pd.Series(pd.factorize(places, sort=True)[0], index=verdicts.index))


def calibration_bins(scores: NDArray[np.float64], accepted: NDArray[np.bool_], *, bins: int = BINS) -> pd.DataFrame:
    """Group verdicts into bins of equal size by score.

    Returns:
        Columns `score` (mean), `accepted` (share) and `n`, in ascending order of score.
    """
    order = np.argsort(scores, kind="stable")
    parts = np.array_split(order, max(1, min(bins, len(order) // PER_BIN)))
    rows = [(scores[part].mean(), accepted[part].mean(), len(part)) for part in parts]
    return pd.DataFrame(rows, columns=["score", "accepted", "n"])


def calibration_error(bins: pd.DataFrame) -> float:
    """Expected calibration error: mean absolute difference of score and accepted share, weighted by verdicts."""
    return float(np.average((bins.score - bins.accepted).abs(), weights=bins.n))


def chance_error(scores: NDArray[np.float64], *, draws: int = 200) -> float:
    """The calibration error to be expected of scores that are right: few verdicts leave one to the best of them."""
    accepted = np.random.default_rng(0).random((draws, len(scores))) < scores
    return float(np.mean([calibration_error(calibration_bins(scores, each)) for each in accepted]))


def risk_at_coverage(scores: NDArray[np.float64], accepted: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Share rejected among the k highest scores, for every k from 1; ties share their mean risk."""
    frame = pd.DataFrame({"score": scores, "risk": 1.0 - np.asarray(accepted, np.float64)})
    frame["risk"] = frame.groupby("score").risk.transform("mean")
    risks = frame.sort_values("score", ascending=False, kind="stable").risk.to_numpy()
    return np.cumsum(risks) / np.arange(1, len(risks) + 1)
