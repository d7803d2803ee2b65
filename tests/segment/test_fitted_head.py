"""fitted_head.py: the outline is the skull's, however the head lies; a slice without one has none."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from recursive_expand.phantom import make_slice
from recursive_expand.phantom.canvas import INTRACRANIAL
from recursive_expand.segment.fitted_head import FittedHead


@pytest.fixture(scope="module")
def phantom():
    return make_slice(5, size=128, bleeds=["intraparenchymal"])


def _oval(turn: float, shift: tuple[float, float], *, spacing=(1.5, 1.5), size=150):
    """A skull of 62 x 78 mm inside, 6 mm thick, turned and shifted; and its inside."""
    down, across = np.meshgrid(*((np.arange(size) - size / 2) * mm for mm in spacing), indexing="ij")
    down, across = down - shift[0], across - shift[1]
    x = np.cos(turn) * across - np.sin(turn) * down
    y = np.sin(turn) * across + np.cos(turn) * down
    radius = np.hypot(x / 62, y / 78)
    hu = np.full((size, size), -1000, np.int16)
    hu[radius < 1.09] = 900
    hu[radius < 1] = 32
    return hu, radius < 1


@given(
    turn=st.floats(-0.4, 0.4),
    shift=st.tuples(st.floats(-12, 12), st.floats(-12, 12)),
    windowed=st.booleans(),
)
@settings(max_examples=8, deadline=None)
def test_an_oval_is_found_however_it_lies(turn, shift, windowed):
    hu, inside = _oval(turn, shift)
    head = FittedHead.of(np.clip(hu, -20, 100) if windowed else hu, (1.5, 1.5))
    assert np.count_nonzero((head.polar.depth > 0) ^ inside) < 0.04 * np.count_nonzero(inside)
    assert np.arctan2(head.axes[1, 1], head.axes[1, 0]) == pytest.approx(turn, abs=0.06)
    # Millimetres back to pixels.
    rows, columns = head.pixels(head.plane.x, head.plane.y)
    assert np.abs(rows - np.arange(150)[:, None]).max() < 0.01 and np.abs(columns - np.arange(150)).max() < 0.01


def test_the_outline_of_a_synthetic_head_is_its_inner_table(phantom):
    head = FittedHead.of(phantom.hu[0], phantom.spacing[1:])
    inside = ndimage.binary_fill_holes(np.isin(phantom.tissue[0], list(INTRACRANIAL)))
    found = head.polar.depth > 0
    assert 2 * np.count_nonzero(found & inside) / (found.sum() + inside.sum()) > 0.97
    assert np.count_nonzero((phantom.mask[0] > 0) & ~found) == 0


def test_without_a_closed_skull_there_is_no_outline():
    hu, _ = _oval(0.0, (0, 0))
    assert FittedHead.of(np.full_like(hu, -1000), (1.5, 1.5)) is None
    small = hu[::3, ::3]
    assert FittedHead.of(small, (1.5, 1.5)) is None  # the vertex: a third of the size
    broken = hu.copy()
    broken[60:90, :75] = np.where(broken[60:90, :75] > 0, 40, broken[60:90, :75])  # a fracture into a swollen scalp
    broken[50:100, 15:36] = 40
    head = FittedHead.of(broken, (1.5, 1.5))
    assert head is None or head.polar.depth[75, 20] < 0
