"""Operating points of the most acceptable slices: what moves them, how far, and what does not."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recursive_expand.expand.point_choice import best_area, best_thresholds
from recursive_expand.expand.point_sweep import SweptSlice

GRID = (0.1, 0.5, 0.9)
CONFIGURED = (0.1, 0.1)
TAU = 0.35


def swept(patient, marked, wrong, *, source="locked", k=0):
    """A slice on which class `k` alone is marked, at each threshold of the grid."""
    counts = np.zeros((2, len(marked), 2), np.int64)
    counts[0, :, k], counts[1, :, k] = marked, wrong
    return SweptSlice(patient, source, *counts)


def cleaner(patient, **more):
    """Half wrong at 0.1, right from 0.5 on."""
    return swept(patient, (100, 60, 40), (50, 2, 0), **more)


def choose(slices, configured=CONFIGURED, grid=GRID):
    return best_thresholds(slices, grid, configured, tau=TAU)


def log_odds(probability):
    return np.log(probability / (1 - probability))


def test_a_threshold_that_makes_wrong_slices_acceptable_is_taken():
    a, b = choose([cleaner(f"p{n}") for n in range(200)])
    assert 0.4 < a < 0.9 and b == a  # as far as 200 patients of 210 go, for all classes alike


def test_of_equally_good_ones_the_nearest_to_the_configured_is_taken():
    a, _ = choose([swept(f"p{n}", (100, 60, 40), (50, 0, 0)) for n in range(1000)])
    assert a == pytest.approx(0.5, abs=0.03)


def test_where_all_is_right_or_all_is_wrong_and_marked_anyway_nothing_moves():
    assert choose([swept(f"p{n}", (100, 60, 40), (0, 0, 0)) for n in range(50)]) == CONFIGURED
    assert choose([swept(f"p{n}", (100, 60, 40), (100, 60, 40)) for n in range(50)]) == CONFIGURED
    assert choose([]) == CONFIGURED


def test_marking_nothing_is_no_answer_to_acceptable_slices():
    assert choose([swept(f"p{n}", (100, 0, 0), (20, 0, 0)) for n in range(50)]) == CONFIGURED


def test_what_would_be_rejected_anyway_is_better_not_marked():
    a, _ = choose([swept(f"p{n}", (100, 0, 0), (100, 0, 0)) for n in range(1000)])
    assert a == pytest.approx(0.5, abs=0.03)


def test_one_patient_moves_nothing_however_many_slices_they_have():
    assert choose([cleaner("p") for _ in range(100)]) == CONFIGURED
    assert choose([cleaner("p"), cleaner("q")])[0] > 0.1


@settings(max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 100), st.floats(0, 1), st.floats(0, 1)), max_size=12))
def test_what_is_chosen_lies_between_the_configured_and_the_grid_s_ends_and_never_depends_on_the_order(found):
    slices = [
        swept(f"p{patient}", (m, int(m * a), int(m * a * b)), (m // 2, int(m * a) // 3, 0))
        for patient, m, a, b in found
    ]
    chosen = choose(slices, configured=(0.5, 0.1))
    assert all(0.1 <= threshold <= 0.9 for threshold in chosen)
    assert choose(slices[::-1], configured=(0.5, 0.1)) == chosen


def test_the_fewer_patients_the_shorter_the_way():
    ways = [log_odds(choose([cleaner(f"p{n}") for n in range(number)])[0]) for number in (2, 5, 20, 100)]
    assert log_odds(0.1) < ways[0] < ways[1] < ways[2] < ways[3] < log_odds(0.9)


def test_synthetic_slices_alone_go_half_of_the_way_however_many_there_are():
    a, _ = choose([swept(f"s{n}", (100, 60, 40), (50, 0, 0), source="synthetic") for n in range(500)])
    assert log_odds(a) == pytest.approx((log_odds(0.1) + log_odds(0.5)) / 2, abs=0.01)


def test_scans_outweigh_synthetic_slices_that_say_otherwise():
    synthetic = [swept(f"s{n}", (100, 60, 40), (100, 2, 0), source="synthetic") for n in range(100)]
    assert choose(synthetic)[0] > 0.1
    # On scans the stricter thresholds leave nothing.
    assert choose([*synthetic, *(swept(f"p{n}", (100, 0, 0), (0, 0, 0)) for n in range(30))]) == CONFIGURED


def test_each_class_has_its_own_threshold():
    right = [swept(f"q{n}", (100, 0, 0), (0, 0, 0), k=1) for n in range(100)]
    a, b = choose([*(cleaner(f"p{n}") for n in range(100)), *right])
    assert a > 0.3 and b == 0.1


def test_a_class_without_a_threshold_keeps_none_unless_another_is_better():
    grid = (*GRID, None)
    stays = [swept(f"p{n}", (100, 60, 40, 60), (0, 0, 0, 0)) for n in range(50)]
    assert choose(stays, configured=(None, None), grid=grid) == (None, None)
    better = [swept(f"p{n}", (100, 60, 40, 60), (50, 30, 0, 30)) for n in range(200)]
    a, b = choose(better, configured=(None, None), grid=grid)
    assert a == b and 0.8 < a < 0.9


AREAS = (10.0, 50.0, 200.0)


def area(slices, configured=10.0):
    return best_area(slices, AREAS, configured, tau=TAU)


def test_an_area_below_which_most_is_wrong_is_taken():
    specks = [swept(f"p{n}", (100, 60, 60), (60, 0, 0)) for n in range(190)]
    assert area(specks) == pytest.approx(10 * 5 ** (190 / 200), abs=0.1)  # of equally good ones the nearest
    assert area([swept(f"p{n}", (100, 90, 60), (60, 60, 0)) for n in range(190)]) > 100


def test_the_area_stays_where_acceptable_blood_would_go_or_one_patient_alone_speaks():
    assert area([swept(f"p{n}", (100, 0, 0), (10, 0, 0)) for n in range(50)]) == 10
    assert area([swept("p", (100, 60, 60), (60, 0, 0)) for _ in range(50)]) == 10
    assert area([]) == 10


def test_a_configured_area_can_be_too_large():
    assert 10 < area([swept(f"p{n}", (100, 100, 0), (10, 10, 0)) for n in range(50)], configured=200.0) < 200
