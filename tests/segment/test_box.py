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
