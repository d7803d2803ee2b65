"""Tests of g: what each mode may and may not do."""

from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recursive_expand.segment import refine as refine_module
from recursive_expand.segment.refine import refine
from recursive_expand.segment.specks import drop_specks
from recursive_expand.settings import Refinement, Window

BRAIN = Window(level=40, width=80)
MODES = get_args(Refinement.model_fields["mode"].annotation)


def _square(inner, outer=35, blood=70):
    """A blood square of rows and columns 10..20 in brain, and a mask of the class 1 of `inner` rows and columns."""
    hu = np.full((32, 32), outer, np.int16)
    hu[10:20, 10:20] = blood
    mask = np.zeros((32, 32), np.uint8)
    mask[inner, inner] = 1
    return mask, hu


def _settings(mode, **changes):
    return Refinement(mode=mode, **{"sigma": 0.0, "scale": 10, "min_size": 4, "min_dice": 0.2, **changes})


@st.composite
def slices(draw):
    """A mask of up to three blobs of three classes, and an image."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    mask = np.zeros((24, 28), np.uint8)
    for _ in range(draw(st.integers(0, 3))):
        r, c, h, w = rng.integers(0, 20), rng.integers(0, 24), rng.integers(1, 9), rng.integers(1, 9)
        mask[r : r + h, c : c + w] = rng.integers(1, 4)
    hu = rng.normal(35, 10, mask.shape)
    hu[np.roll(mask, rng.integers(-2, 3), axis=1) > 0] += 35
    return mask, hu.astype(np.int16)


@given(slices(), st.sampled_from(MODES), st.floats(0, 1), st.floats(0, 1))
@settings(max_examples=60, deadline=None)
def test_properties(case, mode, overlap, min_dice):
    mask, hu = case
    before = mask.copy()
    refinement = _settings(mode, overlap=overlap, min_dice=min_dice)
    result = refine(mask, hu, refinement, BRAIN)
    assert np.array_equal(mask, before)
    assert result.dtype == np.uint8
    assert set(np.unique(result)) <= set(np.unique(mask)) | {0}
    assert (result[(mask > 0) & (result > 0)] == mask[(mask > 0) & (result > 0)]).all()  # no class becomes another
    if mode == "off":
        assert np.array_equal(result, mask)
    if mode == "shrink":
        assert not ((result > 0) & (mask == 0)).any()
    if mode == "grow":
        assert np.array_equal(result[mask > 0], mask[mask > 0])
    assert np.array_equal(result, refine(mask, hu, refinement, BRAIN))


def test_shrink_drops_what_leaks_out_of_the_blood():
    mask, hu = _square(slice(8, 20))
    assert np.array_equal(refine(mask, hu, _settings("shrink"), BRAIN) > 0, hu == 70)


def test_grow_fills_the_blood():
    mask, hu = _square(slice(11, 20))
    assert np.array_equal(refine(mask, hu, _settings("grow"), BRAIN) > 0, hu == 70)


def test_objectness_replaces_the_component_by_the_object():
    mask, hu = _square(slice(9, 19))
    assert np.array_equal(refine(mask, hu, _settings("objectness"), BRAIN) > 0, hu == 70)


def test_growing_stops_at_another_class():
    mask, hu = _square(slice(10, 19))
    mask[19, 10:20] = 2
    result = refine(mask, hu, _settings("grow", overlap=0.3), BRAIN)
    assert (result[19, 10:20] == 2).all()
    assert (result[10:19, 10:20] == 1).all()


def test_a_result_that_hardly_agrees_is_refused():
    mask, hu = _square(slice(10, 12))
    assert np.count_nonzero(refine(mask, hu, _settings("objectness", overlap=0, min_dice=0), BRAIN)) >= 100
    assert np.array_equal(refine(mask, hu, _settings("objectness", overlap=0, min_dice=0.5), BRAIN), mask)


@pytest.mark.parametrize("mode", MODES)
def test_empty_stays_empty(mode):
    mask, hu = _square(slice(0, 0))
    assert not refine(mask, hu, _settings(mode), BRAIN).any()


def test_what_is_far_away_does_not_matter():
    mask, hu = _square(slice(9, 19))
    refinement = _settings("objectness", margin=4)
    alone = refine(mask, hu, refinement, BRAIN)
    hu[28:] = 90
    mask[29:, 29:] = 1
    assert np.array_equal(refine(mask, hu, refinement, BRAIN)[:25], alone[:25])


@given(slices(), st.sampled_from(MODES), st.integers(1, 60))
@settings(max_examples=60, deadline=None)
def test_sparing_specks_that_are_dropped_afterwards_changes_nothing(case, mode, min_pixels):
    mask, hu = case
    refinement = _settings(mode, margin=2)
    spared = refine(mask, hu, refinement, BRAIN, min_pixels=min_pixels)
    expected = drop_specks(refine(mask, hu, refinement, BRAIN), min_pixels=min_pixels)
    assert np.array_equal(drop_specks(spared, min_pixels=min_pixels), expected)


def test_specks_far_from_anything_large_are_not_segmented(monkeypatch):
    mask, hu = _square(slice(9, 19))
    mask[0, 31] = mask[31, 0] = 1
    segmented = []
    monkeypatch.setattr(
        refine_module, "felzenszwalb", lambda image, **_: segmented.append(image.shape) or (image > 0.7)
    )
    refine(mask, hu, _settings("shrink", margin=2), BRAIN, min_pixels=4)
    assert segmented == [(14, 14)]


def test_shapes_must_agree():
    with pytest.raises(ValueError, match=r"\(2, 2\).*\(2, 3\)"):
        refine(np.zeros((2, 2), np.uint8), np.zeros((2, 3), np.int16), Refinement(), BRAIN)
