"""The compiled distance to a tube is numpy's, to the bit."""

from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from recursive_expand.phantom.tubes import deepen

mm = st.floats(-90, 90, width=32)


@settings(deadline=None)  # it compiles
@given(
    x=arrays(np.float32, (5, 4), elements=mm),
    y=arrays(np.float32, (5, 4), elements=mm),
    z=st.floats(0, 110),
    points=arrays(np.float64, (3, 4), elements=st.floats(0.25, 80)),
    flatten=st.floats(0.1, 1),
)
def test_pixels_get_the_depth_that_numpy_computes(x, y, z, points, flatten):
    expected = np.full(x.shape, -99, np.float32)
    for start, end in pairwise(points):
        along = end - start
        height, rise = (z - start[2]) * flatten, along[2] * flatten
        length = float(along[0] ** 2 + along[1] ** 2 + rise**2) or 1.0
        a, b = (np.float32(value) for value in along[:2])
        dx, dy = x - np.float32(start[0]), y - np.float32(start[1])
        t = np.clip((dx * a + dy * b + np.float32(height * rise)) / np.float32(length), np.float32(0), np.float32(1))
        square = (dx - t * a) ** 2 + (dy - t * b) ** 2 + (np.float32(height) - t * np.float32(rise)) ** 2
        depth = np.float32(start[3]) + t * np.float32(along[3]) - np.sqrt(square)
        np.maximum(expected, depth, out=expected)
    found = np.full(x.shape, -99, np.float32)
    deepen(found, x, y, z, points, flatten)
    np.testing.assert_array_equal(found, expected)


def test_views_are_changed_in_place():
    whole = np.full((6, 6), -99, np.float32)
    x, y = (axis.astype(np.float32) for axis in np.meshgrid(np.arange(3), np.arange(2)))
    deepen(whole[2:4, 1:4], x, y, 5.0, np.array([(0, 0, 5, 2.0), (2, 0, 5, 2.0)]), 1.0)
    assert whole[2, 1] == whole[2, 3] == 2
    assert whole[3, 2] == 1
    assert np.count_nonzero(whole != -99) == 6
