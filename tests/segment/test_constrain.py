"""Tests of masks under image-level labels."""

import math

import numpy as np
import pytest
import torch

from recursive_expand.segment.constrain import constrain

CLASSES = ("epidural", "subdural", "subarachnoid")


@pytest.fixture
def logits():
    return torch.randn(4, 9, 11, generator=torch.Generator().manual_seed(0)) * 3


def test_without_labels_the_mask_is_the_argmax(logits):
    found = constrain(logits, None, CLASSES, limit=0.3)
    assert np.array_equal(found.mask, logits.argmax(0).numpy())


@pytest.mark.parametrize("limit", [0.0, 0.05, 0.3, 0.9])
def test_no_pixel_that_may_reach_the_limit_is_left_out(logits, limit):
    found = constrain(logits, None, CLASSES, limit=limit)
    probabilities = logits.softmax(0).flatten(1).T.numpy()
    reached = np.flatnonzero(1 - probabilities[:, 0] >= limit)
    assert set(reached) <= set(found.pixels)
    np.testing.assert_allclose(found.probabilities, probabilities[found.pixels], atol=1e-6)


@pytest.mark.parametrize("threshold", [0.05, 0.4, 0.9])
def test_above_a_threshold_of_the_foreground_the_most_probable_class_is_taken(logits, threshold):
    found = constrain(logits, None, CLASSES, limit=0.3, thresholds=[threshold] * len(CLASSES))
    probabilities = logits.softmax(0).numpy()
    expected = np.where(1 - probabilities[0] > threshold, probabilities[1:].argmax(0) + 1, 0)
    assert np.array_equal(found.mask, expected)
    one = constrain(logits, frozenset({"subdural"}), CLASSES, limit=0.3, thresholds=[threshold] * len(CLASSES))
    assert np.array_equal(one.mask > 0, expected > 0)


def test_doubt_about_the_type_is_no_doubt_about_the_blood():
    logits = torch.tensor([0.36, 0.32, 0.32, 0.0]).log()[:, None, None]
    assert constrain(logits, None, CLASSES, limit=0.3).mask.item() == 0
    assert constrain(logits, None, CLASSES, limit=0.3, thresholds=[0.4] * len(CLASSES)).mask.item() == 1


def test_a_clean_slice_is_background(logits):
    found = constrain(logits, frozenset(), CLASSES, limit=0.3)
    assert not found.mask.any()
    assert not found.ignore_band(found.mask, 0.3, 0.7).any()


def test_with_one_class_all_foreground_is_that_class(logits):
    found = constrain(logits, frozenset({"subdural"}), CLASSES, limit=0.3)
    assert np.array_equal(found.mask > 0, logits.argmax(0).numpy() > 0)
    assert set(np.unique(found.mask)) == {0, 2}
    np.testing.assert_allclose(found.probabilities.sum(1), 1, atol=1e-5)
    assert (found.probabilities[:, [1, 3]] == 0).all()


def test_with_several_classes_the_others_are_ruled_out(logits):
    found = constrain(logits, frozenset({"epidural", "subarachnoid"}), CLASSES, limit=0.3)
    assert np.array_equal(found.mask, np.array([0, 1, 3])[logits[[0, 1, 3]].argmax(0).numpy()])
    assert (found.probabilities[:, 2] == 0).all()


def test_the_ignore_band_holds_doubt_and_what_g_changed():
    foreground = torch.tensor([0.1, 0.5, 0.6, 0.9, 0.95, 0.1])
    logits = torch.stack([torch.log(1 - foreground), torch.log(foreground)])[:, None]
    found = constrain(logits, None, ("epidural",), limit=0.3)
    assert found.mask[0, [0, 2, 3, 4, 5]].tolist() == [0, 1, 1, 1, 0]
    after_g = np.array([[0, 0, 1, 1, 0, 1]], np.uint8)
    assert found.ignore_band(after_g, 0.3, 0.7).tolist() == [[False, True, True, False, True, True]]


def test_confidence_is_the_mean_probability_of_the_masks_class():
    foreground = torch.tensor([0.1, 0.6, 0.9])
    logits = torch.stack([torch.log(1 - foreground), torch.log(foreground)])[:, None]
    found = constrain(logits, None, ("epidural",), limit=0.3)
    assert found.confidence(found.mask) == pytest.approx(0.75, abs=1e-6)
    assert math.isnan(found.confidence(np.zeros((1, 3), np.uint8)))


def test_an_unknown_class_is_named(logits):
    with pytest.raises(ValueError, match="tumour"):
        constrain(logits, frozenset({"tumour"}), CLASSES, limit=0.3)


def test_outside_the_region_all_is_background_without_doubt(logits):
    inside = np.zeros((9, 11), bool)
    inside[2:5, 3:8] = True
    whole = constrain(logits, None, CLASSES, limit=0.3)
    found = whole.within(inside)
    assert np.array_equal(found.mask, np.where(inside, whole.mask, 0)) and whole.mask[~inside].any()
    band = found.ignore_band(found.mask, 0.3, 0.7)
    assert np.array_equal(band, whole.ignore_band(whole.mask, 0.3, 0.7) & inside)


def test_each_class_has_its_own_threshold(logits):
    thresholds = (0.1, 0.6, None)
    found = constrain(logits, None, CLASSES, limit=0.3, thresholds=thresholds)
    probabilities = logits.softmax(0).numpy()
    likeliest = probabilities[1:].argmax(0)
    reached = [1 - probabilities[0] > 0.1, 1 - probabilities[0] > 0.6, probabilities[3] > probabilities[0]]
    assert np.array_equal(found.mask, np.where(np.choose(likeliest, reached), likeliest + 1, 0))
    one = constrain(logits, frozenset({"subdural"}), CLASSES, limit=0.3, thresholds=thresholds)
    assert np.array_equal(one.mask, np.where(1 - probabilities[0] > 0.6, 2, 0))
    two = constrain(logits, frozenset({"epidural", "subarachnoid"}), CLASSES, limit=0.3, thresholds=thresholds)
    assert set(np.unique(two.mask)) == {0, 1, 3}


def test_no_threshold_for_any_class_is_the_argmax(logits):
    found = constrain(logits, None, CLASSES, limit=0.3, thresholds=[None] * 3)
    assert np.array_equal(found.mask, constrain(logits, None, CLASSES, limit=0.3).mask)
