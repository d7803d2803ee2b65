"""Tests of the head's box and of slices without brain."""

import numpy as np
import pytest

from recursive_expand.segment.head import Box, has_brain, head_box


def _holds(box, region):
    rows, columns = np.nonzero(region)
    return box.r0 <= rows.min() and box.r1 > rows.max() and box.c0 <= columns.min() and box.c1 > columns.max()


@pytest.mark.parametrize("size", [128, 200, 512])
def test_the_box_holds_the_head_and_spares_air(make_head, size):
    hu, _ = make_head(size)
    box = head_box(hu, margin=4)
    assert _holds(box, hu > -300)
    assert np.prod(box.shape) < 0.8 * hu.size


def test_a_table_is_not_the_head(make_head):
    hu, _ = make_head(256)
    hu[250:253, 10:245] = 50
    assert head_box(hu, margin=4).r1 < 245


def test_a_slice_from_a_display_window_is_boxed_above_its_minimum(make_head):
    hu, _ = make_head(256)
    box = head_box(np.clip(hu, -20, 100), margin=4)
    assert _holds(box, hu > -20)
    assert np.prod(box.shape) < 0.8 * hu.size


def test_a_slice_without_background_is_taken_whole():
    hu = np.random.default_rng(0).integers(30, 60, (64, 80)).astype(np.int16)
    assert head_box(hu) == Box.whole(hu.shape)


@pytest.mark.parametrize("value", [-1024, -3024, 0, 40])
def test_an_even_slice_has_no_head(value):
    assert head_box(np.full((64, 64), value, np.int16)) is None


def test_boxes_align_to_the_coarse_grid_and_read_beyond_the_slice():
    box = Box(5, 19, 16, 30).aligned(8)
    assert box == Box(0, 24, 16, 32)
    array = np.ones((20, 32), np.int16)
    read = box.read(array, -7)
    assert read.shape == (24, 16)
    assert (read[:20] == 1).all() and (read[20:] == -7).all()
    box.write(array, np.full(box.shape, 3, np.int16))
    assert (array[:, 16:] == 3).all() and (array[:, :16] == 1).all()


@pytest.mark.parametrize("noise", [0, 15, 40])
def test_a_head_may_hold_blood_however_noisy(make_head, noise):
    hu, _ = make_head(256)
    hu = hu + np.random.default_rng(1).normal(0, noise, hu.shape).astype(np.int16)
    assert has_brain(hu, (0.7, 0.7))


def test_a_small_patch_of_brain_at_the_vertex_is_never_skipped():
    rows, columns = np.mgrid[:512, :512]
    radius = np.hypot(rows - 200, columns - 250) * 0.5  # mm
    hu = np.full((512, 512), -1000, np.int16)
    hu[radius < 14] = 900
    hu[radius < 9] = 60  # 2.5 cm2
    assert has_brain(hu, (0.5, 0.5))


@pytest.mark.parametrize("clip", [(-20, 100), (0, 80)])
def test_a_windowed_head_may_hold_blood(make_head, clip):
    hu, _ = make_head(256)
    assert has_brain(np.clip(hu, *clip), (0.7, 0.7))


def test_air_bone_and_a_thin_table_hold_no_brain():
    hu = np.random.default_rng(0).normal(-1000, 20, (512, 512)).astype(np.int16)
    assert not has_brain(hu, (0.5, 0.5))
    hu[480:484, 20:490] = 60  # 2 mm of table
    hu[200:240, 200:240] = 1200
    assert not has_brain(hu, (0.5, 0.5))


def test_a_spacing_that_no_ct_has_is_not_believed():
    hu = np.full((64, 64), -1000, np.int16)
    hu[30:34, 30:34] = 40
    assert has_brain(hu, (0.0005, 0.0005))
