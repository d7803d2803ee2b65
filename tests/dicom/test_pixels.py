"""pixels.py: stored values become HU, also from files whose headers lie."""

from __future__ import annotations

import numpy as np
import pytest

from recursive_expand.dicom.pixels import read_hu
from recursive_expand.errors import InputError


@pytest.fixture
def hu_of(make_series):
    def read(values, **attributes):
        dataset = make_series(count=1).change(**attributes).datasets[0]
        padded = np.zeros(30, np.int64)
        padded[: len(values)] = values
        dataset.PixelData = (padded & 0xFFFF).astype("<u2").tobytes()
        return read_hu(dataset, "file").ravel()[: len(values)].tolist()

    return read


UNSIGNED_12 = {"PixelRepresentation": 0, "BitsStored": 12, "HighBit": 11}


def test_slope_and_intercept_are_applied_without_wrapping(hu_of):
    values = [0, 24, 1064, 4095]
    assert hu_of(values, **UNSIGNED_12, RescaleIntercept=-1024) == [-1024, -1000, 40, 3071]
    assert hu_of([10, 21], RescaleSlope=0.5, RescaleIntercept=-1000) == [-995, -990]
    assert hu_of([30000], RescaleSlope=2) == [32767]


def test_signed_12_bits_without_sign_extension(hu_of):
    signed_12 = {"PixelRepresentation": 1, "BitsStored": 12, "HighBit": 11}
    assert hu_of([0x0FFF, 0x0C18, 40], **signed_12) == [-1, -1000, 40]
    assert hu_of([-1, -1000, 40], **signed_12) == [-1, -1000, 40]


def test_bits_above_the_stored_ones_are_ignored(hu_of):
    assert hu_of([0x1000 | 1064], **UNSIGNED_12, RescaleIntercept=-1024) == [40]


def test_bits_above_that_continue_the_sign_make_the_value_negative(hu_of):
    assert hu_of([-2000, 1064], **UNSIGNED_12, RescaleIntercept=-1024) == [-3024, 40]


def test_unsigned_that_holds_negative_values_after_all(hu_of):
    # RSNA 2019: 12 unsigned bits, intercept 0, air stored as 3096.
    assert hu_of([3096, 4095, 3071, 40], **UNSIGNED_12) == [-1000, -1, 3071, 40]
    assert hu_of([64536, 40], PixelRepresentation=0) == [-1000, 40]


def test_high_values_stay_where_the_intercept_leaves_room_for_air(hu_of):
    assert hu_of([4095], **UNSIGNED_12, RescaleIntercept=-1024) == [3071]


@pytest.mark.parametrize("padding", [-2000, 63536])
@pytest.mark.parametrize("signed", [0, 1])
def test_padding_is_air_whatever_its_sign(hu_of, padding, signed):
    attributes = {"PixelRepresentation": signed, "RescaleIntercept": -1024, "PixelPaddingValue": padding & 0xFFFF}
    assert hu_of([padding, 1064], **attributes) == [-1024, 40]


def test_padding_in_12_unsigned_bits_is_air(hu_of):
    # GE writes -2000 into files that claim 12 unsigned bits.
    assert hu_of([-2000, 1064], **UNSIGNED_12, RescaleIntercept=-1024, PixelPaddingValue=63536) == [-1024, 40]


def test_a_range_of_padding_is_air(hu_of):
    attributes = {"PixelPaddingValue": -1500 & 0xFFFF, "PixelPaddingRangeLimit": -1400 & 0xFFFF}
    assert hu_of([-1500, -1450, -1400, -1399], **attributes) == [-1024, -1024, -1024, -1399]


def test_truncated_pixel_data_is_named(make_series):
    dataset = make_series(count=1).datasets[0]
    dataset.PixelData = dataset.PixelData[:-10]
    with pytest.raises(InputError, match=r"file: its pixel data \(Explicit VR Little Endian\) cannot be decoded"):
        read_hu(dataset, "file")
