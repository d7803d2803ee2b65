"""native.py: damaged headers and gzip data are refused before memory is spent on them."""

from __future__ import annotations

import gzip
import tracemalloc
from io import BytesIO

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recursive_expand.archives.native import Bounds, NativeHeader, checked_affine, inflate, three_axes
from recursive_expand.errors import InputError


@pytest.mark.parametrize(
    ("shape", "expected"),
    [((5, 6), (5, 6, 1)), ((5, 6, 7), (5, 6, 7)), ((5, 6, 7, 1, 1), (5, 6, 7)), ((5, 6, 1, 1), (5, 6, 1))],
)
def test_slices_and_volumes_have_three_axes(shape, expected):
    assert three_axes(shape, "a.nii") == expected


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((5, 6, 7, 2), r"a.nii: has 4 dimensions \(5 x 6 x 7 x 2\)"),
        ((5, 6, 1, 3), "4 dimensions"),
        ((5,), "1 dimensions"),
        ((5, 0, 7), "is empty"),
        ((9000, 5, 5), "no CT is that large"),
    ],
)
def test_other_shapes_are_refused(shape, message):
    with pytest.raises(InputError, match=message):
        three_axes(shape, "a.nii")


def test_affines_that_are_no_grid_are_refused():
    with pytest.raises(InputError, match="not finite"):
        checked_affine(np.diag([1, np.nan, 1, 1]), (4, 4, 4), "a")
    with pytest.raises(InputError, match=r"not invertible \(spacing 1 x 1 x 0 mm\)"):
        checked_affine(np.diag([1.0, 1, 0, 1]), (4, 4, 4), "a")
    with pytest.raises(InputError, match="not invertible"):
        checked_affine(np.diag([1.0, 1, 1e-320, 1]), (4, 4, 4), "a")
    with pytest.raises(InputError, match=r"its affine holds 1e\+300 mm"):
        checked_affine(np.diag([1.0, 1, 1e300, 1]), (4, 4, 4), "a")
    with pytest.raises(InputError, match=r"its affine holds 1e\+30 mm"):
        checked_affine(np.array([[1.0, 0, 0, 1e30], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]), (4, 4, 4), "a")


def test_a_single_slice_without_thickness_gets_one():
    affine = checked_affine(np.diag([-0.5, -0.5, 0, 1]), (4, 4, 1), "a")
    assert affine[:3, 2].tolist() == [0, 0, 1]


def unpacked(packed, size, *, skip=0):
    return inflate(BytesIO(packed), size, "a", skip=skip, available=len(packed)).tobytes()


def test_inflate_stops_at_the_size_asked_for():
    assert unpacked(gzip.compress(bytes(10**7)), 100) == bytes(100)


def test_inflate_reads_files_of_several_members():
    members = gzip.compress(b"abc") + gzip.compress(b"def")
    assert unpacked(members, 6) == b"abcdef"
    assert unpacked(members, 3, skip=2) == b"cde"


@given(st.binary(min_size=1, max_size=300), st.data())
def test_inflate_gives_any_part(content, data):
    skip = data.draw(st.integers(0, len(content) - 1))
    size = data.draw(st.integers(1, len(content) - skip))
    assert unpacked(gzip.compress(content), size, skip=skip) == content[skip : skip + size]


def test_inflate_goes_on_from_portion_to_portion():
    content = np.random.default_rng(0).integers(0, 4, 3 * 2**20 + 5).astype(np.uint8).tobytes()
    assert unpacked(gzip.compress(content, 1), len(content) - 352, skip=352) == content[352:]


@pytest.mark.parametrize("cut", [1, 4, 8, 20])
def test_inflate_notices_every_cut(cut):
    data = np.random.default_rng(0).bytes(500)
    with pytest.raises(InputError, match="truncated"):
        unpacked(gzip.compress(data)[:-cut], 500)


def test_inflate_notices_a_wrong_checksum():
    packed = bytearray(gzip.compress(b"abc"))
    packed[-5] ^= 1
    with pytest.raises(InputError, match="damaged"):
        unpacked(bytes(packed), 3)


def test_inflate_takes_no_memory_for_what_cannot_be_there():
    tracemalloc.start()
    with pytest.raises(InputError, match="68 packed bytes never hold 2000000000"):
        inflate(BytesIO(bytes(68)), 2 * 10**9, "a", available=68)
    assert tracemalloc.get_traced_memory()[1] < 10**6
    tracemalloc.stop()


@pytest.mark.parametrize(
    ("bounds", "message"),
    [
        (Bounds(shape=(4, 4, 2)), "a: has 4 x 4 x 3 voxels, its image 4 x 4 x 2; a mask has its image's shape"),
        (
            Bounds(max_bytes=95),
            r"a: claims 4 x 4 x 3 voxels, which need 96 bytes; no more than 95 are read \(max_case_b",
        ),
    ],
)
def test_headers_out_of_bounds_are_refused(bounds, message):
    header = NativeHeader((4, 4, 3), np.eye(4), np.dtype(np.uint8))
    Bounds(max_bytes=96, shape=(4, 4, 3)).check(header, "a")
    with pytest.raises(InputError, match=message):
        bounds.check(header, "a")


def test_the_bytes_of_wide_types_count_as_stored():
    with pytest.raises(InputError, match="need 384 bytes"):
        Bounds(max_bytes=383).check(NativeHeader((4, 4, 3), np.eye(4), np.dtype(np.float64)), "a")
