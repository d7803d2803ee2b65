"""Calibration bins and risk at coverage."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recursive_expand.experiment.calibration import (
    PER_BIN,
    best_order,
    calibration_bins,
    calibration_error,
    first_quarter_lift,
    predicted_acceptance,
    risk_at_coverage,
)


def test_bins_hold_as_many_verdicts_each() -> None:
    scores = np.linspace(0, 1, 4 * PER_BIN)
    bins = calibration_bins(scores, scores > 0.5)
    assert bins.n.tolist() == [PER_BIN] * 4
    assert bins.accepted.tolist() == [0, 0, 1, 1]
    assert bins.score.is_monotonic_increasing


def test_few_verdicts_are_one_bin() -> None:
    assert len(calibration_bins(np.array([0.2, 0.9]), np.array([True, False]))) == 1


def test_the_error_is_the_distance_to_the_diagonal() -> None:
    accepted = np.arange(100) % 4 != 0
    assert calibration_error(calibration_bins(np.full(100, 0.75), accepted)) < 0.11
    assert calibration_error(calibration_bins(np.full(100, 0.35), accepted)) == pytest.approx(0.4)


def test_risk_rises_with_coverage_where_the_score_is_good() -> None:
    accepted = np.array([True, True, False, True])
    assert risk_at_coverage(np.array([0.9, 0.8, 0.1, 0.7]), accepted).tolist() == [0, 0, 0, 0.25]


def test_ties_count_as_their_mean() -> None:
    assert risk_at_coverage(np.ones(4), np.array([True, False, True, False])).tolist() == [0.5] * 4


def queue(accepted: list[bool], *, round_: int = 0) -> pd.DataFrame:
    """One slice a proposal, in the order of the list."""
    return pd.DataFrame({"round": round_, "order": range(len(accepted)), "accepted": accepted})


def test_the_score_is_what_foretells_where_there_is_one() -> None:
    verdicts = pd.DataFrame({"score": [0.1, None], "confidence": [0.8, 0.9]})
    assert predicted_acceptance(verdicts).tolist() == [0.1, 0.9]
    assert predicted_acceptance(verdicts.assign(score=None)).tolist() == [0.8, 0.9]


def test_the_first_quarter_is_held_against_a_random_one_round_by_round() -> None:
    good, bad = [True] * 2 + [False] * 6, [False] * 2 + [True] * 6
    assert first_quarter_lift(queue(good)) == 4
    assert first_quarter_lift(queue(bad)) == 0
    both = pd.concat([queue(good), queue([True] * 8, round_=1)])
    assert first_quarter_lift(both) == pytest.approx((2 + 2) / (0.5 + 2))
    assert np.isnan(first_quarter_lift(queue([False] * 8)))


def test_a_volume_is_one_place_in_the_queue() -> None:
    volumes = pd.DataFrame({"round": 0, "order": [3, 3, 3, 5, 7, 9], "accepted": [True] * 3 + [False] * 3})
    assert first_quarter_lift(volumes) == 2


@given(accepted=st.lists(st.booleans(), min_size=1, max_size=40).filter(any))
def test_no_order_beats_the_one_that_puts_the_accepted_first(accepted: list[bool]) -> None:
    best = first_quarter_lift(best_order(queue(accepted)))
    assert best == first_quarter_lift(queue(sorted(accepted, reverse=True)))
    assert first_quarter_lift(queue(accepted)) <= best <= len(accepted) / sum(accepted) + 1e-9


def test_of_volumes_those_come_first_of_which_most_is_accepted() -> None:
    volumes = pd.DataFrame(
        {"round": 0, "order": [0, 0, 1, 1, 2, 2], "accepted": [True, False, False, False, True, True]}
    )
    assert best_order(volumes)["order"].tolist() == [1, 1, 2, 2, 0, 0]
