"""The DICOMweb archive against a real Orthanc: in, out, and what breaks."""

from __future__ import annotations

import gzip
import os
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pydicom
import pytest
from pydicom.encaps import encapsulate
from pydicom.filewriter import dcmwrite
from pydicom.uid import ExplicitVRBigEndian, JPEG2000Lossless, RLELossless

from recursive_expand.archives.dicomweb import DicomwebArchive
from recursive_expand.archives.pacs.connection import Pacs
from recursive_expand.archives.pacs.objects import LabelObjects, Written
from recursive_expand.archives.pacs.removal import Remover
from recursive_expand.cases import Role
from recursive_expand.dicom.coding import coding_of
from recursive_expand.dicom.derived import decode, encode
from recursive_expand.dicom.seg import make_seg, read_seg
from recursive_expand.dicom.series import read_series
from recursive_expand.dicom.sr import assessments
from recursive_expand.errors import InputError, Unreachable
from recursive_expand.phantom import CLASSES, make_head, write_dicom_series, write_scout
from recursive_expand.settings import PacsSettings

from ..dicom.sources import CODING, ORIGIN, REAL, Source, multi_frame

PHILIPS = Path("/work/shared/data/philips_ct_phantom")

PLANTED = (
    *("InstitutionName", "InstitutionAddress", "ReferringPhysicianName", "PerformingPhysicianName", "OperatorsName"),
    *("StationName", "StudyDescription", "SeriesDescription", "ProtocolName", "AccessionNumber", "StudyID"),
    *("PatientAddress", "OtherPatientIDs", "PatientComments", "ImageComments", "RequestingPhysician"),
    *("AdditionalPatientHistory", "InstitutionalDepartmentName", "DeviceSerialNumber", "IssuerOfPatientID"),
)

INFO = {
    "verdict": "accept",
    "round": 1,
    "model_sha256": "ab" * 32,
    "proposal_sha256": "cd" * 32,
    "reviewer": "anna",
    "client": "slicer",
    "ts": "2026-11-23T12:30:00+00:00",
}


def archive_of(orthanc, folder, kind="auto", written=None, **settings):
    pacs = Pacs(orthanc.url)
    objects = LabelObjects(pacs, CODING, written or Written(), Remover(pacs, kind), "0.2.0", folder / "objects")
    return DicomwebArchive(pacs, folder, CODING, objects, PacsSettings(**settings))


@pytest.fixture
def head():
    return make_head(3, size=48, slices=5)


@pytest.fixture
def source(orthanc, head, tmp_path):
    files = write_dicom_series(tmp_path / "dicom", head, seed=1, patient_id="SECRET")
    orthanc.load([*files, write_scout(tmp_path / "dicom", head, seed=1, patient_id="SECRET")])
    return Source(files)


@pytest.fixture
def archive(orthanc, source, tmp_path):
    archive = archive_of(orthanc, tmp_path / "workspace")
    archive.scan()
    return archive


def converted(files, folder, *options):
    if shutil.which("gdcmconv") is None:
        pytest.skip("gdcmconv is not installed: apt-get install libgdcm-tools")
    folder.mkdir()
    for path in files:
        subprocess.run(["gdcmconv", *options, path, folder / path.name], check=True)
    return sorted(folder.iterdir())


def big_endian(path):
    dataset = pydicom.dcmread(path)
    dataset.PixelData = dataset.pixel_array.astype(">u2").tobytes()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    dataset.is_little_endian, dataset.is_implicit_VR = False, False
    dataset.save_as(path)
    return path


def test_a_series_is_a_case_and_a_scout_is_left_out_with_the_reason(archive, source):
    scan = archive.scan()
    assert [case.case_id for case in scan.cases] == [source.series.series_instance_uid]
    assert scan.cases[0].role is Role.UNLABELLED
    assert scan.cases[0].patient.startswith("p")
    assert [line.reason for line in scan.set_aside] == ["its description names a scout; left out"]


