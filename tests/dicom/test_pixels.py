"""pixels.py: stored values become HU, also from files whose headers lie."""

from __future__ import annotations

import numpy as np
import pytest
from pydicom import Dataset
from pydicom.uid import ExplicitVRBigEndian

from recursive_expand.dicom.files import read_dicom
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


@pytest.mark.parametrize("bits", [12, 16])
def test_big_endian_files_hold_the_same_values(make_series, tmp_path, bits):
    series = make_series(count=1).change(BitsStored=bits, HighBit=bits - 1, RescaleIntercept=-1024)
    dataset = series.datasets[0]
    dataset.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    dataset.is_little_endian, dataset.is_implicit_VR = False, False
    values = np.arange(30) * 40
    dataset.PixelData, dataset["PixelData"].VR = values.astype(">i2").tobytes(), "OW"
    dataset.PixelPaddingValue = 0
    dataset["PixelPaddingValue"].VR = "SS"
    dataset.save_as(tmp_path / "big", write_like_original=False)
    hu = read_hu(read_dicom(tmp_path / "big"), "big").ravel()
    assert hu.tolist() == [-1024, *(values[1:] - 1024).tolist()]


@pytest.mark.parametrize("name", ["RescaleSlope", "RescaleIntercept"])
@pytest.mark.parametrize(
    ("value", "reason"), [(None, "missing or empty"), ("", "missing or empty"), ("nan", "nan"), ("inf", "inf")]
)
def test_values_without_a_rescale_are_no_hu(make_series, name, value, reason):
    dataset = make_series(count=1).change(**{name: value}).datasets[0]
    with pytest.raises(InputError, match=f"file: its {name} is {reason}: the values are not known to be HU"):
        read_hu(dataset, "file")


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        ({"RescaleSlope": 0}, "its RescaleSlope is 0"),
        ({"RescaleType": "Z_EFF"}, "its RescaleType is Z_EFF; a CT is in HU"),
    ],
)
def test_other_rescales_that_give_no_hu(make_series, attributes, reason):
    with pytest.raises(InputError, match=reason):
        read_hu(make_series(count=1).change(**attributes).datasets[0], "file")


def test_a_malformed_rescale_is_one_line(make_series, tmp_path):
    make_series(count=1).write()
    path = next((tmp_path / "dicom" / "series").iterdir())
    content = path.read_bytes().replace(b"\x53\x10DS\x04\x001.0 ", b"\x53\x10DS\x04\x00x.0 ")
    path.write_bytes(content)
    with pytest.raises(InputError, match="RescaleSlope"):
        read_hu(read_dicom(path), "file")


def modality_lut(kind, entries, first=0):
    item = Dataset()
    item.LUTDescriptor, item.ModalityLUTType, item.LUTData = [len(entries), first, 16], kind, entries
    item["LUTDescriptor"].VR, item["LUTData"].VR = "US", "US"
    return {"ModalityLUTSequence": [item], "RescaleSlope": None, "RescaleIntercept": None, "PixelRepresentation": 0}


def test_a_modality_lut_is_applied(hu_of):
    entries = [(40 * index - 1000) & 0xFFFF for index in range(60)]
    assert hu_of([0, 1, 25, 59, 200], **modality_lut("HU", entries)) == [-1000, -960, 0, 1360, 1360]


def test_a_modality_lut_of_another_unit_is_refused(hu_of):
    with pytest.raises(InputError, match="its Modality LUT gives US, not HU"):
        hu_of([0], **modality_lut("US", [0, 1]))


def test_padding_that_is_tissue_s_value_too_is_padding_outside_the_circle_alone(make_series):
    dataset = make_series(count=1).change(PixelPaddingValue=0).datasets[0]
    values = np.full((6, 5), 30)
    values[0, 0] = values[0, 1] = values[5, 4] = 0  # beyond the scanner's circle
    values[2:4, 2] = 0  # CSF
    dataset.PixelData = values.astype("<i2").tobytes()
    hu = read_hu(dataset, "file")
    assert hu[0, :2].tolist() == [-1024, -1024] and hu[5, 4] == -1024
    assert hu[2:4, 2].tolist() == [0, 0]
    assert (hu == -1024).sum() == 3
