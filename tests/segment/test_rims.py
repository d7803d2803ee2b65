"""Components along the bone go, what reaches deeper stays."""

from __future__ import annotations

import numpy as np
import pytest

from recursive_expand.segment.rims import drop_rims


@pytest.fixture
def head():
    """Bone in the first 10 of 40 columns of 0.5 mm; under it a rim of 2 mm, a crescent of 5 mm, and a deep bleed."""
    hu, mask = np.full((60, 40), 35, np.int16), np.zeros((60, 40), np.uint8)
    hu[:, :10] = 900
    mask[2:18, 10:14] = 5
    mask[22:38, 10:20] = 1
    mask[42:50, 30:36] = 2
    return hu, mask


@pytest.mark.parametrize("top", [100, 3000])
def test_a_rim_goes_and_blood_that_reaches_deeper_stays_whole(head, top):
    hu, mask = head
    kept = drop_rims(mask, hu.clip(-20, top).astype(np.int16), (1.0, 0.5), min_depth=3)
    assert not kept[:20].any() and np.array_equal(kept[20:], mask[20:])
    assert mask[2:18, 10:14].all()  # what was given is as it was


def test_a_rim_of_two_classes_is_one_component(head):
    hu, mask = head
    mask[2:18, 14:18] = 1
    assert np.array_equal(drop_rims(mask, hu, (1.0, 0.5), min_depth=3), mask)


def test_nothing_is_dropped_far_from_bone_or_without_a_limit(head):
    hu, mask = head
    assert drop_rims(mask, hu, (1.0, 0.5), min_depth=0) is mask
    assert drop_rims(mask, np.full_like(hu, 35), (1.0, 0.5), min_depth=3) is not None
    mask[:40] = 0
    assert drop_rims(mask, hu, (1.0, 0.5), min_depth=3) is mask