def test_a_description_is_asked_for_with_wildcards(orthanc, source, tmp_path):
    description = str(source.headers[0].SeriesDescription)
    assert " " in description
    for asked, found in ((f"{description[:-2]}*", 1), ("*ZZZ*", 0), ("?" * len(description), 1)):
        scan = archive_of(orthanc, tmp_path / asked[0], dicomweb_description=asked).scan()
        assert len(scan.cases) == found, asked


@pytest.mark.parametrize(
    "kind",
    [
        *(
            "plain",
            "tilted",
            "gapped",
            "rle",
            "jpeg lossless",
            "jpeg 2000",
            "jpeg-ls",
            "deflated",
            "big-endian",
            "real",
        ),
        *("multi-frame", "multi-frame jpeg 2000"),
    ],
)
def test_pixels_and_geometry_are_those_of_the_files(orthanc, head, tmp_path, kind):
    if kind == "real":
        if not REAL.is_dir():
            pytest.skip(f"{REAL} is not here")
        files = sorted(REAL.glob("*.dcm"))
    else:
        options = {"tilted": {"tilt_degrees": 15.0}, "gapped": {"missing_slice": 2}, "rle": {}}.get(kind, {})
        if kind in ("rle", "deflated"):
            options["transfer_syntax"] = RLELossless if kind == "rle" else "1.2.840.10008.1.2.1.99"
        files = write_dicom_series(tmp_path / "dicom", head, seed=1, **options)
        if kind.startswith("multi-frame"):
            files = multi_frame(files, tmp_path / "multi")
        flags = {"jpeg lossless": "--jpeg", "jpeg 2000": "--j2k", "jpeg-ls": "--jpegls"}
        flag = flags.get(kind.removeprefix("multi-frame "))
        if flag is not None:
            files = converted(files, tmp_path / "packed", flag)
        if kind == "big-endian":
            files = [big_endian(path) for path in files]
    orthanc.load(files)
    archive = archive_of(orthanc, tmp_path / "workspace")
    (case,) = archive.scan().cases
    volume, expected = archive.read_volume(case.case_id), read_series(files).volume
    assert np.array_equal(volume.hu, expected.hu)
    assert np.allclose(volume.geometry.affine, expected.geometry.affine, atol=1e-3)
    assert volume.series.slice_names == expected.series.slice_names
    assert volume.series.tilt_degrees == pytest.approx(expected.series.tilt_degrees, abs=1e-3)
    assert archive.image_file(case.case_id).name == f"{case.case_id}.nii.gz"
    assert not list(archive.image_file(case.case_id).parent.glob(".series_*"))


@pytest.mark.skipif(not PHILIPS.is_dir(), reason=f"{PHILIPS} is not here")
def test_of_a_real_export_the_head_alone_is_a_case_that_can_be_read(orthanc, tmp_path):
    orthanc.load(path for path in sorted(PHILIPS.rglob("*")) if path.is_file() and b"DICM" in path.read_bytes()[:200])
    archive = archive_of(orthanc, tmp_path / "workspace")
    scan, read, refused = archive.scan(), {}, {}
    for case in scan.cases:
        try:
            read[case.case_id] = archive.read_volume(case.case_id).hu.shape
        except InputError as error:
            refused[case.case_id] = str(error)
    assert list(read.values()) == [(28, 512, 512)]
    assert len(refused) + len(scan.set_aside) >= 1


@pytest.mark.parametrize(
    ("syntax", "name"), [("1.2.840.10008.1.2.4.201", "HTJ2K"), ("1.2.840.10008.1.2.4.110", "transfer syntax 1.2.840")]
)
def test_a_transfer_syntax_that_nothing_decodes_is_the_reason(orthanc, head, tmp_path, syntax, name):
    files = write_dicom_series(tmp_path / "dicom", head, seed=1)
    for path in files:
        dataset = pydicom.dcmread(path)
        dataset.file_meta.TransferSyntaxUID = JPEG2000Lossless
        dataset.PixelData = encapsulate([b"\xff\x4f\xff\x51" + bytes(60)])
        dcmwrite(path, dataset)
        # pydicom 2.4 knows no such syntax: the name is put into the file, whose length stays (UIDs are padded).
        old = b"UI" + (22).to_bytes(2, "little") + JPEG2000Lossless.encode()
        content = path.read_bytes()
        assert old in content
        new = b"UI" + (24).to_bytes(2, "little") + syntax.encode() + b"\0"
        at = content.index(b"\x02\x00\x00\x00UL") + 8
        length = int.from_bytes(content[at : at + 4], "little") + 2
        path.write_bytes((content[:at] + length.to_bytes(4, "little") + content[at + 4 :]).replace(old, new))
    orthanc.load(files)
    archive = archive_of(orthanc, tmp_path / "workspace")
    (case,) = archive.scan().cases
    with pytest.raises(InputError, match=f"compressed as {name}.*nothing here decodes"):
        archive.read_volume(case.case_id)


