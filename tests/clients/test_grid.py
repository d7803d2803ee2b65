"""The server's slices in Slicer's volume, whichever way either runs."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from .conftest import library

grid, nrrd = library("grid"), library("nrrd")

RIGHT = np.diag([-1.0, -1.0, 3.0, 1.0])


def mask(shape=(4, 5, 6), slices=(1, 2), axis=2):
    voxels = np.zeros(shape, np.uint8)
    np.moveaxis(voxels, axis, 0)[list(slices)] = 1
    return voxels


@given(
    turned=st.tuples(st.booleans(), st.booleans(), st.booleans()),
    axis=st.integers(0, 2),
    data=st.data(),
)
def test_numbers_survive_any_turn(turned, axis, data):
    shape = (4, 5, 6)
    marked = data.draw(st.sets(st.integers(0, shape[axis] - 1), min_size=1))
    native = mask(shape, marked, axis)
    # The slice axis is the one that runs upwards.
    ijk_to_ras = np.eye(4)
    ijk_to_ras[:3, :3] = np.roll(np.diag([-1.0, -2.0, 3.0]), axis - 2, axis=1)
    volume = ijk_to_ras.copy()
    for each in (number for number in range(3) if turned[number]):
        volume[:3, 3] += volume[:3, each] * (shape[each] - 1)
        volume[:3, each] *= -1
    found = grid.Grid.of(nrrd.Mask(native, ijk_to_ras), shape, volume, sorted(marked))
    assert (found.slice_axis, found.turned) == (axis, turned)
    shown = found.to_volume(native).transpose(2, 1, 0)
    for number in range(shape[axis]):
        place = found.centre(number)
        assert found.number(place) == number
        assert shown[tuple(int(each) for each in place)] == (number in marked)
    assert found.number([-1.0] * 3) is None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (dict(shape=(4, 5, 7)), "4x5x6 voxels, the image 4x5x7"),
        (dict(volume=RIGHT + np.eye(4, k=3)), "1.00 mm beside the image"),
        (dict(slices=(1, 3)), "other slices than the 2"),
    ],
)
def test_what_does_not_lie_on_the_image_is_refused(change, said):
    given = dict(shape=(4, 5, 6), volume=RIGHT, slices=(1, 2)) | change
    with pytest.raises(grid.NotOnTheGrid, match=said):
        grid.Grid.of(nrrd.Mask(mask(), RIGHT), given["shape"], given["volume"], given["slices"])
