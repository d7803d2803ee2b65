"""Tests of boxes."""

import numpy as np

from recursive_expand.segment.box import Box


def test_boxes_align_to_the_coarse_grid_and_read_beyond_the_slice():
    box = Box(5, 19, 16, 30).aligned(8)
    assert box == Box(0, 24, 16, 32)
    array = np.ones((20, 32), np.int16)
    read = box.read(array, -7)
    assert read.shape == (24, 16)
    assert (read[:20] == 1).all() and (read[20:] == -7).all()
    box.write(array, np.full(box.shape, 3, np.int16))
    assert (array[:, 16:] == 3).all() and (array[:, :16] == 1).all()


def test_the_box_around_a_mask_holds_all_of_it_and_grows_within_the_slice():
    mask = np.zeros((20, 30), np.uint8)
    mask[3, 7] = mask[9, 28] = 1
    box = Box.around(mask)
    assert box == Box(3, 10, 7, 29)
    assert mask[box.area].sum() == mask.sum()
    assert box.grown(4, mask.shape) == Box(0, 14, 3, 30)