def test_a_multi_frame_series_is_a_case_with_a_segmentation_of_its_frames(orthanc, head, tmp_path):
    source = Source(multi_frame(write_dicom_series(tmp_path / "dicom", head, seed=1), tmp_path / "multi"))
    orthanc.load(source.files)
    archive = archive_of(orthanc, tmp_path / "workspace")
    (case,) = archive.scan().cases
    archive.put_label(case.case_id, "final", source.label, INFO)
    (seg,) = stored(orthanc, "SEG")
    assert read_seg(seg, source.series, source.label.geometry, CODING).sha256 == source.label.sha256
    assert (
        seg.PerFrameFunctionalGroupsSequence[0].DerivationImageSequence[0].SourceImageSequence[0].ReferencedFrameNumber
    )


def test_slices_may_be_labelled_by_their_instances_before_the_series_is_read(orthanc, archive, source, tmp_path):
    case_id, uids = source.series.series_instance_uid, source.series.sop_instance_uids
    columns = ",".join(CLASSES)
    rows = [f"{case_id},{uids[3]},0,0,1,0,0", f"{case_id},1,1,0,0,0,0", f"{case_id},1.2.3.4.5,0,0,0,0,0"]
    table = tmp_path / "workspace" / "image_labels.csv"
    table.write_text("\n".join([f"case_id,slice,{columns}", *rows]))
    before = archive.scan()
    assert {number: set(label.present) for number, label in before.cases[0].image_labels.items()} == {
        3: {CLASSES[2]},
        1: {CLASSES[0]},
    }
    assert [line.file for line in before.set_aside if "is no slice of case" in line.reason] == [
        "image_labels.csv line 4"
    ]
    archive.image_file(case_id)
    assert archive.scan().cases == before.cases


def test_what_is_unusual_is_said_and_kept(orthanc, tmp_path):
    head = make_head(3, size=48, slices=6)
    files = write_dicom_series(tmp_path / "dicom", head, seed=1, tilt_degrees=15.0, missing_slice=3)
    double = pydicom.dcmread(files[1])
    double.SOPInstanceUID = double.file_meta.MediaStorageSOPInstanceUID = "1.2.3.4"
    double.InstanceNumber = 99
    double.save_as(tmp_path / "dicom" / "double.dcm")
    orthanc.load([*files, tmp_path / "dicom" / "double.dcm"])
    archive = archive_of(orthanc, tmp_path / "workspace")
    (case,) = archive.scan().cases
    assert archive.remarks(case.case_id) == []
    assert archive.read_volume(case.case_id).hu.shape[0] == 5
    said = "; ".join(archive.remarks(case.case_id))
    for part in ("tilted by 15.0 degrees", "mm apart", "after slice 2", "1.2.3.4 is at the position of another slice"):
        assert part in said
    assert archive.fetching() == {}
    assert archive_of(orthanc, tmp_path / "workspace").remarked() == {case.case_id: archive.remarks(case.case_id)}


def stored(orthanc, modality):
    return [decode(orthanc.file(uid)) for uid in orthanc.series(modality)]


