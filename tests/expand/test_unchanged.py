"""A proposal that hardly differs from a rejected one."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from recursive_expand.expand.unchanged import class_dice, unchanged_slices

masks = hnp.arrays(np.uint8, (3, 4, 4), elements=st.integers(0, 2))


def square(size, *, slices=(0,), value=1):
    mask = np.zeros((3, 20, 20), np.uint8)
    mask[list(slices), :size, :20] = value
    return mask


@given(masks, masks)
def test_class_dice_is_symmetric_and_within_bounds(a, b):
    assert class_dice(a, b) == class_dice(b, a)
    assert 0 <= class_dice(a, b) <= 1
    assert class_dice(a, a) == 1


def test_class_dice_of_known_masks():
    assert class_dice(square(10), square(20)) == pytest.approx(2 * 200 / 600)
    assert class_dice(square(10), square(10, value=2)) == 0  # another class is not common
    assert class_dice(square(0), square(0)) == 1
    assert class_dice(square(0), square(1)) == 0


@pytest.mark.parametrize(("size", "unchanged"), [(20, True), (19, True), (18, False)])
def test_the_rule_is_dice_at_the_limit(size, unchanged):
    # Dice with 20 rows: 19 rows 2*19/39 = 0.974, 18 rows 2*18/38 = 0.947.
    assert unchanged_slices(square(size), [(square(20), [0])], dice=0.95) == (unchanged, (0,) if unchanged else ())


def test_only_rejected_slices_of_the_earlier_mask_count():
    earlier = square(20, slices=(0, 1))
    assert unchanged_slices(earlier, [(earlier, [1])], dice=0.95) == (False, (1,))
    assert unchanged_slices(earlier, [(earlier, [0, 1])], dice=0.95) == (True, (0, 1))


def test_each_slice_may_have_been_rejected_in_another_round():
    mask = square(20, slices=(0, 1))
    rejected = [(square(20, slices=(0,)), [0]), (square(20, slices=(1,)), [1])]
    assert unchanged_slices(mask, rejected, dice=0.95) == (True, (0, 1))


def test_a_whole_that_agrees_is_unchanged_though_a_small_slice_of_it_differs():
    earlier, mask = square(20, slices=(0, 1)), square(20, slices=(0, 1))
    earlier[2, 0, 0] = mask[2, 0, 1] = 1
    assert unchanged_slices(mask, [(earlier, [0, 1, 2])], dice=0.95) == (True, (0, 1, 2))


def test_an_empty_mask_is_empty_not_unchanged():
    assert unchanged_slices(square(0), [(square(0), [0])], dice=0.95) == (False, ())


@given(masks, masks, st.sets(st.integers(0, 2)))
def test_only_filled_slices_are_named_and_all_of_them_where_the_whole_is(mask, earlier, numbers):
    filled = {n for n in range(3) if mask[n].any()}
    whole, same = unchanged_slices(mask, [(earlier, sorted(numbers))], dice=0.95)
    assert set(same) <= filled
    assert not whole or set(same) == filled


@given(masks, st.sets(st.integers(0, 2)))
def test_the_same_mask_again_is_unchanged_in_all_its_rejected_slices(mask, numbers):
    _, same = unchanged_slices(mask, [(mask.copy(), sorted(numbers))], dice=1.0)
    assert set(same) >= {n for n in numbers if mask[n].any()}
