"""typed_masks.py: each marked region gets a type of its slice, or the slice is left out with the reason."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recursive_expand.importers.bleed_types import ABBREVIATIONS, OUTSIDE_IN
from recursive_expand.importers.typed_masks import Multi, outermost, type_mask

CLASSES = ("epidural", "intraparenchymal", "intraventricular", "subarachnoid", "subdural")
VALUE = {name: value for value, name in enumerate(CLASSES, start=1)}


def head(slices=3):
    """(slices, 40, 40): a round head of radius 18 in air."""
    rows, columns = np.mgrid[:40, :40]
    inside = np.hypot(rows - 20, columns - 20) < 18
    return np.broadcast_to(np.where(inside, 40, -1000).astype(np.int16), (slices, 40, 40))


def marks(*boxes, slices=3):
    marked = np.zeros((slices, 40, 40), bool)
    for number, row, column in boxes:
        marked[number, row : row + 3, column : column + 3] = True
    return marked


def typed(marked, types, **options):
    types = {number: frozenset(names) for number, names in types.items()}
    return type_mask(marked, types, head(len(marked)), CLASSES, **options)


def test_a_slice_of_one_type_is_all_of_that_type():
    marked = marks((0, 5, 18), (0, 20, 20), (1, 20, 20))
    found = typed(marked, {0: ["subdural"], 1: ["epidural"], 2: []})
    assert np.array_equal(found.mask[0], marked[0] * VALUE["subdural"])
    assert np.array_equal(found.mask[1], marked[1] * VALUE["epidural"])
    assert not found.mask[2].any() and not found.left_out and not found.split


def test_mask_and_labels_that_contradict_each_other_cost_the_slice():
    found = typed(marks((0, 20, 20), (2, 20, 20)), {0: [], 1: ["subdural"]})
    assert found.left_out == {
        0: "is marked, but labelled clean",
        1: "is labelled subdural, but nothing is marked",
        2: "is marked, but has no labels",
    }
    assert not found.mask.any()


def test_skip_leaves_slices_of_several_types_out():
    found = typed(marks((0, 4, 18), (0, 20, 20)), {0: ["subdural", "intraventricular"]}, multi=Multi.SKIP)
    assert found.left_out == {0: "has several types (intraventricular, subdural); skipped (--multi skip)"}


def test_from_the_skull_inwards():
    boxes = (0, 4, 18), (0, 18, 19), (0, 10, 18)
    found = typed(marks(*boxes), {0: ["intraventricular", "intraparenchymal", "subdural"]})
    given = [found.mask[0, row + 1, column + 1] for _, row, column in boxes]
    assert given == [VALUE["subdural"], VALUE["intraventricular"], VALUE["intraparenchymal"]]
    assert found.split == (0,)


def test_more_regions_than_types_part_at_the_widest_gap():
    found = typed(marks((0, 4, 18), (0, 34, 18), (0, 18, 5), (0, 19, 19)), {0: ["subdural", "intraventricular"]})
    assert np.count_nonzero(found.mask[0] == VALUE["subdural"]) == 27
    assert found.mask[0, 20, 20] == VALUE["intraventricular"]


def test_a_region_continues_the_neighbouring_slice_of_one_type():
    # By depth alone the deep region would be intraventricular and the outer one subdural.
    marked = marks((0, 19, 19), (1, 19, 19), (1, 4, 18))
    found = typed(marked, {0: ["subdural"], 1: ["subdural", "intraventricular"]})
    assert found.mask[1, 20, 20] == VALUE["subdural"] and found.mask[1, 5, 19] == VALUE["intraventricular"]


def test_fewer_regions_than_types_cannot_be_told():
    found = typed(marks((0, 19, 19)), {0: ["subdural", "intraventricular"]})
    assert "has fewer marked regions than types (intraventricular, subdural)" in found.left_out[0]


def test_crumbs_are_no_regions_and_follow_the_nearest():
    marked = marks((0, 19, 19), (0, 4, 18))
    marked[0, 24, 20] = True
    found = typed(marked, {0: ["subdural", "intraventricular"]})
    assert found.mask[0, 24, 20] == VALUE["intraventricular"]


@given(
    st.lists(st.tuples(st.just(0), st.integers(3, 33), st.integers(3, 33)), max_size=5),
    st.sets(st.sampled_from(OUTSIDE_IN), max_size=5),
)
def test_all_that_is_marked_has_a_type_of_its_slice_and_each_type_is_there(boxes, names):
    marked = marks(*boxes, slices=1)
    found = typed(marked, {0: names})
    if 0 in found.left_out:
        assert not found.mask.any()
    else:
        assert np.array_equal(found.mask[0] > 0, marked[0])
        assert {CLASSES[value - 1] for value in np.unique(found.mask) if value} == names


@pytest.mark.parametrize("value", [-1000, 40])
def test_a_slice_without_a_head_is_no_error(value):
    hu = np.full((1, 40, 40), value, np.int16)
    names = frozenset({"subdural", "intraventricular"})
    found = type_mask(marks((0, 4, 4), (0, 20, 20), slices=1), {0: names}, hu, CLASSES)
    assert found.split == (0,)


def test_outermost_gives_the_slice_one_type():
    marked = marks((0, 4, 18), (0, 20, 20), (1, 20, 20))
    types = {0: ["subarachnoid", "subdural"], 1: ["intraventricular", "intraparenchymal"], 2: []}
    found = typed(marked, types, multi=Multi.OUTERMOST)
    assert np.array_equal(found.mask[0], marked[0] * VALUE["subdural"])
    assert np.array_equal(found.mask[1], marked[1] * VALUE["intraparenchymal"])
    assert not found.left_out and not found.split


def test_outermost_is_how_the_paper_s_table_2_comes_to_318():
    """Version 1.0.0 labels so many slices with these types; by type they are 173, 73, 24, 18 and 56."""
    slices = Counter({"EDH": 167, "IPH": 52, "IVH": 13, "SAH": 9, "SDH": 52, "EDH IPH": 4, "EDH SAH": 2, "IPH SDH": 4})
    slices |= Counter({"IPH SAH": 4, "IPH IVH": 8, "IPH IVH SAH": 1, "IVH SAH": 2})
    counted = Counter()
    for names, number in slices.items():
        counted[outermost([ABBREVIATIONS[name] for name in names.split()])] += number
    assert [counted[name] for name in CLASSES] == [173, 60, 13, 16, 56]
    assert counted.total() == 318
