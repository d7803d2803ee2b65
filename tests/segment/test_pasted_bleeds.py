"""pasted_bleeds.py: a bleed lies where its type lies, and nothing else of the slice changes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recursive_expand.phantom import CLASSES, make_slice
from recursive_expand.segment.fitted_head import FittedHead
from recursive_expand.segment.pasted_bleeds import AT_THE_TABLE, LEAST_DEPTH_MM, SIZES, Donor, paste_bleed

_CLEAN = make_slice(3, size=128, bleeds=[])
HU, HEAD = _CLEAN.hu[0], FittedHead.of(_CLEAN.hu[0], _CLEAN.spacing[1:])


def _donor(kind: str) -> Donor:
    phantom = make_slice(11, size=128, bleeds=[kind])
    mask = phantom.mask[0] == CLASSES.index(kind) + 1
    return Donor(phantom.hu[0], mask, kind, FittedHead.of(phantom.hu[0], phantom.spacing[1:]))


DONORS = {kind: _donor(kind) for kind in CLASSES}


@given(kind=st.sampled_from(CLASSES), seed=st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_a_bleed_lies_where_its_type_lies(kind, seed):
    donor = DONORS[kind]
    made = paste_bleed(donor, HU, HEAD, np.random.default_rng(seed))
    if made is None:
        return
    hu, mask = made
    assert np.array_equal(hu[~mask], HU[~mask])
    depth, theirs = HEAD.polar.depth[mask], donor.head.polar.depth[donor.mask]
    if kind in AT_THE_TABLE and np.median(theirs) < 10:
        assert np.median(depth) == pytest.approx(np.median(theirs), abs=2.0)
    else:
        assert depth.min() > LEAST_DEPTH_MM
    size = np.count_nonzero(mask) * HEAD.plane.pixel**2
    of_donor = np.count_nonzero(donor.mask) * donor.head.plane.pixel**2
    assert 0.7 * SIZES[0] ** 2 < size / of_donor < 1.3 * SIZES[1] ** 2


@pytest.mark.parametrize("kind", CLASSES)
def test_all_types_find_a_place(kind):
    made = [paste_bleed(DONORS[kind], HU, HEAD, np.random.default_rng(n)) for n in range(8)]
    found = [one for one in made if one is not None]
    assert len(found) >= 5
    assert len({mask.tobytes() for _, mask in found}) > 1  # not always the same
    brighter = [np.median(hu[mask]) - np.median(HU[HEAD.soft]) for hu, mask in found]
    assert np.median(brighter) > 10


def test_what_finds_no_place_is_not_pasted():
    donor = DONORS["intraparenchymal"]
    everything = Donor(donor.hu, donor.head.polar.depth > -9, "intraparenchymal", donor.head)
    assert paste_bleed(everything, HU, HEAD, np.random.default_rng(0)) is None
