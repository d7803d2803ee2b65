"""native.py: damaged headers and gzip data are refused before memory is spent on them."""

from __future__ import annotations

import gzip

import numpy as np
import pytest

from recursive_expand.archives.native import checked_affine, inflate, three_axes
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
        ((8000, 8000, 8000), "no CT is that large"),
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


def test_a_single_slice_without_thickness_gets_one():
    affine = checked_affine(np.diag([-0.5, -0.5, 0, 1]), (4, 4, 1), "a")
    assert affine[:3, 2].tolist() == [0, 0, 1]


def test_inflate_stops_at_the_size_asked_for():
    assert inflate(gzip.compress(bytes(10**7)), 100, "bomb") == bytes(100)


def test_inflate_reads_files_of_several_members():
    assert inflate(gzip.compress(b"abc") + gzip.compress(b"def"), 6, "a") == b"abcdef"


@pytest.mark.parametrize("cut", [1, 4, 8, 20])
def test_inflate_notices_every_cut(cut):
    data = np.random.default_rng(0).bytes(500)
    with pytest.raises(InputError, match="truncated"):
        inflate(gzip.compress(data)[:-cut], 500, "a")


def test_inflate_notices_a_wrong_checksum():
    packed = bytearray(gzip.compress(b"abc"))
    packed[-5] ^= 1
    with pytest.raises(InputError, match="damaged"):
        inflate(bytes(packed), 3, "a")
