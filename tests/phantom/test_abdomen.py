"""Abdomens: seeded, two scanners, a spleen that is where the mask says."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import binary_erosion

from recursive_expand.errors import InputError
from recursive_expand.phantom import Abdomen, make_abdomen


@pytest.fixture(scope="module")
def abdomen() -> Abdomen:
    return make_abdomen(1, size=96, slices=8)


def test_arrays_are_ct_slices_with_a_mask_of_one_class(abdomen):
    assert abdomen.hu.shape == abdomen.mask.shape == (8, 96, 96)
    assert (abdomen.hu.dtype, abdomen.mask.dtype) == (np.int16, np.uint8)
    assert set(np.unique(abdomen.mask)) == {0, 1}
    assert -1100 < abdomen.hu.min() < -950 and 250 < abdomen.hu.max() < 400


def test_the_spleen_ends_within_and_its_slices_are_named(abdomen):
    present = abdomen.mask.any(axis=(1, 2))
    assert not present[0] and present[3:6].all()
    assert abdomen.classes == tuple(frozenset({"spleen"}) if one else frozenset() for one in present)


@pytest.mark.parametrize("seed", range(6))
def test_the_mask_holds_spleen_on_the_left_and_behind(seed):
    abdomen = make_abdomen(seed)
    k, rows, columns = np.nonzero(abdomen.mask)
    world = abdomen.affine @ [columns.mean(), rows.mean(), k.mean(), 1]
    assert world[0] < -60 and world[1] < -15  # RAS: left and posterior are negative
    inside = abdomen.hu[abdomen.mask == 1]
    assert 110 < np.median(inside) < 140
    volume_ml = abdomen.mask.sum() * np.prod(abdomen.spacing) / 1000
    assert 120 < volume_ml < 320


def test_gas_lies_in_the_body_and_air_around_it(abdomen):
    middle = abdomen.hu[5]
    assert (middle[:4] < -900).all()
    row = 48 + int(-66 / abdomen.spacing[1])
    assert (middle[row - 4 : row + 8, 48:72] < -700).any()


def test_the_same_seed_gives_the_same_abdomen_and_another_seed_another(abdomen):
    again = make_abdomen(1, size=96, slices=8)
    assert np.array_equal(again.hu, abdomen.hu) and np.array_equal(again.mask, abdomen.mask)
    assert not np.array_equal(make_abdomen(2, size=96, slices=8).mask, abdomen.mask)


def test_the_sharp_scanner_is_noisier_and_off_its_calibration():
    thick, sharp = (make_abdomen(3, domain=domain) for domain in ("thick", "sharp"))
    assert np.array_equal(thick.mask, sharp.mask)
    inside = binary_erosion(thick.mask, np.ones((1, 3, 3), bool))  # partial volume at the border is no noise
    (quiet, level), (noisy, higher) = ((np.std(a.hu[inside]), np.mean(a.hu[inside])) for a in (thick, sharp))
    assert noisy > 1.5 * quiet and higher > level + 4


def test_the_field_of_view_does_not_depend_on_the_size():
    small, large = make_abdomen(4, size=48), make_abdomen(4, size=96)
    assert small.spacing[1] == pytest.approx(2 * large.spacing[1])
    ml = [a.mask.sum() * np.prod(a.spacing) / 1000 for a in (small, large)]
    assert ml[0] == pytest.approx(ml[1], rel=0.1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"seed": -1}, "seed = -1 must be at least 0"),
        ({"seed": 0, "size": 8}, "size = 8 must be at least 32"),
        ({"seed": 0, "slices": 0}, "slices = 0 must be at least 1"),
        ({"seed": 0, "domain": "odd"}, "domain = 'odd' must be one of thick, sharp"),
    ],
)
def test_a_wrong_value_is_named(arguments, message):
    with pytest.raises(InputError, match=message):
        make_abdomen(**arguments)
