"""Synthetic heads: seeds, tissues, geometry."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from recursive_expand.cases import Geometry
from recursive_expand.errors import InputError
from recursive_expand.phantom import CLASSES, Phantom, Tissue, make_head, make_slice
from recursive_expand.phantom.canvas import INTRACRANIAL


@pytest.fixture(scope="module")
def head() -> Phantom:
    return make_head(4, size=128, slices=9, bleeds=CLASSES)


def core(phantom: Phantom, tissue: Tissue) -> np.ndarray:
    """HU of voxels whose 4-neighbours in the slice are the same tissue: no partial volume."""
    own = phantom.tissue == tissue
    inner = own.copy()
    for axis in (1, 2):
        for step in (-1, 1):
            inner &= np.roll(own, step, axis)
    return phantom.hu[inner]


def test_the_same_seed_gives_the_same_head_whatever_was_made_before(head: Phantom) -> None:
    make_slice(77, size=64)
    again = make_head(4, size=128, slices=9, bleeds=tuple(reversed(CLASSES)))
    for field in dataclasses.fields(Phantom):
        assert np.array_equal(getattr(again, field.name), getattr(head, field.name)), field.name


def test_another_seed_gives_another_head(head: Phantom) -> None:
    other = make_head(5, size=128, slices=9, bleeds=CLASSES)
    assert (other.tissue != head.tissue).mean() > 0.02
    assert (other.mask != head.mask).any()


def test_arrays_have_the_declared_shapes_and_types(head: Phantom) -> None:
    assert head.hu.shape == head.mask.shape == head.tissue.shape == (9, 128, 128)
    assert (head.hu.dtype, head.mask.dtype, head.tissue.dtype) == (np.int16, np.uint8, np.uint8)
    assert head.hu.min() >= -1024
    assert head.hu.max() <= 3071


@pytest.mark.parametrize(
    ("tissue", "low", "high"),
    [
        (Tissue.AIR, -1010, -960),
        (Tissue.BONE, 600, 1400),
        (Tissue.CSF, 2, 15),
        (Tissue.WHITE, 26, 32),
        (Tissue.GREY, 34, 41),
        (Tissue.BLOOD, 50, 75),
        (Tissue.CALCIFICATION, 60, 330),
    ],
)
def test_tissues_have_their_densities(head: Phantom, tissue: Tissue, low: float, high: float) -> None:
    hu = core(head, tissue)
    assert len(hu) > 0
    assert low <= np.median(hu) <= high


def test_oedema_is_darker_than_the_brain_round_it() -> None:
    phantom = make_head(2, size=128, slices=6, bleeds=["intraparenchymal"])
    assert np.median(core(phantom, Tissue.OEDEMA)) < np.median(core(phantom, Tissue.WHITE)) - 3


def test_ventricles_change_from_slice_to_slice() -> None:
    phantom = make_head(3, size=96, slices=13, bleeds=[])
    middle = phantom.tissue[:, 30:66, 36:60] == Tissue.CSF
    areas = middle.sum(axis=(1, 2))
    assert areas.max() > 4 * max(1, np.median(areas))


def test_air_sinuses_lie_in_low_slices_alone() -> None:
    phantom = make_head(3, size=96, slices=13, bleeds=[])
    within = phantom.tissue[:, 16:50, 40:56] == Tissue.AIR
    assert within[0].any()
    assert not within[6:9].any()


def test_blood_lies_within_the_skull_and_is_what_the_mask_says(head: Phantom) -> None:
    assert np.array_equal(head.mask > 0, head.tissue == Tissue.BLOOD)
    blood = head.mask > 0
    for axis in (1, 2):
        # Somewhere on either side of every blood voxel stands bone.
        bone = head.tissue == Tissue.BONE
        before = np.maximum.accumulate(bone, axis)
        after = np.flip(np.maximum.accumulate(np.flip(bone, axis), axis), axis)
        assert (before & after)[blood].all()
    assert Tissue.BLOOD in INTRACRANIAL


def test_classes_are_those_of_the_mask(head: Phantom) -> None:
    for present, mask in zip(head.classes, head.mask, strict=True):
        assert present == {CLASSES[v - 1] for v in range(1, 6) if (mask == v).any()}


@pytest.mark.parametrize("domain", ["thick", "sharp"])
def test_every_bleed_asked_for_is_there(domain: str) -> None:
    for seed in range(12):
        for kind in CLASSES:
            assert make_slice(seed, size=64, bleeds=[kind], domain=domain).classes == ({kind},)
        assert frozenset().union(*make_head(seed, size=64, slices=3, bleeds=CLASSES, domain=domain).classes) == {
            *CLASSES
        }


def test_no_bleeds_no_mask() -> None:
    assert not make_head(1, size=64, slices=4, bleeds=[]).mask.any()


def test_drawn_bleeds_include_none_and_all_types() -> None:
    drawn = [frozenset().union(*make_head(seed, size=48, slices=3).classes) for seed in range(40)]
    assert frozenset() in drawn
    assert frozenset().union(*drawn) == {*CLASSES}


def test_bleeds_go_on_through_neighbouring_slices() -> None:
    phantom = make_head(6, size=96, slices=26, bleeds=["intraparenchymal", "subdural"])
    for value in (2, 5):
        masks = phantom.mask == value
        on = np.flatnonzero(masks.any(axis=(1, 2)))
        assert len(on) >= 3
        assert np.array_equal(on, np.arange(on[0], on[-1] + 1))
        assert all((masks[k] & masks[k + 1]).any() for k in on[:-1])


@pytest.mark.parametrize("size", [64, 128])
def test_the_field_of_view_stays_that_of_a_head(size: int) -> None:
    phantom = make_slice(1, size=size, bleeds=[])
    assert phantom.spacing[1] * size == pytest.approx(240)
    width = (phantom.tissue == Tissue.BONE).any(axis=(0, 1)).sum() * phantom.spacing[2]
    assert 120 < width < 175


def test_the_affine_is_radiological_and_sheared_by_tilt() -> None:
    phantom = make_head(3, size=64, slices=5, domain="sharp", bleeds=[])
    geometry = Geometry.of((64, 64, 5), phantom.affine)
    assert geometry.orientation.axes == (2, 1, 0)
    assert not geometry.orientation.flip_rows
    assert not geometry.orientation.flip_columns
    assert geometry.spacing == pytest.approx(phantom.spacing)
    directions = phantom.affine[:3, :3] / np.linalg.norm(phantom.affine[:3, :3], axis=0)
    assert phantom.tilt != 0
    assert directions[:, 1] @ directions[:, 2] == pytest.approx(-np.sin(np.radians(phantom.tilt)))


def test_with_a_tilted_gantry_the_head_drifts_through_the_image() -> None:
    tilted = next(
        p for p in (make_head(s, size=96, slices=6, domain="sharp", bleeds=[]) for s in range(9)) if p.tilt > 8
    )
    bone = tilted.tissue == Tissue.BONE
    middle = [np.flatnonzero(b.any(axis=1))[[0, -1]].mean() for b in bone[-3:]]
    step = tilted.spacing[0] * np.sin(np.radians(tilted.tilt)) / tilted.spacing[1]
    assert np.diff(middle).mean() == pytest.approx(step, abs=0.8)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"bleeds": ["extradural"]}, "extradural"),
        ({"size": 8}, "size 8"),
        ({"slices": 0}, "slices 0"),
        ({"domain": "mri"}, "mri"),
        ({"seed": -1}, "seed -1"),
    ],
)
def test_a_bad_argument_is_named(arguments: dict, text: str) -> None:
    with pytest.raises(InputError, match=text):
        make_head(**{"seed": 0, **arguments})
