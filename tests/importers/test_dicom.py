"""dicom.py: one case a series, voxels untouched, everything left out has its line."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.encaps import encapsulate
from pydicom.uid import JPEGLosslessSV1, RLELossless

from recursive_expand.archives.folder import FolderArchive
from recursive_expand.archives.images import read_volume
from recursive_expand.errors import InputError
from recursive_expand.importers.dicom import DicomImporter, case_of_series
from recursive_expand.importers.runner import run_import

GE_HEAD = Path(__file__).parents[3] / "shared" / "data" / "ge_head_ct"


@pytest.fixture
def studies(tmp_path):
    return tmp_path / "studies"


def test_voxels_keep_their_values_and_places(make_series, source, studies):
    series = make_series(step=(0, 1.5, 5)).write()
    (case_id,) = run_import(DicomImporter(source), studies).imported
    volume = read_volume(studies / f"{case_id}.nii.gz")
    assert np.array_equal(volume.hu, [series.pixels(number) for number in range(4)])
    assert volume.geometry.native_shape == (5, 6, 4)
    assert np.allclose(volume.geometry.affine @ (1, 2, 3, 1), (99.6, 90 - 1 - 4.5, 25, 1), atol=1e-4)
    assert FolderArchive(studies).scan().cases[0].case_id == case_id


def test_the_sidecar_tells_the_way_back_to_the_instances(make_series, source, studies):
    series = make_series(step=(0, 1.5, 5)).change(GantryDetectorTilt=16.7).write()
    (case_id,) = run_import(DicomImporter(source), studies).imported
    facts = json.loads((studies / "geometry" / f"{case_id}.geometry.json").read_bytes())
    assert facts["series_instance_uid"] == series.uid
    assert facts["sop_instance_uids"] == [dataset.SOPInstanceUID for dataset in series.datasets]
    assert facts["image_position_patient"][3] == [-100, -85.5, 25]
    assert facts["image_orientation_patient"] == [1, 0, 0, 0, 1, 0]
    assert facts["slice_spacings_mm"] == [5, 5, 5]
    assert facts["tilt_degrees"] == pytest.approx(np.degrees(np.arctan(0.3)), abs=1e-3)
    assert facts["gantry_detector_tilt_degrees"] == 16.7


def test_case_ids_are_stable_and_nothing_names_the_patient(make_series, source, studies):
    series = make_series().write()
    report = run_import(DicomImporter(source), studies)
    assert list(report.imported) == [case_of_series(series.uid)]
    written = b"".join(path.read_bytes() for path in studies.rglob("*.json"))
    assert b"Doe" not in written and "Doe" not in str(report)


def test_patients_get_pseudonyms(make_series, source, studies):
    for name, patient, issuer in (("x", "MRN-1", "A"), ("y", "MRN-1", "A"), ("z", "MRN-1", "B"), ("w", "", "")):
        make_series(name).change(PatientID=patient, IssuerOfPatientID=issuer).write()
    run_import(DicomImporter(source), studies)
    patients = [case.patient for case in FolderArchive(studies).scan().cases]
    assert len(patients) == 4 and len({*patients} - {None}) == 2 and patients.count(None) == 1
    written = b"".join(path.read_bytes() for path in studies.rglob("*") if path.is_file())
    assert b"MRN" not in written


def test_series_in_one_folder_become_a_case_each_and_a_second_import_skips_them(make_series, source, studies):
    make_series("x").write("a")
    make_series("x", uid="1.2.3").write("b")
    first = run_import(DicomImporter(source), studies)
    assert len(first.imported) == 2 and not first.left_out
    stamps = {path: path.stat().st_mtime_ns for path in studies.glob("*.nii.gz")}
    second = run_import(DicomImporter(source), studies)
    assert not second.imported and sorted(second.skipped) == sorted(first.imported)
    assert stamps == {path: path.stat().st_mtime_ns for path in studies.glob("*.nii.gz")}


def test_an_import_that_broke_off_goes_on(make_series, source, studies):
    make_series("x").write("a")
    make_series("y").write("b")
    one, two = run_import(DicomImporter(source), studies).imported
    (studies / f"{two}.nii.gz").unlink()
    report = run_import(DicomImporter(source), studies)
    assert (list(report.imported), report.skipped) == ([two], [one])


def test_a_series_that_grew_since_is_mentioned(make_series, source, studies):
    series = make_series()
    missing = series.datasets.pop()
    series.write()
    run_import(DicomImporter(source), studies)
    missing.save_as(series.folder / "late", write_like_original=False)
    (note,) = run_import(DicomImporter(source), studies).notes
    assert "was imported from 3 files and has 4 now" in note


def one_left_out(source, studies):
    report = run_import(DicomImporter(source), studies)
    assert not report.imported
    assert not list(studies.glob("*.nii.gz"))
    assert len(report.left_out) == 1 and "\n" not in report.left_out[0], report.left_out
    return report.left_out[0]


@pytest.mark.parametrize(
    ("index", "change", "reason"),
    [
        (None, {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, "4 scout images (ImageType LOCALIZER)"),
        (2, {"Rows": 5}, "and the other slices differ in size (5 x 5, 5 x 6)"),
        (2, {"ImageOrientationPatient": [0, 1, 0, 0, 0, -1]}, "and the other slices differ in orientation"),
        (2, {"SamplesPerPixel": 3}, "is a colour image (3 samples per pixel)"),
        (2, {"NumberOfFrames": 4}, "is a multi-frame image (4 frames)"),
        (2, {"ImagePositionPatient": None}, "ImagePositionPatient is missing"),
        (2, {"PixelData": b"\0" * 20}, "cannot be decoded; it may be truncated"),
        (2, {"HighBit": 11}, "its HighBit 11 is not BitsStored - 1"),
        (None, {"ImagePositionPatient": [0, 0, 0]}, "has 1 positions; a scan has 3 or more"),
    ],
)
def test_series_that_are_no_scan_are_left_out_with_the_reason(make_series, source, studies, index, change, reason):
    make_series().change(index, **change).write()
    report = run_import(DicomImporter(source), studies)
    assert not report.imported and not list(studies.glob("*.nii.gz"))
    assert any(reason in line for line in report.left_out), report.left_out


def test_a_series_under_three_slices_is_left_out(make_series, source, studies):
    make_series(count=2).write()
    assert "has 2 slices; a scan has 3 or more" in one_left_out(source, studies)


def test_scouts_within_a_series_are_left_out_alone(make_series, source, studies):
    series = make_series(count=5)
    series.change(0, ImageType=["DERIVED", "SECONDARY", "LOCALIZER"], ImageOrientationPatient=[0, 1, 0, 0, 0, -1])
    series.write()
    report = run_import(DicomImporter(source), studies)
    assert [line.split(": ")[1] for line in report.left_out] == ["1 scout images (ImageType LOCALIZER); left out"]
    assert "5 x 6 x 4 voxels" in next(iter(report.imported.values()))


def test_the_last_of_two_slices_at_one_position_is_left_out(make_series, source, studies):
    series = make_series(count=5)
    series.change(4, ImagePositionPatient=series.datasets[1].ImagePositionPatient).write()
    report = run_import(DicomImporter(source), studies)
    (case_id,) = report.imported
    assert len(report.left_out) == 1 and "is at the position of another slice" in report.left_out[0]
    assert np.array_equal(read_volume(studies / f"{case_id}.nii.gz").hu[1], series.pixels(1))


def test_a_file_that_is_there_twice_counts_once(make_series, source, studies):
    series = make_series().write("a")
    series.write("b")
    report = run_import(DicomImporter(source), studies)
    assert "5 x 6 x 4 voxels" in next(iter(report.imported.values()))
    assert len(report.left_out) == 4 and all("repeats an instance" in line for line in report.left_out)


def test_other_modalities_and_files_are_counted(make_series, source, studies):
    make_series("ct").write()
    make_series("mr").change(Modality="MR").write()
    (source / "DICOMDIR").write_bytes(b"ignored")
    (source / "notes.txt").write_text("no DICOM")
    report = run_import(DicomImporter(source), studies)
    assert len(report.imported) == 1
    assert report.left_out == ["4 files: their modality is MR; only CT is imported", "1 files: are not DICOM"]


def test_a_truncated_file_is_named(make_series, source, studies):
    make_series().write()
    path = source / "series" / "slice7"
    path.write_bytes(path.read_bytes()[:-20])
    assert "slice7" in one_left_out(source, studies)


def test_compressed_pixel_data_is_decoded_where_a_decoder_is_there(make_series, source, studies):
    series = make_series()
    for dataset in series.datasets:
        dataset.compress(RLELossless)
    series.write()
    (case_id,) = run_import(DicomImporter(source), studies).imported
    hu = read_volume(studies / f"{case_id}.nii.gz").hu
    assert np.array_equal(hu, [series.pixels(number) for number in range(4)])


def test_compressed_pixel_data_that_is_damaged_is_one_line(make_series, source, studies):
    series = make_series()
    for dataset in series.datasets:
        dataset.file_meta.TransferSyntaxUID = JPEGLosslessSV1
        dataset.PixelData = encapsulate([b"\xff\xd8\xff\xd9"])
        dataset["PixelData"].is_undefined_length = True
    series.write()
    line = one_left_out(source, studies)
    assert "(JPEG Lossless" in line and "cannot be decoded; it may be damaged" in line


def test_an_empty_folder_and_a_missing_one_are_named(source, studies):
    source.mkdir()
    assert one_left_out(source, studies) == "dicom: holds no CT image (0 files were looked at)"
    with pytest.raises(InputError, match="nowhere: is no folder"):
        run_import(DicomImporter(source / "nowhere"), studies)


def test_progress_reaches_its_end(make_series, source, studies):
    make_series().write()
    told = []
    run_import(DicomImporter(source), studies, on_progress=lambda *progress: told.append(progress))
    assert ("reading headers", 4, 4) in told and told[-1] == ("importing series", 1, 1)


@pytest.mark.skipif(not GE_HEAD.is_dir(), reason=f"real data missing: put ge_head_ct at {GE_HEAD}")
def test_a_real_tilted_head_is_imported_voxel_by_voxel(studies):
    ((case_id, what),) = run_import(DicomImporter(GE_HEAD), studies).imported.items()
    assert what == "512 x 512 x 28 voxels, slices 1.08 to 7.00 mm (uneven) apart, tilt 18.5 degrees"
    volume = read_volume(studies / f"{case_id}.nii.gz")
    slices = sorted((pydicom.dcmread(path) for path in GE_HEAD.glob("*.dcm")), key=lambda d: d.ImagePositionPatient[2])
    stored = np.stack([dataset.pixel_array for dataset in slices])
    assert np.array_equal(volume.hu, np.where(stored == -1500, -1024, stored))
    facts = json.loads((studies / "geometry" / f"{case_id}.geometry.json").read_bytes())
    assert facts["tilt_degrees"] == pytest.approx(18.5, abs=0.01)
    assert facts["sop_instance_uids"] == [dataset.SOPInstanceUID for dataset in slices]
    first = np.array(slices[0].ImagePositionPatient) * (-1, -1, 1)
    assert np.allclose(volume.geometry.affine[:3, 3], first, atol=1e-4)
    last = np.array(slices[-1].ImagePositionPatient) * (-1, -1, 1)
    assert np.allclose((volume.geometry.affine @ (0, 0, 27, 1))[:3], last, atol=1e-3)


def test_names_that_are_not_utf_8_are_imported_and_told(make_series, source, studies):
    series = make_series().write()
    odd = os.fsdecode(b"caf\xe9-\x1b[31m")
    (series.folder / "slice0").rename(series.folder / odd)
    (source / os.fsdecode(b"notes-\xff.txt")).write_text("x")
    (source / os.fsdecode(b"torn-\xff")).write_bytes(bytes(128) + b"DICM" + b"\x02\x00\x00\x00UL\x04")
    series.datasets[1].save_as(series.folder / os.fsdecode(b"copy-\xff"), write_like_original=False)
    report = run_import(DicomImporter(source), studies)
    assert len(report.imported) == 1
    lines = "\n".join(report.left_out)
    assert "copy-\\udcff repeats" in lines or "repeats an instance" in lines
    assert (studies / "import-dicom.csv").read_text(encoding="utf-8")


def test_two_patients_under_one_series_uid_are_left_out(make_series, source, studies):
    # Even the instances' UIDs are the same.
    make_series("x", uid="1.2.3").change(PatientID="one").write("a")
    make_series("y", uid="1.2.3").change(PatientID="two").write("b")
    report = run_import(DicomImporter(source), studies)
    assert "one SeriesInstanceUID holds images of 2 patients (PatientID); part them" in report.left_out[0]
    assert not list(studies.glob("*.nii.gz"))