@pytest.mark.parametrize("values", [(1, 2, 3, 4, 5), (3,), ()])
def test_an_accepted_mask_is_stored_as_seg_and_sr(orthanc, archive, source, values):
    label = source.mask(values)
    case_id = source.series.series_instance_uid
    archive.put_label(case_id, "final", label, INFO)
    (seg,), (report,) = stored(orthanc, "SEG"), stored(orthanc, "SR")
    assert read_seg(seg, source.series, label.geometry, CODING).sha256 == label.sha256
    assert {code for _, code in assessments(report)} == {"ACCEPTED"}
    assert seg.PatientID == report.PatientID == "SECRET"
    assert archive.labelled("final") == {case_id}
    assert archive.label_file(case_id, "final").is_file()


def test_repeating_changes_nothing_and_a_later_verdict_supersedes(orthanc, archive, source):
    case_id = source.series.series_instance_uid
    for _ in range(2):
        archive.put_label(case_id, "final", source.label, INFO)
    first = stored(orthanc, "SEG")[0].SOPInstanceUID
    later = INFO | {"round": 2, "ts": "2026-11-24T12:30:00+00:00"}
    archive.put_label(case_id, "final", source.mask((2,)), later)
    (seg,), (report,) = stored(orthanc, "SEG"), stored(orthanc, "SR")
    assert seg.SOPInstanceUID != first
    assert report.PredecessorDocumentsSequence
    archive.remove_label(case_id, "final")
    assert stored(orthanc, "SEG") == stored(orthanc, "SR") == []
    assert archive.labelled("final") == set()


def test_without_a_way_to_remove_the_earlier_ones_stay(orthanc, source, tmp_path):
    archive = archive_of(orthanc, tmp_path / "workspace", kind="plain")
    archive.scan()
    case_id = source.series.series_instance_uid
    archive.put_label(case_id, "final", source.label, INFO)
    archive.put_label(case_id, "final", source.mask((2,)), INFO | {"ts": "2026-11-24T12:30:00+00:00"})
    assert len(stored(orthanc, "SEG")) == 2
    archive.remove_label(case_id, "final")
    assert archive.labelled("final") == set()


def test_rejects_and_reports_are_stored_as_told(orthanc, source, tmp_path):
    case_id = source.series.series_instance_uid
    wanted = {"none": (0, 0), "seg": (1, 0), "sr": (0, 1), "all": (1, 1)}
    for objects, (masks, reports) in wanted.items():
        archive = archive_of(orthanc, tmp_path / objects, written=Written(objects))
        archive.scan()
        archive.put_label(case_id, "rejected", source.label, INFO | {"verdict": "reject", "reason": "too large"})
        labels = [seg.ContentLabel for seg in stored(orthanc, "SEG")]
        assert labels == (["REJECTED"] if objects == "all" else [])
        archive.remove_label(case_id, "rejected")
        archive.put_label(case_id, "final", source.label, INFO)
        assert (len(stored(orthanc, "SEG")), len(stored(orthanc, "SR"))) == (masks, reports)
        archive.remove_label(case_id, "final")


def test_anothers_segmentation_is_an_experts_mask_and_ours_is_none(orthanc, archive, source, tmp_path):
    case_id = source.series.series_instance_uid
    archive.put_label(case_id, "final", source.label, INFO)
    assert archive.scan().cases[0].role is Role.UNLABELLED
    archive.remove_label(case_id, "final")
    seg = make_seg(source.mask((4,)), source.series, source.headers, CODING, ORIGIN)
    seg.ManufacturerModelName = "somebody's"
    path = tmp_path / "expert.dcm"
    path.write_bytes(encode(seg))
    orthanc.load([path])
    (case,) = archive.scan().cases
    assert case.role is Role.PIXEL
    assert archive.read_expert_label(case_id).sha256 == source.mask((4,)).sha256
    with pytest.raises(InputError, match="no verdict replaces"):
        archive.put_label(case_id, "final", source.label, INFO)


def test_of_several_segmentations_in_one_series_none_is_taken_for_the_mask(orthanc, archive, source, tmp_path):
    for number, values in enumerate([(1,), (4,)]):
        seg = make_seg(source.mask(values), source.series, source.headers, CODING, ORIGIN)
        seg.ManufacturerModelName, seg.SeriesInstanceUID = "somebody's", "1.2.3.4"
        path = tmp_path / f"{number}.dcm"
        path.write_bytes(encode(seg))
        orthanc.load([path])
    (case,) = archive.scan().cases
    assert case.role is Role.PIXEL
    with pytest.raises(InputError, match="SEG: its series holds 2 segmentations: which counts"):
        archive.read_expert_label(case.case_id)


