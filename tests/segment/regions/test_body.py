"""Tests of the region `body`."""

import numpy as np
import pytest

from recursive_expand.segment.box import Box
from recursive_expand.segment.regions.body import Body, body_box


def _holds(box, region):
    rows, columns = np.nonzero(region)
    return box.r0 <= rows.min() and box.r1 > rows.max() and box.c0 <= columns.min() and box.c1 > columns.max()


@pytest.mark.parametrize("size", [128, 200, 512])
def test_the_box_holds_the_body_and_spares_air(make_head, size):
    hu, _ = make_head(size)
    box = body_box(hu, margin=4)
    assert _holds(box, hu > -300)
    assert np.prod(box.shape) < 0.8 * hu.size


def test_a_table_is_not_the_body(make_head):
    hu, _ = make_head(256)
    hu[250:253, 10:245] = 50
    assert body_box(hu, margin=4).r1 < 245


def test_a_slice_from_a_display_window_is_boxed_above_its_minimum(make_head):
    hu, _ = make_head(256)
    box = body_box(np.clip(hu, -20, 100), margin=4)
    assert _holds(box, hu > -20)
    assert np.prod(box.shape) < 0.8 * hu.size


def test_a_slice_without_background_is_taken_whole():
    hu = np.random.default_rng(0).integers(30, 60, (64, 80)).astype(np.int16)
    assert body_box(hu) == Box.whole(hu.shape)


@pytest.mark.parametrize("value", [-1024, -3024, 0, 40])
def test_an_even_slice_has_no_body(value):
    assert body_box(np.full((64, 64), value, np.int16)) is None


def test_both_legs_are_of_the_body():
    hu = np.full((64, 96), -1000, np.int16)
    hu[20:44, 10:34] = hu[24:44, 60:80] = 40
    assert _holds(body_box(hu, margin=0), hu > -300)


def test_every_slice_is_worth_a_look():
    assert Body().worth_a_look(np.full((64, 64), -1000, np.int16), (0.5, 0.5))
