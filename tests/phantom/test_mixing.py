"""A tissue is mixed in by its coverage."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from recursive_expand.phantom.mixing import mix

hu = st.floats(-1000, 3000, width=32)


@given(
    before=arrays(np.float32, (4, 5), elements=hu),
    coverage=arrays(np.float32, (4, 5), elements=st.floats(0, 1, width=32)),
    values=st.one_of(st.integers(-100, 1500), arrays(np.float32, (4, 5), elements=hu)),
)
def test_pixels_are_between_what_was_there_and_the_tissue(before, coverage, values):
    after, tissues, mask = before.copy(), np.full((4, 5), 9, np.uint8), np.full((4, 5), 9, np.uint8)
    mix(after, tissues, mask, coverage, values, 3, 2)
    whole = np.float32(values) if isinstance(values, int) else values
    np.testing.assert_array_equal(after, before + coverage * (whole - before))
    np.testing.assert_array_equal(tissues, np.where(coverage >= 0.5, 3, 9))
    np.testing.assert_array_equal(mask, np.where(coverage >= 0.5, 2, 9))


@pytest.mark.parametrize("value", [40, 40.0, np.float64(40)])
def test_a_number_is_a_tissue_of_one_density(value):
    after = np.zeros((1, 1), np.float32)
    mix(after, np.zeros((1, 1), np.uint8), np.zeros((1, 1), np.uint8), np.ones((1, 1), np.float32), value, 1, 0)
    assert after == 40
