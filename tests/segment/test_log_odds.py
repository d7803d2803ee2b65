"""Thresholds stay thresholds, however far they are moved."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recursive_expand.segment.log_odds import LEAST, log_odds, threshold_at


@given(st.floats(0.001, 0.999))
def test_a_threshold_comes_back_from_its_log_odds(threshold):
    assert threshold_at(log_odds(threshold)) == pytest.approx(threshold, abs=5.1e-5)


@given(st.floats(-500, 500))
def test_what_is_moved_stays_between_0_and_1(odds):
    assert LEAST <= threshold_at(odds) <= 1 - LEAST
