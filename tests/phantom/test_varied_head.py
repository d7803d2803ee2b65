"""Varied heads and scanners: exact masks, every type of bleed, values as scanners and pictures have them."""

from __future__ import annotations

import numpy as np
import pytest

from recursive_expand.phantom.acquisition import acquire
from recursive_expand.phantom.bleeds import CLASSES
from recursive_expand.phantom.varied_head import HEIGHTS, paint_varied

PIXEL = 3.0


@pytest.fixture(scope="module")
def painted():
    return [paint_varied(5, number, pixel=PIXEL) for number in range(60)]


@pytest.fixture(scope="module")
def imaged(painted):
    return [acquire(one, np.random.default_rng(100 + number)) for number, one in enumerate(painted)]


def test_the_same_number_gives_the_same_slice(painted):
    again = paint_varied(5, 7, pixel=PIXEL)
    assert np.array_equal(again.hu, painted[7].hu) and np.array_equal(again.mask, painted[7].mask)
    assert not np.array_equal(painted[7].hu, painted[8].hu)


def test_all_bleeds_come_and_many_slices_have_none(imaged):
    with_blood = [mask.any() for _, mask in imaged]
    assert 0.3 < np.mean(with_blood) < 0.8
    assert {value for _, mask in imaged for value in np.unique(mask)} == set(range(len(CLASSES) + 1))


def test_blood_lies_inside_the_skull_and_is_denser_than_csf(painted):
    for one in painted:
        blood = one.mask > 0
        if blood.sum() > 20:
            assert one.depth[blood].min() > -2 * PIXEL
            assert np.median(one.hu[blood]) > 20


def test_no_blood_is_marked_on_bone(imaged):
    marked = np.concatenate([hu[mask > 0] for hu, mask in imaged if hu.max() > 300])
    assert len(marked) > 500
    assert np.mean(marked > 350) < 0.01  # what noise, sharpening and the glare of bone leave


def test_half_of_the_slices_are_pictures_whose_values_end_at_a_window(imaged):
    tops = np.array([hu.max() for hu, _ in imaged])
    assert 0.3 < np.mean(tops < 300) < 0.7
    assert all(hu.dtype == np.int16 and hu.min() >= -1024 and hu.max() <= 3071 for hu, _ in imaged)


def test_every_look_is_another(painted):
    first, again, other = (acquire(painted[3], np.random.default_rng(seed))[0] for seed in (1, 1, 2))
    assert np.array_equal(first, again) and not np.array_equal(first, other)


def test_slices_come_from_the_base_to_the_vertex():
    assert HEIGHTS[0] < -5 and HEIGHTS[1] > 110
