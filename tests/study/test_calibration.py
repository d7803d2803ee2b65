"""Calibration bins and risk at coverage."""

from __future__ import annotations

import numpy as np
import pytest

from recursive_expand.study.calibration import PER_BIN, calibration_bins, calibration_error, risk_at_coverage


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
