"""Small components go, others stay, class by class."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from recursive_expand.segment.specks import drop_specks


def test_a_component_of_just_the_size_stays_and_a_smaller_one_goes():
    mask = np.zeros((6, 8), np.uint8)
    mask[0, 0:3] = 1
    mask[3, 0:2] = 1
    mask[5, 5:8] = 2
    kept = drop_specks(mask, min_pixels=3)
    assert np.array_equal(np.unique(np.flatnonzero(kept)), [0, 1, 2, 45, 46, 47])


def test_classes_that_touch_are_components_of_their_own():
    mask = np.array([[1, 1, 1, 2]], np.uint8)
    assert np.array_equal(drop_specks(mask, min_pixels=2), [[1, 1, 1, 0]])


@given(hnp.arrays(np.uint8, (7, 9), elements=st.integers(0, 3)), st.floats(0, 20))
@settings(deadline=None)
def test_what_stays_is_as_it_was_and_dropping_again_changes_nothing(mask, least):
    kept = drop_specks(mask, min_pixels=least)
    assert np.array_equal(kept[kept > 0], mask[kept > 0])
    assert np.array_equal(drop_specks(kept, min_pixels=least), kept)


def _drop_specks_0_1_0(mask, min_pixels):
    """The rule of version 0.1.0, whose proposals must come out the same."""
    kept = mask.copy()
    for value in range(1, mask.max() + 1):
        labels, _ = ndimage.label(mask == value, structure=np.ones((3, 3), bool))
        small = np.bincount(labels.ravel()) < min_pixels
        small[0] = False
        kept[small[labels]] = 0
    return kept


@given(
    hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=12), elements=st.integers(0, 3)),
    st.one_of(st.floats(0, 20), st.integers(0, 20)),
)
@settings(deadline=None)
def test_the_rule_is_that_of_version_0_1_0(mask, least):
    assert np.array_equal(drop_specks(mask, min_pixels=least), _drop_specks_0_1_0(mask, least))
