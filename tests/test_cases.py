"""cases.py: orientations round-trip, and voxels keep their place in the world."""

from __future__ import annotations

import hashlib
import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recursive_expand.cases import Geometry, LabelMap, Orientation, SeriesReference, voxel_sha256
from recursive_expand.errors import InputError

SHAPES = st.tuples(*[st.integers(2, 6)] * 3)
PERMUTATIONS = st.sampled_from(list(itertools.permutations(range(3))))
SIGNS = st.tuples(*[st.sampled_from([-1.0, 1.0])] * 3)


def affine_of(permutation, signs, spacing=(0.5, 0.75, 5.0), tilt=0.0):
    """Native axis a runs along world axis permutation[a], in the direction of its sign."""
    affine = np.eye(4)
    affine[:3, :3] = 0
    for axis, world in enumerate(permutation):
        affine[world, axis] = signs[axis] * spacing[world]
    affine[1, permutation.index(2)] += tilt
    affine[:3, 3] = (11.0, -7.0, 3.0)
    return affine


@given(SHAPES, PERMUTATIONS, SIGNS)
def test_to_native_is_the_inverse_of_to_slices(shape, permutation, signs):
    native = np.arange(np.prod(shape)).reshape(shape)
    orientation = Orientation.from_affine(affine_of(permutation, signs), shape)
    slices = orientation.to_slices(native)
    assert np.array_equal(orientation.to_native(slices), native)
    assert slices.shape == Geometry.of(shape, affine_of(permutation, signs)).shape


@given(SHAPES, PERMUTATIONS, SIGNS, st.floats(-2, 2), st.data())
def test_rows_run_to_posterior_columns_to_left_and_slices_as_stored(shape, permutation, signs, tilt, data):
    affine = affine_of(permutation, signs, tilt=tilt)
    index = [data.draw(st.integers(0, side - 1)) for side in shape]
    native = np.zeros(shape)
    native[tuple(index)] = 1
    orientation = Orientation.from_affine(affine, shape)
    (found,) = np.argwhere(orientation.to_slices(native))
    world = [permutation.index(axis) for axis in (2, 1, 0)]  # native axes of S, A, R
    size = [shape[axis] for axis in world]
    along = [index[axis] for axis in world]
    assert found[0] == along[0]
    assert found[1] == (size[1] - 1 - along[1] if signs[world[1]] > 0 else along[1])
    assert found[2] == (size[2] - 1 - along[2] if signs[world[2]] > 0 else along[2])


def test_a_marker_at_the_left_back_is_in_the_last_row_and_column():
    affine = np.diag([1.0, 1.0, 1.0, 1.0])  # RAS+
    affine[:3, 3] = (-4, -4, 0)
    native = np.zeros((9, 9, 3), np.uint8)
    i, j, k, _ = np.linalg.inv(affine) @ (-4, -4, 2, 1)  # left, posterior, third slice
    native[int(i), int(j), int(k)] = 1
    slices = Orientation.from_affine(affine, native.shape).to_slices(native)
    assert np.argwhere(slices).tolist() == [[2, 8, 8]]


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_the_only_axis_of_length_one_is_the_slice_axis(axis):
    shape = tuple(1 if a == axis else 5 + a for a in range(3))
    geometry = Geometry.of(shape, np.eye(4))
    assert geometry.orientation.axes[0] == axis
    assert geometry.shape[0] == 1


def test_spacing_is_given_as_slice_row_column():
    geometry = Geometry.of((4, 5, 6), affine_of((0, 1, 2), (-1.0, -1.0, 1.0)))
    assert geometry.spacing == (5.0, 0.75, 0.5)
    assert geometry.shape == (6, 5, 4)


@given(SHAPES, st.sampled_from([0.0, 0.1, 1.0]), st.integers(0, 2**32 - 1))
def test_the_hash_does_not_depend_on_memory_order(shape, filled, seed):
    rng = np.random.default_rng(seed)
    mask = (rng.integers(0, 6, shape) * (rng.random(shape) < filled)).astype(np.uint8)
    assert voxel_sha256(mask) == hashlib.sha256("x".join(map(str, shape)).encode() + b"\n" + mask.tobytes()).hexdigest()
    assert voxel_sha256(np.asfortranarray(mask)) == voxel_sha256(mask)
    padded = np.zeros((*shape[:2], 2 * shape[2]), np.uint8)
    padded[..., ::2] = mask
    assert voxel_sha256(padded[..., ::2]) == voxel_sha256(mask)


def test_the_hash_tells_shapes_and_voxels_apart():
    mask = np.zeros((2, 3, 4), np.uint8)
    other = mask.copy()
    other[1, 2, 3] = 1
    assert len({voxel_sha256(mask), voxel_sha256(mask.reshape(3, 2, 4)), voxel_sha256(other)}) == 3


def test_only_uint8_is_hashed():
    with pytest.raises(TypeError, match="int16"):
        voxel_sha256(np.zeros((2, 2, 2), np.int16))  # type: ignore[arg-type]


CLASSES = ("epidural", "subdural")
GEOMETRY = Geometry.of((3, 4, 5), affine_of((0, 1, 2), (1.0, 1.0, 1.0)))


def label(**voxels):
    """A label map on GEOMETRY with these slices set: `s2=1` fills one voxel of slice 2 with class value 1."""
    slices = np.zeros(GEOMETRY.shape, np.uint8)
    for number, value in voxels.items():
        slices[int(number[1:]), 1, 2] = value
    return LabelMap.from_slices(slices, GEOMETRY, CLASSES)


