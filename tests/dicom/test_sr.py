"""Judgements as DICOM SR, read back by highdicom and checked by dciodvfy."""

from __future__ import annotations

import copy
import dataclasses

import highdicom as hd
import pytest

from recursive_expand.dicom.derived import decode, encode
from recursive_expand.dicom.seg import make_seg
from recursive_expand.dicom.sr import Judgement, assessments, make_sr, person_name
from recursive_expand.phantom import CLASSES

from .sources import CODING, ORIGIN, REAL, faults, phantom_source, real_source


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return phantom_source(tmp_path_factory.mktemp("plain"), tilt_degrees=10.0)


def report(source, judgement, values=(2, 4)):
    seg = make_seg(source.mask(values), source.series, source.headers, CODING, ORIGIN)
    return seg, decode(encode(make_sr(judgement, seg, source.series, source.headers, CODING, ORIGIN)))


CASES = {
    "accepted": (Judgement(True, "anna"), (2, 4)),
    "rejected with a reason": (Judgement(False, "anna", reason="misses the bleed"), (1,)),
    "verified": (Judgement(True, "anna", authenticated=True, organization="Ward 3"), (1, 2, 3, 4, 5)),
    "by a rule": (Judgement(True, "accept all", by_device=True, authenticated=True), (3,)),
    "nothing shown": (Judgement(True, "anna"), ()),
}


@pytest.mark.parametrize("name", CASES)
def test_the_validator_finds_no_error(plain, tmp_path, name):
    path = tmp_path / "sr.dcm"
    judgement, values = CASES[name]
    path.write_bytes(encode(report(plain, judgement, values)[1]))
    found = faults(path)
    if found is None:
        pytest.skip("dciodvfy is not installed: apt-get install dicom3tools")
    assert found == []


def test_a_real_series_gives_a_valid_report(tmp_path):
    if not REAL.is_dir():
        pytest.skip(f"{REAL} is not here")
    path = tmp_path / "sr.dcm"
    path.write_bytes(encode(report(real_source(), Judgement(True, "anna"))[1]))
    assert not faults(path)


def test_each_class_shown_has_its_assessment_and_refers_to_its_segment(plain):
    seg, document = report(plain, Judgement(True, "anna"))
    assert assessments(document) == [(2, "ACCEPTED"), (4, "ACCEPTED")]
    content = hd.sr.ComprehensiveSR.from_dataset(document).content
    group = content.get_volumetric_roi_measurement_groups()[0]
    assert group.referenced_segment[0].referenced_sop_instance_uid == seg.SOPInstanceUID
    assert group.finding_type.value == CODING.types[1].value
    assert group.tracking_identifier == CLASSES[1]
    images = {item.referenced_sop_instance_uid for item in group.referenced_segment[1:]}
    assert images == set(plain.series.sop_instance_uids)


def test_a_rejection_says_why_and_nothing_shown_speaks_of_the_series(plain):
    _, document = report(plain, Judgement(False, "anna", reason="misses the bleed"), ())
    assert assessments(document) == [(None, "REJECTED")]
    assert "misses the bleed" in str(document)
    assert document.CodingSchemeIdentificationSequence[0].CodingSchemeDesignator == "99RECURSIVE"


def test_without_a_stored_mask_nothing_refers_to_it(plain, tmp_path):
    seg = make_seg(plain.mask((2, 4)), plain.series, plain.headers, CODING, ORIGIN)
    document = make_sr(Judgement(True, "anna"), seg, plain.series, plain.headers, CODING, ORIGIN, stored=False)
    assert assessments(document) == [(None, "ACCEPTED")] * 2
    assert str(seg.SOPInstanceUID) not in str(document)
    assert CODING.types[3].meaning in str(document)
    path = tmp_path / "sr.dcm"
    path.write_bytes(encode(document))
    assert not faults(path)


def test_only_an_authenticated_person_verifies(plain):
    flags = {name: report(plain, judgement)[1].VerificationFlag for name, (judgement, _) in CASES.items()}
    assert {name for name, flag in flags.items() if flag == "VERIFIED"} == {"verified"}


def test_the_same_judgement_makes_the_same_report_and_names_its_predecessor(plain):
    judgement = Judgement(True, "anna", authenticated=True)
    first = report(plain, judgement)[1]
    assert encode(report(plain, judgement)[1]) == encode(first)
    later = report(plain, Judgement(True, "anna", predecessors=[first]))[1]
    item = later.PredecessorDocumentsSequence[0].ReferencedSeriesSequence[0].ReferencedSOPSequence[0]
    assert item.ReferencedSOPInstanceUID == first.SOPInstanceUID


def test_the_patient_is_the_sources_and_is_not_printed(plain, caplog, recwarn):
    source = copy.copy(plain)
    source.headers = [copy.deepcopy(header) for header in plain.headers]
    for header in source.headers:
        header.PatientName = "secret"
    assert report(source, Judgement(True, "anna"))[1].PatientName == "secret"
    assert "secret" not in caplog.text
    assert not [warning for warning in recwarn if "secret" in str(warning.message)]


def test_a_login_becomes_a_person_name():
    assert person_name("a^b=c\\d\n") == "a b c d^"
    assert person_name("") == "unknown^"


def test_an_imported_mask_is_its_tool_s_in_both_objects(plain, tmp_path):
    origin = dataclasses.replace(ORIGIN, tool="TotalSegmentator 2.4")
    seg = make_seg(plain.mask((2,)), plain.series, plain.headers, CODING, origin)
    judged = make_sr(Judgement(True, "anna"), seg, plain.series, plain.headers, CODING, origin)
    algorithm = seg.SegmentSequence[0].SegmentationAlgorithmIdentificationSequence[0]
    assert algorithm.AlgorithmName == "TotalSegmentator 2.4"
    assert f"file_sha256={ORIGIN.model_sha256}" in str(algorithm.AlgorithmParameters)
    said = encode(judged)
    assert b"TotalSegmentator 2.4" in said and f"file_sha256 {ORIGIN.model_sha256}".encode() in said
    (tmp_path / "seg.dcm").write_bytes(encode(seg))
    (tmp_path / "sr.dcm").write_bytes(encode(judged))
    assert not faults(tmp_path / "seg.dcm") and not faults(tmp_path / "sr.dcm")
