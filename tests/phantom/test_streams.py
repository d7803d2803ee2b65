"""Seeded streams and smooth fields."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recursive_expand.phantom.streams import SmoothField, spline_weights, stream


def test_streams_differ_by_name_and_index() -> None:
    draws = {stream(1, name, *index).integers(2**40) for name in "ab" for index in ((), (0,), (1,))}
    # No index and index 0 may be one stream; nothing else may.
    assert len(draws) >= 4


@given(st.lists(st.floats(-3, 12), min_size=1, max_size=8), st.booleans())
def test_spline_weights_sum_to_one(position: list[float], periodic: bool) -> None:
    weights = spline_weights(np.array(position), 9, periodic=periodic)
    assert weights.sum(axis=1) == pytest.approx(1)
    assert (weights >= 0).all()


def test_a_field_is_smooth_with_unit_variance() -> None:
    field = SmoothField.draw(3, "test", spacing=6.0)
    axis = np.arange(-100, 100, 1.0)
    plane = field.at(20.0, axis, axis)
    assert plane.shape == (200, 200)
    assert 0.7 < plane.std() < 1.3
    assert np.abs(np.diff(plane, axis=0)).mean() < 0.3


def test_a_field_joins_neighbouring_slices() -> None:
    field = SmoothField.draw(3, "test", spacing=6.0)
    axis = np.arange(-50, 50, 2.0)
    near, far = (np.abs(field.at(20.0, axis, axis) - field.at(20.0 + dz, axis, axis)).mean() for dz in (0.5, 12.0))
    assert near < far / 4
