"""Tests of the region `head`: slices without brain are told."""

import numpy as np
import pytest

from recursive_expand.segment.regions.body import body_box
from recursive_expand.segment.regions.head import Head, has_brain


def test_the_box_is_the_body_s_and_slices_without_brain_are_left_out(make_head):
    hu, _ = make_head(128)
    air = np.full((128, 128), -1000, np.int16)
    assert Head().box(hu) == body_box(hu)
    assert Head().worth_a_look(hu, (1.5, 1.5)) and not Head().worth_a_look(air, (1.5, 1.5))


@pytest.mark.parametrize("noise", [0, 15, 40])
def test_a_head_may_hold_blood_however_noisy(make_head, noise):
    hu, _ = make_head(256)
    hu = hu + np.random.default_rng(1).normal(0, noise, hu.shape).astype(np.int16)
    assert has_brain(hu, (0.7, 0.7))


def test_a_small_patch_of_brain_at_the_vertex_is_never_skipped():
    rows, columns = np.mgrid[:512, :512]
    radius = np.hypot(rows - 200, columns - 250) * 0.5  # mm
    hu = np.full((512, 512), -1000, np.int16)
    hu[radius < 14] = 900
    hu[radius < 9] = 60  # 2.5 cm2
    assert has_brain(hu, (0.5, 0.5))


@pytest.mark.parametrize("clip", [(-20, 100), (0, 80)])
def test_a_windowed_head_may_hold_blood(make_head, clip):
    hu, _ = make_head(256)
    assert has_brain(np.clip(hu, *clip), (0.7, 0.7))


def test_air_bone_and_a_thin_table_hold_no_brain():
    hu = np.random.default_rng(0).normal(-1000, 20, (512, 512)).astype(np.int16)
    assert not has_brain(hu, (0.5, 0.5))
    hu[480:484, 20:490] = 60  # 2 mm of table
    hu[200:240, 200:240] = 1200
    assert not has_brain(hu, (0.5, 0.5))


def test_a_spacing_that_no_ct_has_is_not_believed():
    hu = np.full((64, 64), -1000, np.int16)
    hu[30:34, 30:34] = 40
    assert has_brain(hu, (0.0005, 0.0005))
