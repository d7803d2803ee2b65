"""Tests of the metrics and of the empty-mask rule."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from recursive_expand.segment.metrics import Counts, count

MASKS = npst.arrays(np.uint8, (3, 4), elements=st.integers(0, 2))


def test_metrics_from_counts():
    counts = Counts(true_positive=6, false_positive=2, false_negative=4)
    assert (counts.dice, counts.iou, counts.precision, counts.recall) == (12 / 18, 0.5, 0.75, 0.6)


def test_both_empty_is_1_and_one_empty_is_0():
    for name in ("dice", "iou", "precision", "recall"):
        assert getattr(Counts(), name) == 1
        assert getattr(Counts(false_positive=3), name) == 0
        assert getattr(Counts(false_negative=3), name) == 0


def test_the_wrong_class_is_right_for_foreground_alone():
    found = count(np.array([1, 2, 0], np.uint8), np.array([2, 2, 1], np.uint8), 2)
    assert found.foreground == Counts(2, 0, 1)
    assert found.by_class == (Counts(0, 1, 1), Counts(1, 0, 1))


@given(MASKS, MASKS)
def test_counts_match_set_arithmetic_and_add_up_over_slices(prediction, reference):
    whole = count(prediction, reference, 2)
    for value, counts in enumerate(whole.by_class, start=1):
        p, r = prediction == value, reference == value
        assert counts == Counts(int((p & r).sum()), int((p & ~r).sum()), int((~p & r).sum()))
    assert whole == count(prediction[:1], reference[:1], 2) + count(prediction[1:], reference[1:], 2)


def test_a_value_that_is_no_class_is_named():
    with pytest.raises(ValueError, match="mask value 7 is no class"):
        count(np.array([7], np.uint8), np.array([0], np.uint8), 2)
