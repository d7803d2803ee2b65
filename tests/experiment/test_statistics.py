"""Means, intervals, changes and p-values over patients."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from recursive_expand.experiment.statistics import compare, median_gains, pairs, summarise


def test_the_interval_is_students() -> None:
    values = [0.1, 0.4, 0.5, 0.9]
    summary = summarise(values)
    low, high = stats.t.interval(0.95, 3, loc=np.mean(values), scale=stats.sem(values))
    assert (summary.n, summary.mean, summary.median) == (4, pytest.approx(0.475), pytest.approx(0.45))
    assert summary.half_width == pytest.approx((high - low) / 2)


def test_few_values_have_no_interval() -> None:
    assert summarise([0.3]).mean == 0.3
    assert np.isnan(summarise([0.3]).half_width)
    assert summarise([]).n == 0 and np.isnan(summarise([]).mean)


def test_the_change_is_that_of_the_median_and_p_of_the_pairs() -> None:
    before, after = [0.1, 0.2, 0.9, 0.4, 0.3, 0.6], [0.3, 0.5, 0.8, 0.8, 0.4, 0.9]
    compared = compare(before, after)
    assert compared.median_change == pytest.approx(0.65 - 0.35)
    assert compared.p == pytest.approx(stats.wilcoxon(before, after).pvalue)


def test_equal_pairs_differ_in_nothing() -> None:
    assert compare([0.2, 0.4], [0.2, 0.4]).p == 1.0
    assert np.isnan(compare([], []).p)
    with pytest.raises(ValueError, match="not pairs"):
        compare([0.2], [])


def _rows(values: dict[tuple[int, str, str, str], float]) -> pd.DataFrame:
    rows = [(*key, value) for key, value in values.items()]
    return pd.DataFrame(rows, columns=["seed", "patient_sha256", "patient", "stage", "dice"])


def test_a_patients_value_is_the_mean_over_seeds() -> None:
    table = pairs(
        _rows(
            {
                (0, "A", "a", "before"): 0.2,
                (1, "A", "a", "before"): 0.4,
                (0, "A", "a", "after"): 0.6,
                (1, "A", "a", "after"): 0.8,
                (0, "A", "a", "between"): 0.0,
                (0, "B", "b", "before"): 0.1,
            }
        ),
        "dice",
    )
    assert table.before.tolist() == pytest.approx([0.3])
    assert table.after.tolist() == pytest.approx([0.7])


def test_other_patients_of_the_same_name_are_others() -> None:
    rows = _rows({(s, d, "a", stage): 0.5 for s, d in ((0, "A"), (1, "B")) for stage in ("before", "after")})
    assert len(pairs(rows, "dice")) == 2


def test_gains_are_one_a_seed() -> None:
    stages = {"before": 0.1, "after": 0.3}
    rows = _rows({(s, p.upper(), p, stage): v * (s + 1) for s in (0, 1) for p in "ab" for stage, v in stages.items()})
    assert median_gains(rows, "dice").to_dict() == pytest.approx({0: 0.2, 1: 0.4})