def test_a_mask_drawn_here_is_kept_at_once_and_stored_with_the_next_look(orthanc, archive, source):
    case_id = source.series.series_instance_uid
    archive.put_label(case_id, "final", source.label, {"source": "expert mask", "reviewer": "anna"})
    assert archive.read_expert_label(case_id).sha256 == source.label.sha256
    assert stored(orthanc, "SEG") == []
    signature = archive.scan().cases[0].signature
    assert [seg.ContentLabel for seg in stored(orthanc, "SEG")] == ["EXPERT"]
    again = archive.scan().cases[0]
    assert again.role is Role.PIXEL
    assert again.signature == signature


def test_filters_and_tables(orthanc, source, tmp_path):
    other = write_dicom_series(tmp_path / "other", make_head(4, size=48, slices=4), seed=2)
    orthanc.load(other)
    uid = str(pydicom.dcmread(other[0]).SeriesInstanceUID)
    study = str(pydicom.dcmread(other[0]).StudyInstanceUID)
    for settings in ({"dicomweb_series": uid}, {"dicomweb_studies": study}):
        cases = archive_of(orthanc, tmp_path / "workspace", **settings).scan().cases
        assert [case.case_id for case in cases] == [uid]
    for settings in ({"dicomweb_dates": "20250101-"}, {"dicomweb_body_part": "FOOT"}, {"dicomweb_modality": "MR"}):
        assert archive_of(orthanc, tmp_path / "none", **settings).scan().cases == []
    archive = archive_of(orthanc, tmp_path / "workspace")
    (tmp_path / "workspace" / "cases.csv").write_text(f"case_id,role\n{uid},test\n")
    columns = ",".join(CLASSES)
    (tmp_path / "workspace" / "image_labels.csv").write_text(
        f"case_id,slice,{columns}\n{source.series.series_instance_uid},1,0,0,1,0,0\n"
    )
    roles = {case.case_id: case.role for case in archive.scan().cases}
    assert roles == {uid: Role.TEST, source.series.series_instance_uid: Role.IMAGE}


def test_a_pacs_that_is_down_is_said_and_what_was_read_is_still_there(source, tmp_path, shared_orthanc):
    archive = archive_of(shared_orthanc, tmp_path / "workspace")
    case_id = archive.scan().cases[0].case_id
    archive.image_file(case_id)
    shared_orthanc.kill()
    try:
        with pytest.raises(Unreachable, match="cannot be reached"):
            archive.put_label(case_id, "final", source.label, INFO)
        again = archive_of(shared_orthanc, tmp_path / "workspace", kind="plain")
        scan = again.scan()
        assert [case.case_id for case in scan.cases] == [case_id]
        assert "last look" in scan.set_aside[0].reason
        assert again.read_volume(case_id).hu.shape == (5, 48, 48)
        with pytest.raises(Unreachable):
            archive_of(shared_orthanc, tmp_path / "fresh", kind="plain").scan()
    finally:
        shared_orthanc.start()
    archive.put_label(case_id, "final", source.label, INFO)
    assert len(stored(shared_orthanc, "SEG")) == 1


def test_nothing_that_is_written_names_the_patient(orthanc, head, tmp_path, caplog, recwarn):
    files = write_dicom_series(tmp_path / "dicom", head, seed=1, patient_id="SECRET-ID")
    for path in files:
        dataset = pydicom.dcmread(path)
        for name in PLANTED:
            setattr(dataset, name, "SECRET")
        dataset.PatientName, dataset.PatientBirthDate = "SECRET^Ünsal", "19470101"
        dataset.SpecificCharacterSet = "ISO_IR 192"
        dataset.save_as(path)
    orthanc.load(files)
    source, archive = Source(files), archive_of(orthanc, tmp_path / "workspace")
    archive.scan()
    case_id = source.series.series_instance_uid
    archive.image_file(case_id)
    archive.put_label(case_id, "final", source.label, INFO)
    archive.scan()
    written = [path for path in (tmp_path / "workspace").rglob("*") if path.is_file()]
    assert len(written) > 5
    for path in written:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        assert not [secret for secret in (b"SECRET", b"nsal", b"19470101") if secret in content], path.name
        assert "SECRET" not in path.name
    assert "SECRET" not in caplog.text
    assert not [warning for warning in recwarn if "SECRET" in str(warning.message)]


