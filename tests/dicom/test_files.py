"""files.py: what is DICOM and what is not, whatever it is called and however it begins."""

from __future__ import annotations

import pytest
from pydicom.dataelem import DataElement
from pydicom.filewriter import write_file
from pydicom.uid import ExplicitVRBigEndian, ImplicitVRLittleEndian

from recursive_expand.dicom.files import NotDicomError, read_dicom, values_as_they_are
from recursive_expand.errors import InputError


def bare(series, path, *, implicit=True, little=True):
    """A data set without preamble and meta information."""
    dataset = series.datasets[0]
    dataset.is_implicit_VR, dataset.is_little_endian = implicit, little
    if not little:
        dataset["PixelData"].VR = "OW"
    del dataset.file_meta
    dataset.preamble = None
    write_file(path, dataset, write_like_original=True)
    return path


@pytest.mark.parametrize(
    ("implicit", "little", "syntax"),
    [(True, True, ImplicitVRLittleEndian), (False, True, "1.2.840.10008.1.2.1"), (False, False, ExplicitVRBigEndian)],
)
def test_a_data_set_without_preamble_is_read(make_series, tmp_path, implicit, little, syntax):
    path = bare(make_series(count=1), tmp_path / "bare", implicit=implicit, little=little)
    assert read_dicom(path).file_meta.TransferSyntaxUID == syntax
    header = read_dicom(path, stop_before_pixels=True, specific_tags=["Modality", "SeriesInstanceUID"])
    assert header.Modality == "CT"


@pytest.mark.parametrize(
    "content",
    [b"", b"no DICOM at all", b"\x02\x00" * 400, b"\x08\x00\x05\x00CS\x04\x00AAAA" * 9, b"\x08\x00\x00\xff" * 99],
)
def test_what_only_begins_like_a_data_set_is_none(tmp_path, content):
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(NotDicomError, match="file: is not DICOM"):
        read_dicom(path)


def test_a_damaged_file_and_a_missing_one_are_named(make_series, tmp_path):
    make_series(count=1).write()
    path = next((tmp_path / "dicom" / "series").iterdir())
    path.write_bytes(path.read_bytes()[:153])
    with pytest.raises(InputError, match=f"{path.name}: cannot be read as DICOM"):
        read_dicom(path)
    with pytest.raises(InputError, match="nowhere: cannot be read \\(No such file"):
        read_dicom(tmp_path / "nowhere")


def test_no_value_is_printed_while_any_thread_reads(recwarn):
    one, other = values_as_they_are(), values_as_they_are()
    one.__enter__()
    other.__enter__()
    one.__exit__(None, None, None)  # the first is out before the second: threads end as they like
    DataElement("PatientBirthDate", "DA", "SECRET")
    other.__exit__(None, None, None)
    assert not recwarn.list
    DataElement("PatientBirthDate", "DA", "not a date")
    assert recwarn.list
