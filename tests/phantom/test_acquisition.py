"""acquisition.py: what is drawn anew for every look at a head."""

from __future__ import annotations

import numpy as np
import pytest

from recursive_expand.phantom.acquisition import FIELD_MM, _misread, _outside_the_field, _shaded, acquire
from recursive_expand.phantom.varied_head import paint_varied
from recursive_expand.segment.regions.intracranial import skull_interior


def _each(change, hu):
    return np.stack([change(hu, np.random.default_rng(seed)) for seed in range(60)])


@pytest.fixture(scope="module")
def head():
    """Air beside brain at 35 HU and blood at 75 HU."""
    hu = np.full((48, 60), -1000.0)
    hu[:, 20:] = 35.0
    hu[:, 50:] = 75.0
    return hu


@pytest.mark.parametrize("change", [_misread, _shaded])
def test_air_stays_air(head, change):
    assert (_each(change, head)[:, :, :20] == -1000).all()


def test_shading_is_smooth(head):
    brain = _each(_shaded, head)[:, :, 20:50]
    assert np.abs(np.diff(brain, axis=1)).max() < 4 and np.abs(np.diff(brain, axis=2)).max() < 4
    assert 4 < brain.std() < 9


def test_level_and_scale_are_misread_and_plateaus_stay_flat(head):
    read = _each(_misread, head)
    assert all(len(np.unique(one)) == 3 for one in read)
    level, scale = read[:, 0, 20], (read[:, 0, 50] - read[:, 0, 20]) / 40
    assert 3 < level.std() < 7 and scale.min() < 0.85 and scale.max() > 1.15


def test_pictures_end_in_plateaus_inside_which_the_blood_lies():
    """As real ones do: the skull is found by them."""
    pictures = blood = inside = 0
    for number in range(120):
        hu, mask = acquire(paint_varied(5, number, pixel=1.7), np.random.default_rng(number))
        if hu.max() > 400 or not mask.any():
            continue  # in HU, or clean
        pictures += 1
        assert np.count_nonzero(hu == hu.max()) > 100
        blood += np.count_nonzero(mask)
        inside += np.count_nonzero(mask[skull_interior(hu, (1.7, 1.7))])
    assert pictures > 10 and inside > 0.95 * blood


def test_a_field_of_view_too_small_leaves_out_the_rim_alone():
    smaller = 0
    for seed in range(60):
        outside = _outside_the_field((180, 150), 1.2, np.random.default_rng(seed))
        width = 1.2 * max((~outside).sum(axis).max() for axis in (0, 1))
        assert width <= FIELD_MM[1] + 1.2 and not outside[80:100, 65:85].any()
        smaller += outside.any()
    assert smaller > 45  # a square may be as large as the head's box


def test_nothing_is_marked_outside_the_field(monkeypatch):
    """And what lies there has one value, as air has."""
    monkeypatch.setattr("recursive_expand.phantom.acquisition.CUT_OFF", 1.0)
    monkeypatch.setattr("recursive_expand.phantom.acquisition.FIELD_MM", (90.0, 100.0))
    marked = 0
    for number in range(12):
        hu, mask = acquire(paint_varied(5, number, pixel=2.4), np.random.default_rng(number))
        assert len(np.unique(hu[:6])) == 1 and not mask[:6].any()
        marked += mask.any()
    assert marked
