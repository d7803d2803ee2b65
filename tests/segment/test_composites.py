"""composites.py: so many examples, the same every time, each round its own."""

from __future__ import annotations

import numpy as np
import pytest

from recursive_expand.errors import InputError
from recursive_expand.phantom import CLASSES, make_slice
from recursive_expand.segment.composites import CleanSlice, painted_examples, pasted_examples
from recursive_expand.segment.examples import IGNORE, Example


@pytest.fixture(scope="module")
def clean():
    """Two slices with an outline, and one of air."""
    found = [CleanSlice("air:0", np.full((96, 96), -1000, np.int16), (2.5, 2.5))]
    for seed in (3, 4):
        phantom = make_slice(seed, size=96, bleeds=[])
        found.append(CleanSlice(f"head{seed}:0", phantom.hu[0], phantom.spacing[1:]))
    return found


@pytest.fixture(scope="module")
def donors():
    """A subdural bleed as class 2 of the tiny task, an epidural one as class 1, and a slice without a mask."""
    examples = []
    for value, kind in enumerate(("epidural", "subdural"), start=1):
        phantom = make_slice(11, size=96, bleeds=[kind])
        target = np.where(phantom.mask[0] == CLASSES.index(kind) + 1, value, 0).astype(np.uint8)
        target[0] = IGNORE
        examples.append(Example(f"{kind}:0", phantom.hu[0], target, True, phantom.spacing[1:]))
    nothing = Example("nothing:0", examples[0].hu, np.zeros_like(examples[0].target), True, examples[0].spacing)
    return [*examples, nothing]


@pytest.mark.parametrize("how", ["painted", "pasted"])
def test_each_round_has_its_own_the_same_every_time(make_settings, clean, donors, how):
    settings = make_settings(working_spacing=3.0)

    def made(round_index):
        if how == "painted":
            return list(painted_examples(settings, clean, 3, round_index))
        return list(pasted_examples(settings, clean, donors, 3, round_index))

    first, again, later = made(1), made(1), made(2)
    assert len(first) == len(later) == 3
    assert len({one.key for one in first + later}) == 6
    for one, same in zip(first, again, strict=True):
        assert one.key == same.key
        assert np.array_equal(one.hu, same.hu) and np.array_equal(one.target, same.target)
    assert not any(np.array_equal(a.hu, b.hu) for a, b in zip(first, later, strict=True))
    for one in first:
        assert one.with_dice and not one.accepted and "air" not in one.key
        assert one.spacing == pytest.approx((3.0, 3.0), rel=0.02)
        assert set(np.unique(one.target)) <= {0, 1, 2, IGNORE}


def test_what_is_pasted_is_of_the_donor_s_type(make_settings, clean, donors):
    for one in pasted_examples(make_settings(), clean, donors, 5, 0):
        value = 1 if "epidural" in one.key else 2
        assert set(np.unique(one.target)) == {0, value}


def test_without_clean_slices_or_masks_nothing_is_made(make_settings, clean, donors):
    settings = make_settings()
    assert list(painted_examples(settings, clean[:1], 3, 0)) == list(painted_examples(settings, [], 3, 0)) == []
    assert (
        list(pasted_examples(settings, clean, donors[2:], 3, 0))
        == list(pasted_examples(settings, [], donors, 3, 0))
        == []
    )


def test_synthetic_bleeds_are_of_their_types_alone(make_settings, clean):
    spleen = make_settings(classes=("spleen",), painted_share=0.5)
    with pytest.raises(InputError, match=r"painted_share 0.5: synthetic bleeds show no spleen; set it to 0"):
        next(painted_examples(spleen, clean, 1, 0))