def test_an_object_that_the_pacs_does_not_keep_is_not_taken_for_stored(archive, source, monkeypatch):
    monkeypatch.setattr(archive._objects._pacs, "store", lambda study, datasets: None)
    with pytest.raises(InputError, match="keeps another one or none"):
        archive.put_label(source.series.series_instance_uid, "final", source.label, INFO)


def test_a_broken_transfer_is_mended_one_by_one(archive, source, monkeypatch):
    pacs = archive._pacs
    whole = pacs.instances

    def half(study, series):
        for number, instance in enumerate(whole(study, series)):
            if number == 2:
                raise Unreachable("broke off")
            instance.PixelData = instance.PixelData[: len(instance.PixelData) // (number + 1)]
            yield instance

    monkeypatch.setattr(pacs, "instances", half)
    assert np.array_equal(archive.read_volume(source.series.series_instance_uid).hu, source.volume.hu)


def test_an_instance_that_does_not_come_fails_the_series(archive, source, monkeypatch):
    monkeypatch.setattr(archive._pacs, "instances", lambda study, series: iter(()))
    monkeypatch.setattr(archive._pacs, "instance", lambda *uids: pydicom.dcmread(source.files[0]))
    with pytest.raises(Unreachable, match="another instance"):
        archive.read_volume(source.series.series_instance_uid)


def test_what_is_kept_is_bounded_and_fetched_again(orthanc, source, tmp_path):
    other = write_dicom_series(tmp_path / "other", make_head(4, size=48, slices=4), seed=2)
    orthanc.load(other)
    pacs = Pacs(orthanc.url)
    objects = LabelObjects(pacs, CODING, Written(), Remover(pacs, "plain"), "0.2.0", tmp_path / "objects")
    archive = DicomwebArchive(pacs, tmp_path / "workspace", CODING, objects, PacsSettings(), cache_bytes=1)
    archive.scan()
    case_id = source.series.series_instance_uid
    image = archive.image_file(case_id)
    os.utime(image, (1, 1))  # long ago: nobody uses it
    newer = archive.image_file(str(pydicom.dcmread(other[0]).SeriesInstanceUID))
    assert (image.exists(), newer.exists()) == (False, True)
    assert np.array_equal(archive.read_volume(case_id).hu, source.volume.hu)


def test_an_image_that_a_power_cut_left_half_written_is_fetched_again(archive, source):
    case_id = source.series.series_instance_uid
    image = archive.image_file(case_id)
    image.write_bytes(image.read_bytes()[:100])
    assert np.array_equal(archive.read_volume(case_id).hu, source.volume.hu)


def test_what_it_does_not_know_and_does_not_do_is_refused(archive, source):
    case_id = source.series.series_instance_uid
    for act in (archive.image_file, archive.signature, archive.reference, archive.read_expert_label):
        with pytest.raises(InputError):
            act("1.2.3")
    with pytest.raises(InputError, match="tag"):
        archive.label_file(case_id, "../x")
    with pytest.raises(InputError, match="no label final"):
        archive.label_file(case_id, "final")
    with pytest.raises(InputError, match="is a PACS"):
        archive.add_image("x", source.files[0])


def test_codes_must_be_there():
    code = SimpleNamespace(value="1", meaning="one", scheme="SCT")
    with pytest.raises(InputError, match="names none for b, region"):
        coding_of(("a", "b"), {"a": code, "category": code})
    assert coding_of(("a",), {"a": code, "category": code, "region": code}).types[0].value == "1"
