"""Bleed types: their shapes, places and densities."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import binary_dilation, distance_transform_edt
from skimage.morphology import convex_hull_image

from recursive_expand.phantom import CLASSES, Phantom, Tissue, make_head, make_slice
from recursive_expand.phantom.bleeds import Epidural, Intraventricular, Subdural, draw_bleed
from recursive_expand.phantom.canvas import Plane
from recursive_expand.phantom.outline import ANGLES, Outline
from recursive_expand.settings import load_settings

REPO = Path(__file__).parents[2]
SEEDS = range(6)


def slices_of(kind: str) -> list[Phantom]:
    return [make_slice(seed, size=128, bleeds=[kind]) for seed in SEEDS]


def test_values_follow_the_task() -> None:
    assert load_settings(REPO / "apps" / "recursive_ich" / "task.yaml").task.classes == CLASSES


@pytest.mark.parametrize("kind", CLASSES)
def test_blood_is_denser_than_the_brain(kind: str) -> None:
    for phantom in slices_of(kind):
        hu, blood = phantom.hu[0], phantom.mask[0] > 0
        assert 42 <= np.median(hu[blood]) <= 82
        brain = np.isin(phantom.tissue[0], (Tissue.GREY, Tissue.WHITE))
        assert hu[blood].mean() > hu[brain].mean() + 9


@pytest.mark.parametrize("kind", CLASSES)
def test_the_mask_is_where_blood_changed_the_head(kind: str) -> None:
    """14 slices cover the whole head, so that the head without the bleed has the same slices and noise."""
    for seed in (1, 2):
        bled = make_head(seed, size=96, slices=14, bleeds=[kind])
        clean = make_head(seed, size=96, slices=14, bleeds=[])
        blood = bled.mask > 0
        change = bled.hu.astype(int) - clean.hu
        assert np.median(change[blood]) > 12
        ring = binary_dilation(blood, np.ones((1, 7, 7))) & ~binary_dilation(blood, np.ones((1, 3, 3)))
        ring &= np.isin(bled.tissue, (Tissue.GREY, Tissue.WHITE, Tissue.OEDEMA))
        assert abs(np.median(change[ring])) < 6


@pytest.mark.parametrize("kind", ["intraventricular", "subarachnoid"])
def test_blood_in_csf_spaces_changes_nothing_else(kind: str) -> None:
    bled = make_head(3, size=96, slices=14, bleeds=[kind])
    clean = make_head(3, size=96, slices=14, bleeds=[])
    far = ~binary_dilation(bled.mask > 0, np.ones((1, 7, 7)))
    # The thinnest blood fills less than half of a voxel: it shows, but nobody would outline it.
    assert (bled.hu[far] != clean.hu[far]).mean() < 0.002
    if kind == "intraventricular":
        assert (clean.tissue[bled.mask > 0] == Tissue.CSF).mean() > 0.8


@pytest.mark.parametrize("kind", ["epidural", "subdural"])
def test_extra_axial_blood_touches_the_skull(kind: str) -> None:
    for phantom in slices_of(kind):
        blood, bone = phantom.mask[0] > 0, phantom.tissue[0] == Tissue.BONE
        assert (binary_dilation(bone, iterations=2) & blood).sum() * phantom.spacing[1] > 30


def test_subdural_blood_is_much_longer_than_thick_and_epidural_is_not() -> None:
    def slenderness(phantom: Phantom) -> float:
        blood = phantom.mask[0] > 0
        thickness = 2 * distance_transform_edt(blood).max()
        return blood.sum() / thickness**2

    subdural = [slenderness(p) for p in slices_of("subdural")]
    epidural = [slenderness(p) for p in slices_of("epidural")]
    assert min(subdural) > 4
    assert max(epidural) < 4
    assert np.median(subdural) > 2.5 * np.median(epidural)


def test_an_epidural_lens_is_biconvex() -> None:
    """It fills its convex hull; a crescent does not."""

    def solidity(phantom: Phantom) -> float:
        blood = phantom.mask[0] > 0
        return blood.sum() / convex_hull_image(blood).sum()

    assert min(solidity(p) for p in slices_of("epidural")) > 0.85
    assert max(solidity(p) for p in slices_of("subdural")) < 0.75


def test_subdural_blood_stays_on_its_side_and_epidural_ends_where_it_says() -> None:
    axis = np.zeros(1, np.float32)
    plane = Plane(axis[:, None], axis[:, None], 50.0, 1.0, axis, axis)
    ring = Outline.draw(1).on(plane)
    common = {"side": 1, "level": 50.0, "hu": 65.0, "mixed": 0.0, "angle": 0.0}
    crescent = Subdural(**common, half=140, thickest=9, height=40).thickness(ring)
    right = np.r_[0 : ANGLES // 4, ANGLES * 3 // 4 : ANGLES]
    assert not crescent[right].any()
    lens = Epidural(**common, half=25, thickest=14, height=25, swelling=0)
    thickness = lens.thickness(ring)
    length = np.ptp(ring.arc[thickness > 0])
    assert length == pytest.approx(50, abs=1)
    assert thickness.max() == pytest.approx(14, abs=0.1)
    assert not lens.thickness(replace(ring, height=76.0)).any()


def test_layered_blood_is_in_the_back_of_the_ventricles() -> None:
    layered = 0
    for seed in range(20):
        phantom = make_slice(seed, size=96, bleeds=["intraventricular"])
        bleed = draw_bleed(seed, "intraventricular", span=(48, 48))
        assert isinstance(bleed, Intraventricular)
        if not bleed.cast:
            layered += 1
            assert np.nonzero(phantom.mask[0])[0].min() > 48
    assert layered > 5


def test_subarachnoid_blood_is_thin() -> None:
    for phantom in slices_of("subarachnoid"):
        depth = distance_transform_edt(phantom.mask[0] > 0) * phantom.spacing[1]
        assert np.median(depth[depth > 0]) < 3.0


def test_oedema_surrounds_intraparenchymal_blood_outside_the_mask() -> None:
    for phantom in slices_of("intraparenchymal"):
        oedema = phantom.tissue[0] == Tissue.OEDEMA
        assert oedema.any()
        assert not phantom.mask[0][oedema].any()
        assert (binary_dilation(phantom.mask[0] > 0, iterations=2) & oedema).any()
