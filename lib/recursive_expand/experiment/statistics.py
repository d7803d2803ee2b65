"""Statistics over patients: mean (median) ± 95 % confidence interval, change of the median, Wilcoxon's p."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Summary:
    """A metric over patients.

    Attributes:
        n: number of values.
        mean, median: nan without values.
        half_width: half of the 95 % confidence interval of the mean (Student's t over the values); nan below 2 values.
    """

    n: int
    mean: float
    median: float
    half_width: float


@dataclass(frozen=True)
class Comparison:
    """A metric before and after the recursion, over the same patients.

    Attributes:
        before, after: the metric.
        median_change: median after minus median before, as in the paper's Table 1.
        p: of Wilcoxon's two-sided signed-rank test over the pairs; 1 if no pair differs, nan without pairs.
    """

    before: Summary
    after: Summary
    median_change: float
    p: float


def summarise(values: Sequence[float]) -> Summary:
    """Summarise finite values."""
    array = np.asarray(values, np.float64)
    n = len(array)
    if n == 0:
        return Summary(0, np.nan, np.nan, np.nan)
    half = np.nan
    if n > 1:
        half = float(stats.t.ppf(0.5 + CONFIDENCE / 2, n - 1) * array.std(ddof=1) / np.sqrt(n))
    return Summary(n, float(array.mean()), float(np.median(array)), half)


def compare(before: Sequence[float], after: Sequence[float]) -> Comparison:
    """Compare paired values.

    Args:
        before: one value per patient.
        after: the same patients in the same order.

    Raises:
        ValueError: the lengths differ.
    """
    if len(before) != len(after):
        raise ValueError(f"{len(before)} values before and {len(after)} after are not pairs")
    first, second = summarise(before), summarise(after)
    return Comparison(first, second, second.median - first.median, _wilcoxon(before, after))


def pairs(patients: pd.DataFrame, metric: str) -> pd.DataFrame:
    """A metric before and after, one row per patient.

    A patient measured in runs with several seeds has the mean over these, so that repeating a run does not narrow the
    interval. Patients are identified by `patient_sha256`, not by name.

    Args:
        patients: rows of `patients.csv` of one preset, test set, variant and region, with `stage` before or after.
        metric: a column.

    Returns:
        Columns `before` and `after`; patients without one of them are left out.
    """
    rows = patients[patients.stage.isin(["before", "after"])]
    table = rows.pivot_table(index="patient_sha256", columns="stage", values=metric, aggfunc="mean")
    return table.reindex(columns=["before", "after"]).dropna()


def median_gains(patients: pd.DataFrame, metric: str) -> pd.Series:
    """Change of the median over patients, one value per seed; see `pairs` for the rows."""
    by_run = patients.groupby(["seed", "stage"])[metric].median().unstack()
    return (by_run["after"] - by_run["before"]).rename(metric)


def _wilcoxon(before: Sequence[float], after: Sequence[float]) -> float:
    difference = np.asarray(after, np.float64) - np.asarray(before, np.float64)
    if len(difference) == 0:
        return np.nan
    # The ranks of mere rounding differences would be noise.
    difference[np.abs(difference) < 1e-12] = 0
    if not difference.any():
        return 1.0
    return float(stats.wilcoxon(difference).pvalue)
