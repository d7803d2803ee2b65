"""What of a rejected mask comes once more."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from recursive_expand.segment.second_chance import second_chance

MASK = np.array(
    [
        [1, 1, 0, 2, 2, 2],
        [1, 0, 0, 2, 2, 0],
        [0, 0, 0, 0, 0, 0],
        [0, 3, 3, 0, 0, 0],
    ],
    np.uint8,
)
UNSURE = np.array(
    [
        [0, 0, 1, 1, 1, 1],
        [1, 0, 0, 0, 1, 0],
        [0, 0, 0, 0, 0, 0],
        [0, 1, 1, 0, 0, 0],
    ],
    np.bool_,
)


def test_the_stricter_mask_is_the_confident_foreground():
    found = second_chance(MASK, UNSURE, "stricter")
    assert np.argwhere(found).tolist() == [[0, 0], [0, 1], [1, 3]]
    assert found[1, 3] == 2


def test_of_several_components_the_one_with_most_confident_foreground_comes_whole():
    assert np.array_equal(second_chance(MASK, UNSURE, "components"), np.where(MASK == 1, MASK, 0))


@pytest.mark.parametrize("mask", [np.where(MASK == 1, MASK, 0), np.where(MASK == 3, MASK, 0), np.zeros_like(MASK)])
def test_of_one_component_or_where_f_is_sure_of_nothing_none_comes(mask):
    assert not second_chance(mask, UNSURE, "components").any()


@given(
    arrays(np.uint8, (5, 6), elements=st.integers(0, 3)),
    arrays(np.bool_, (5, 6)),
    st.sampled_from(["stricter", "components"]),
)
def test_it_is_a_part_of_the_mask_in_its_classes(mask, ignore, kind):
    found = second_chance(mask, ignore, kind)
    assert np.array_equal(found[found > 0], mask[found > 0])
