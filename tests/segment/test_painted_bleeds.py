"""painted_bleeds.py: blood lies inside the skull and is denser than the brain; the same draws give the same slice."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from recursive_expand.phantom import make_slice
from recursive_expand.segment.fitted_head import FittedHead
from recursive_expand.segment.painted_bleeds import LEAST_BLOOD_MM2, paint_bleeds_into

PHANTOM = make_slice(3, size=128, bleeds=[])
HU, SPACING = PHANTOM.hu[0], PHANTOM.spacing[1:]
HEAD = FittedHead.of(HU, SPACING)


@given(st.integers(0, 10_000))
@settings(max_examples=6, deadline=None)
def test_blood_is_inside_the_skull(seed):
    hu, mask = paint_bleeds_into(HU, SPACING, np.random.default_rng(seed))
    assert hu.shape == mask.shape == HU.shape and hu.dtype == np.int16 and mask.dtype == np.uint8
    assert set(np.unique(mask)) <= set(range(6))
    assert HEAD.polar.depth[mask > 0].min(initial=0) >= -HEAD.plane.pixel
    again, same = paint_bleeds_into(HU, SPACING, np.random.default_rng(seed))
    assert np.array_equal(hu, again) and np.array_equal(mask, same)


def test_most_slices_hold_blood_and_it_is_denser_than_the_brain():
    made = [paint_bleeds_into(HU, SPACING, np.random.default_rng([1, n])) for n in range(16)]
    least = LEAST_BLOOD_MM2 / 2 / (SPACING[0] * SPACING[1])
    bloody = [(hu, mask) for hu, mask in made if np.count_nonzero(mask) > least]
    assert 8 <= len(bloody) < 16  # the others hold what is taken for blood, or nothing
    denser = [np.median(hu[mask > 0]) - np.median(hu[HEAD.soft & (mask == 0)]) for hu, mask in bloody]
    assert np.median(denser) > 10
    assert len({value for _, mask in bloody for value in np.unique(mask[mask > 0])}) >= 3  # types


def test_a_slice_without_an_outline_is_left_alone():
    assert paint_bleeds_into(np.full((64, 64), -1000, np.int16), (3.0, 3.0), np.random.default_rng(0)) is None


def test_the_slice_that_is_painted_into_is_not_changed():
    before = HU.copy()
    paint_bleeds_into(HU, SPACING, np.random.default_rng(0))
    assert np.array_equal(HU, before)