@given(SHAPES, PERMUTATIONS, SIGNS, st.booleans(), st.integers(0, 2**32 - 1))
def test_a_label_map_is_the_same_from_native_voxels_and_from_slices(shape, permutation, signs, fortran, seed):
    geometry = Geometry.of(shape, affine_of(permutation, signs))
    native = np.random.default_rng(seed).integers(0, 3, shape).astype(np.uint8, order="F" if fortran else "C")
    whole = LabelMap(native, geometry, CLASSES)
    again = LabelMap.from_slices(whole.slices, geometry, CLASSES)
    assert np.array_equal(again.native, native) and np.array_equal(again.slices, whole.slices)
    assert again.sha256 == whole.sha256 == voxel_sha256(native)
    assert whole.filled == tuple(k for k in range(geometry.shape[0]) if whole.slices[k].any())
    assert whole.voxels() == {name: n for v, name in enumerate(CLASSES, 1) if (n := int((native == v).sum()))}
    counts = {k: {name: int((whole.slices[k] == v).sum()) for v, name in enumerate(CLASSES, 1)} for k in whole.filled}
    assert whole.slice_voxels() == {k: {name: n for name, n in by.items() if n} for k, by in counts.items()}
    assert again.native.flags.c_contiguous or again.native.flags.f_contiguous


@given(SHAPES, PERMUTATIONS, SIGNS, PERMUTATIONS, SIGNS, st.integers(0, 2**32 - 1))
def test_a_label_map_keeps_its_places_on_a_turned_grid(shape, permutation, signs, other, other_signs, seed):
    """`shape` is that of the world's axes: each voxel's place in the head is the same on both grids."""
    native = np.random.default_rng(seed).integers(0, 3, [shape[world] for world in permutation]).astype(np.uint8)
    one = LabelMap(native, Geometry.of(native.shape, affine_of(permutation, signs)), CLASSES)
    grid = Geometry.of(tuple(shape[world] for world in other), affine_of(other, other_signs))
    turned = one.on(grid)
    back = turned.on(one.geometry)
    assert np.array_equal(back.native, native) and back.classes == CLASSES

    def in_world(label, axes, directions):
        flipped = label.native[tuple(slice(None, None, int(sign)) for sign in directions)]
        return flipped.transpose(np.argsort(axes))

    assert np.array_equal(in_world(one, permutation, signs), in_world(turned, other, other_signs))


def test_a_label_map_counts_by_slice_and_class():
    found = label(s0=1, s3=2)
    assert found.filled == (0, 3) and found.values == (1, 2)
    assert found.slice_voxels() == {0: {"epidural": 1}, 3: {"subdural": 1}}
    assert LabelMap.background(GEOMETRY, CLASSES).voxels() == {}


def test_emptied_and_kept_leave_the_rest_as_it_was():
    found = label(s0=1, s3=2, s4=2)
    assert found.emptied([3, 4]).slice_voxels() == {0: {"epidural": 1}}
    assert found.kept([3]).slice_voxels() == {3: {"subdural": 1}}
    assert found.emptied([]).sha256 == found.sha256 == found.kept(range(5)).sha256
    assert found.emptied([0]).classes == CLASSES
    assert found.filled == (0, 3, 4)


def test_a_label_map_cannot_be_changed():
    voxels = np.zeros((3, 4, 5), np.uint8)
    found = LabelMap(voxels, GEOMETRY)
    for view in (found.native, found.slices):
        with pytest.raises(ValueError, match="read-only"):
            view[0, 0, 0] = 1
    voxels[0, 0, 0] = 1  # the array that was given stays its owner's


def test_what_is_no_label_map_is_refused():
    with pytest.raises(TypeError, match="int16"):
        LabelMap(np.zeros((3, 4, 5), np.int16), GEOMETRY)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"\(3, 4, 6\) does not fit an image of \(3, 4, 5\)"):
        LabelMap(np.zeros((3, 4, 6), np.uint8), GEOMETRY)
    with pytest.raises(ValueError, match="the value 3 is no class; classes are epidural, subdural"):
        label(s1=3).voxels()


def series_reference(**changes):
    facts = {
        "series_instance_uid": "1.2.3",
        "study_instance_uid": "1.2",
        "sop_instance_uids": ["1.2.3.1", "1.2.3.2", "1.2.3.3"],
        "image_position_patient": [[0, 0, 0], [0, 1, 5], [0, 2, 10]],
        "image_orientation_patient": [1, 0, 0, 0, 1, 0],
        "pixel_spacing_mm": [0.5, 0.4],
        "tilt_degrees": 11.3099,
        "slice_spacings_mm": [5, 5],
    }
    return facts | changes


def test_a_series_reference_comes_back_from_json():
    facts = series_reference(study_instance_uid=None)
    found = SeriesReference.from_json({**facts, "files": 4})
    assert found.to_json() == facts
    assert found.positions.shape == (3, 3) and found.study_instance_uid is None


def test_what_0_1_0_wrote_is_read():
    old = series_reference()
    del old["study_instance_uid"]
    assert SeriesReference.from_json(old).sop_instance_uids[2] == "1.2.3.3"
    assert SeriesReference.from_json({"data_set": "PhysioNet CT-ICH", "source_slices": [1]}) is None


@pytest.mark.parametrize("changes", [{"sop_instance_uids": ["1"]}, {"tilt_degrees": None}, {"pixel_spacing_mm": []}])
def test_half_a_series_reference_is_refused(changes):
    with pytest.raises(InputError, match=r"geometry\.json: does not place a series"):
        SeriesReference.from_json(series_reference(**changes))
