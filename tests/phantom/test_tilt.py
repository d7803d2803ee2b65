"""Tilted slices: what they cut is what level slices of the same head have at those heights."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recursive_expand.phantom.canvas import Plane
from recursive_expand.phantom.outline import ANGLES, THETA, VERTEX, Outline
from recursive_expand.phantom.varied_head import LEAN, LEVEL, TILT, paint_varied

slope = st.floats(-0.45, 0.45)
AXIS = np.arange(-80, 81, 4, dtype=np.float32)


def _plane(z: float, along_x: float = 0.0, along_y: float = 0.0) -> Plane:
    x, y = AXIS[None, :] + np.zeros((len(AXIS), 1), np.float32), AXIS[:, None] + np.zeros((1, len(AXIS)), np.float32)
    return Plane(x, y, z, 4.0, AXIS, AXIS, (along_x, along_y))


@given(z=st.floats(-10, 105), along_x=slope, along_y=slope, seed=st.integers(0, 5), angle=st.integers(0, ANGLES - 1))
def test_a_tilted_outline_is_at_each_angle_the_level_one_of_that_height(z, along_x, along_y, seed, angle):
    outline = Outline.draw(seed)
    ring = outline.on(_plane(z, along_x, along_y))
    height = np.broadcast_to(ring.height, ANGLES)[angle]
    level = outline.on(_plane(float(height)))
    assert ring.inner[angle] == pytest.approx(level.inner[angle], abs=1e-6)
    where = ring.inner[angle] * np.cos(THETA[angle]), ring.inner[angle] * np.sin(THETA[angle])
    if height < VERTEX - 5:  # above, half a millimetre more or less is far along the bone
        assert height == pytest.approx(z + along_x * where[0] + along_y * where[1], abs=0.5)


@settings(deadline=None)  # the tube's distance is compiled
@given(
    z=st.floats(20, 60), along_x=slope, along_y=slope, centre=st.tuples(*[st.floats(-40, 40)] * 2, st.floats(20, 60))
)
def test_a_ball_is_cut_where_the_slice_meets_it(z, along_x, along_y, centre):
    plane = _plane(z, along_x, along_y)
    height = np.broadcast_to(plane.height, plane.x.shape)
    away = np.sqrt((plane.x - centre[0]) ** 2 + (plane.y - centre[1]) ** 2 + (height - centre[2]) ** 2)
    ball = plane.ellipsoid(centre, (15, 15, 15))
    tube = plane.chain(np.array([(*centre, 15.0), (*centre, 15.0)]))
    clear = np.abs(away - 15) > 0.01
    assert np.array_equal((ball > 0)[clear], (away < 15)[clear])
    assert np.array_equal((tube > 0)[clear], (away < 15)[clear])


def test_a_slice_without_slope_has_one_height():
    assert _plane(31.5).height == 31.5 and _plane(31.5).heights == (31.5, 31.5)


def test_most_heads_are_tilted_and_the_rest_lie_level(monkeypatch):
    slopes = []

    class Seen(Plane):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            slopes.append(self.slope)

    monkeypatch.setattr("recursive_expand.phantom.varied_head.Plane", Seen)
    for number in range(60):
        paint_varied(11, number, pixel=6.0)
    drawn = np.degrees(np.arctan(np.array(list(dict.fromkeys(slopes)))))
    tilted = drawn[np.any(drawn != 0, axis=1)]
    assert len(tilted) == pytest.approx((1 - LEVEL) * 60, abs=12)
    assert np.abs(tilted[:, 0]).max() <= LEAN < np.abs(tilted[:, 1]).max() <= TILT
    assert tilted[:, 1].min() < -TILT / 2 and tilted[:, 1].max() > TILT / 2
