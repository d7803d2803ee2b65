"""Tilted slices: what they cut is what level slices of the same head have at those heights."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recursive_expand.phantom.bleeds import Epidural
from recursive_expand.phantom.canvas import Plane
from recursive_expand.phantom.outline import ANGLES, THETA, VERTEX, Outline
from recursive_expand.phantom.varied_bleeds import draw_bleeds
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


@pytest.mark.parametrize("z", [20.0, 60.0, 100.0])
def test_bleeds_lie_about_the_slice_however_it_is_tilted(z):
    """By as much above or below the slice, at the place of their middle, as on a level one."""
    outline = Outline.draw(1)
    for seed in range(20):
        found = []
        for plane in (_plane(z), _plane(z, 0.1, 0.4), _plane(z, -0.1, -0.4)):
            ring = outline.on(plane)
            bleeds = draw_bleeds(np.random.default_rng(seed), plane, ring)
            found.append([(type(bleed), bleed.level - bleed.height_on(plane, ring)) for bleed in bleeds])
        level, up, down = found
        assert [kind for kind, _ in level] == [kind for kind, _ in up] == [kind for kind, _ in down]
        np.testing.assert_allclose([away for _, away in up], [away for _, away in level], atol=1e-9)
        np.testing.assert_allclose([away for _, away in down], [away for _, away in level], atol=1e-9)


def test_a_bleed_s_place_on_a_tilted_slice_is_higher_where_the_slice_is():
    plane = _plane(60.0, 0.0, 0.4)  # rising towards posterior
    ring = Outline.draw(1).on(plane)
    common = {"side": 1, "level": 60.0, "hu": 65.0, "mixed": 0.0}
    shape = {"half": 25, "thickest": 14, "height": 25, "swelling": 0}
    behind, front = (Epidural(**common, angle=angle, **shape).height_on(plane, ring) for angle in (1.2, -1.2))
    assert 80 < behind < 95 and 25 < front < 40


def test_blood_of_tilted_heads_lies_below_the_inner_table(monkeypatch):
    monkeypatch.setattr("recursive_expand.phantom.varied_head.LEVEL", 0.0)
    bloody = [one for one in (paint_varied(3, number, pixel=4.0) for number in range(60)) if one.mask.any()]
    assert len(bloody) > 25
    for one in bloody:
        assert one.depth[one.mask > 0].min() > -4.0


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
