"""DICOM series of phantoms, read back with pydicom."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.uid import CTImageStorage, ImplicitVRLittleEndian, RLELossless

from recursive_expand.errors import InputError
from recursive_expand.phantom import Phantom, make_head, write_dicom_series, write_scout


@pytest.fixture(scope="module")
def phantom() -> Phantom:
    return make_head(1, size=48, slices=4)


def test_pixels_come_back_as_hounsfield_units(phantom: Phantom, tmp_path: Path) -> None:
    for path, hu in zip(write_dicom_series(tmp_path, phantom, seed=1), phantom.hu, strict=True):
        dataset = pydicom.dcmread(path)
        assert dataset.SOPClassUID == CTImageStorage
        assert dataset.PixelRepresentation == 0
        assert np.array_equal(dataset.pixel_array * int(dataset.RescaleSlope) + int(dataset.RescaleIntercept), hu)


def test_positions_rise_and_ids_hold_the_series_together(phantom: Phantom, tmp_path: Path) -> None:
    slices = [pydicom.dcmread(p) for p in write_dicom_series(tmp_path, phantom, seed=1)]
    heights = [float(d.ImagePositionPatient[2]) for d in slices]
    assert np.allclose(np.diff(heights), phantom.spacing[0])
    assert [d.InstanceNumber for d in slices] == [1, 2, 3, 4]
    assert len({d.SeriesInstanceUID for d in slices}) == len({d.StudyInstanceUID for d in slices}) == 1
    assert len({d.SOPInstanceUID for d in slices}) == 4
    assert list(slices[0].ImageType) == ["ORIGINAL", "PRIMARY", "AXIAL"]


def test_positions_agree_with_the_nifti_affine(tmp_path: Path) -> None:
    phantom = make_head(3, size=48, slices=3, domain="sharp")
    for index, path in enumerate(write_dicom_series(tmp_path, phantom, seed=1)):
        dataset = pydicom.dcmread(path)
        ras = (phantom.affine @ (5, 7, index, 1))[:3]
        position = np.array(dataset.ImagePositionPatient, float)
        along_row, along_column = np.array(dataset.ImageOrientationPatient, float).reshape(2, 3)
        row_spacing, column_spacing = map(float, dataset.PixelSpacing)
        lps = position + 5 * column_spacing * along_row + 7 * row_spacing * along_column
        assert np.allclose(lps * (-1, -1, 1), ras, atol=1e-4)


def test_a_tilted_gantry_leans_the_rows_but_not_the_table(phantom: Phantom, tmp_path: Path) -> None:
    slices = [pydicom.dcmread(p) for p in write_dicom_series(tmp_path, phantom, seed=1, tilt_degrees=15)]
    orientation = np.array(slices[0].ImageOrientationPatient, float)
    assert orientation == pytest.approx([1, 0, 0, 0, np.cos(np.radians(15)), -np.sin(np.radians(15))])
    steps = np.diff([np.array(d.ImagePositionPatient, float) for d in slices], axis=0)
    assert np.allclose(steps, (0, 0, phantom.spacing[0]))
    assert float(slices[0].GantryDetectorTilt) == 15


def test_a_missing_slice_leaves_a_gap(phantom: Phantom, tmp_path: Path) -> None:
    slices = [pydicom.dcmread(p) for p in write_dicom_series(tmp_path, phantom, seed=1, missing_slice=2)]
    assert [d.InstanceNumber for d in slices] == [1, 2, 4]
    assert np.diff([float(d.ImagePositionPatient[2]) for d in slices])[-1] == pytest.approx(2 * phantom.spacing[0])


def test_a_missing_slice_that_is_not_there_is_named(phantom: Phantom, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="missing_slice 4"):
        write_dicom_series(tmp_path, phantom, seed=1, missing_slice=4)


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, RLELossless])
def test_other_transfer_syntaxes(phantom: Phantom, tmp_path: Path, syntax: str) -> None:
    path = write_dicom_series(tmp_path, phantom, seed=1, transfer_syntax=syntax)[0]
    dataset = pydicom.dcmread(path)
    assert dataset.file_meta.TransferSyntaxUID == syntax
    assert np.array_equal(dataset.pixel_array.astype(np.int16) - 1024, phantom.hu[0])


def test_an_unknown_transfer_syntax_is_named(phantom: Phantom, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"1\.2\.3"):
        write_dicom_series(tmp_path, phantom, seed=1, transfer_syntax="1.2.3")


def test_the_same_seed_gives_the_same_files(phantom: Phantom, tmp_path: Path) -> None:
    first = write_dicom_series(tmp_path / "a", phantom, seed=1)[0].read_bytes()
    assert write_dicom_series(tmp_path / "b", phantom, seed=1)[0].read_bytes() == first
    assert write_dicom_series(tmp_path / "c", phantom, seed=2)[0].read_bytes() != first


def test_padding_fills_the_corners(phantom: Phantom, tmp_path: Path) -> None:
    dataset = pydicom.dcmread(write_dicom_series(tmp_path, phantom, seed=1, padding=True)[0])
    assert dataset.pixel_array[0, 0] == dataset.PixelPaddingValue == 0


def test_the_scout_is_a_localizer_of_the_same_study(phantom: Phantom, tmp_path: Path) -> None:
    axial = pydicom.dcmread(write_dicom_series(tmp_path, phantom, seed=1)[0])
    scout = pydicom.dcmread(write_scout(tmp_path, phantom, seed=1))
    assert scout.ImageType[2] == "LOCALIZER"
    assert scout.Modality == "CT"
    assert scout.StudyInstanceUID == axial.StudyInstanceUID
    assert scout.SeriesInstanceUID != axial.SeriesInstanceUID
    assert scout.pixel_array.ptp() > 500
