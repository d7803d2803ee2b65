"""The verdict rules: every submission is exactly one of unchanged, emptied, partly emptied, edited."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from recursive_expand.cases import Geometry, LabelMap
from recursive_expand.errors import InputError
from recursive_expand.review import Edited, Emptied, PartlyEmptied, Unchanged, as_drawn
from recursive_expand.review import compare as compare_labels

CLASSES = ("epidural", "intraparenchymal", "intraventricular", "subarachnoid", "subdural")
GEOMETRY = Geometry.of((4, 5, 6), np.diag([-1.0, -1.0, 3.0, 1.0]))  # slices along k
TURNED = Geometry.of((4, 5, 6), np.diag([-1.0, -1.0, -3.0, 1.0]))


def compare(mask, submitted, *, geometry=GEOMETRY, sent=None, classes=(), label_info=()):
    """The arrays as label maps, held against each other."""
    proposal = LabelMap(mask, geometry, classes)
    return compare_labels(proposal, LabelMap(submitted, sent or geometry), label_info=label_info)


masks = hnp.arrays(np.uint8, (4, 5, 6), elements=st.integers(0, 5))
non_empty = masks.filter(lambda mask: bool(mask.any()))


@given(masks)
def test_unedited_is_unchanged_whatever_the_memory_order(mask):
    assert compare(mask, np.asfortranarray(mask.copy())) == Unchanged()


@given(non_empty)
def test_all_background_is_emptied(mask):
    assert compare(mask, np.zeros_like(mask)) == Emptied()


@given(non_empty, st.sets(st.integers(0, 5)))
def test_emptied_slices_are_named(mask, slices):
    submitted = mask.copy()
    submitted[:, :, sorted(slices)] = 0
    filled = {k for k in range(6) if mask[:, :, k].any()}
    hit = filled & slices
    expected = Unchanged() if not hit else Emptied() if hit == filled else PartlyEmptied(tuple(sorted(hit)))
    assert compare(mask, submitted) == expected


@given(non_empty, st.tuples(st.integers(0, 3), st.integers(0, 4), st.integers(0, 5)), st.integers(1, 5))
def test_a_voxel_painted_in_is_an_edit_of_that_slice(mask, where, value):
    submitted = mask.copy()
    submitted[where] = value if mask[where] != value else value % 5 + 1
    assert compare(mask, submitted) == Edited({where[2]: 1})


@given(non_empty, st.sets(st.integers(0, 5)), st.booleans())
def test_a_third_axis_turned_round_by_slicer_changes_nothing(mask, slices, says_so):
    mask[0, 0, 0], mask[0, 0, 5] = 1, 2  # not the same both ways
    slices -= {0, 5}
    submitted = mask.copy()
    submitted[:, :, sorted(slices)] = 0
    turned = compare(mask, submitted[:, :, ::-1], sent=TURNED if says_so else None)
    assert turned == compare(mask, submitted)


def test_one_voxel_erased_is_an_edit_with_its_slice_and_count():
    mask = np.zeros((4, 5, 6), np.uint8)
    mask[1:3, 1:3, 2:4] = 2
    submitted = mask.copy()
    submitted[1, 1, 3] = 0
    result = compare(mask, submitted)
    assert result == Edited({3: 1})
    assert result.describe() == "1 voxels differ from the proposal (slice 3: 1)"


SEGMENTS = [{"name": name, "idx": n} for n, name in enumerate(CLASSES, start=1)]


def test_segments_renumbered_because_one_was_removed_are_read_by_position():
    mask = np.zeros((4, 5, 6), np.uint8)
    mask[0, 0, 1], mask[2, 2, 1] = 2, 5
    submitted = np.where(mask == 2, 1, np.where(mask == 5, 4, 0)).astype(np.uint8)
    assert compare(mask, submitted, classes=CLASSES, label_info=SEGMENTS[1:]) == Unchanged()


def test_segments_named_by_index_are_read_by_index():
    mask = np.zeros((4, 5, 6), np.uint8)
    mask[0, 0, 1], mask[2, 2, 1] = 2, 5
    info = [SEGMENTS[1], SEGMENTS[4]]
    assert compare(mask, mask.copy(), classes=CLASSES, label_info=info) == Unchanged()


@pytest.mark.parametrize("idx", [None, [1], {}, "1", float("nan")])
def test_an_index_that_is_no_number_is_passed_over(idx):
    mask = np.zeros((4, 5, 6), np.uint8)
    mask[1, 1, 1] = 1
    info = [{"name": "epidural", "idx": idx}]
    assert compare(mask, mask.copy(), classes=CLASSES, label_info=info) == Unchanged()


def test_a_mask_moved_into_another_class_is_an_edit():
    mask = np.zeros((4, 5, 6), np.uint8)
    mask[1, 1, 1] = 4
    moved = np.where(mask == 4, 5, 0).astype(np.uint8)
    assert compare(mask, moved) == Edited({1: 1})
    assert compare(mask, moved, classes=CLASSES, label_info=SEGMENTS) == Edited({1: 1})


def test_segments_renamed_are_an_edit():
    mask = np.zeros((4, 5, 6), np.uint8)
    mask[1, 1, 1] = 1
    renamed = [{"name": "subdural", "idx": 1}, *SEGMENTS[1:4], {"name": "epidural", "idx": 5}]
    assert compare(mask, mask.copy(), classes=CLASSES, label_info=renamed) == Edited({1: 1})


def test_a_segment_of_no_class_is_an_edit():
    mask = np.zeros((4, 5, 6), np.uint8)
    mask[1, 1, 1] = 1
    submitted = mask.copy()
    submitted[2, 2, 2] = 6
    info = [*SEGMENTS, {"name": "Segment_1", "idx": 6}]
    assert compare(mask, submitted, classes=CLASSES, label_info=info) == Edited({2: 1})


def test_another_shape_is_refused_with_both_shapes():
    with pytest.raises(ValueError, match="3x5x6 voxels, the image 4x5x6"):
        compare(
            np.zeros((4, 5, 6), np.uint8), np.zeros((3, 5, 6), np.uint8), sent=Geometry.of((3, 5, 6), GEOMETRY.affine)
        )


def test_slice_numbers_follow_the_images_slice_axis():
    coronal_first = Geometry.of((6, 4, 5), np.array([[0, -1.0, 0, 0], [0, 0, -1.0, 0], [3.0, 0, 0, 0], [0, 0, 0, 1]]))
    mask = np.zeros((6, 4, 5), np.uint8)
    mask[1, 2, 2] = mask[4, 2, 2] = 1
    submitted = mask.copy()
    submitted[4] = 0
    assert compare(mask, submitted, geometry=coronal_first) == PartlyEmptied((4,))


def drawn(mask, *, sent=GEOMETRY, label_info=()):
    return as_drawn(LabelMap(mask, sent), GEOMETRY, classes=CLASSES, label_info=label_info)


@given(masks)
def test_an_expert_mask_that_slicer_turned_is_turned_back(mask):
    assert np.array_equal(drawn(mask).native, mask)
    found = drawn(mask[:, :, ::-1], sent=TURNED)
    assert np.array_equal(found.native, mask) and found.geometry is GEOMETRY and found.classes == CLASSES


def test_an_expert_mask_is_read_by_the_names_of_its_segments():
    mask = np.zeros((4, 5, 6), np.uint8)
    mask[0, 0, 1], mask[2, 2, 1] = 1, 4  # of four segments, since the first was removed
    assert drawn(mask).voxels() == {"epidural": 1, "subarachnoid": 1}
    assert drawn(mask, label_info=SEGMENTS).voxels() == {"epidural": 1, "subarachnoid": 1}
    assert drawn(mask, label_info=SEGMENTS[1:]).voxels() == {"intraparenchymal": 1, "subdural": 1}


@pytest.mark.parametrize(
    ("value", "shape", "label_info", "message"),
    [
        (4, (4, 5, 6), SEGMENTS[1:], "has values that can mean two segments each"),
        (6, (4, 5, 6), [], "holds the value 6, which is no class; classes are 1 epidural"),
        (1, (4, 5, 6), [{"name": "Segment_1", "idx": 1}], "holds a segment that is no class"),
        (1, (4, 5, 7), [], "has 4x5x7 voxels, the image 4x5x6"),
    ],
)
def test_an_expert_mask_of_doubtful_meaning_is_refused(value, shape, label_info, message):
    sent = Geometry.of(shape, GEOMETRY.affine)
    with pytest.raises(InputError, match=f"^submitted mask: {message}"):
        drawn(np.full(shape, value, np.uint8), sent=sent, label_info=label_info)
