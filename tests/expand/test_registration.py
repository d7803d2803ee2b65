"""What lies in the folder becomes known to the ledger; what cannot be used is set aside, the rest works."""

import json
import os
import shutil
import threading

import nibabel as nib
import numpy as np
import pytest

from recursive_expand.archives.images import write_label
from recursive_expand.cases import Geometry, ImageLabels, LabelMap, Role, SeriesReference
from recursive_expand.errors import Unreachable
from recursive_expand.expand.registration import UnusableArchive, register_cases
from recursive_expand.ledger import CaseState


def roles(recursion):
    return {case.case_id: str(case.role) for case in recursion.ledger.cases.iterate()}


def test_all_cases_get_their_roles_labels_and_masks(recursion):
    steps = []
    assert register_cases(recursion, lambda *step: steps.append(step)) == 7
    assert steps == [(done, 7) for done in range(1, 8)]
    assert roles(recursion) == {
        "i0": "image", "i1": "image", "p0": "pixel", "p1": "pixel", "p2": "pixel", "t0": "test", "u0": "unlabelled",
    }  # fmt: skip
    case, case_p0 = recursion.ledger.cases.get("i0"), recursion.ledger.cases.get("p0")
    assert (case.slices, case.image_labels[2]) == (3, ImageLabels(frozenset()))
    assert case.image_labels[0] == ImageLabels(frozenset({"intraparenchymal"}))
    assert recursion.expert_label(case_p0).slices.shape == (3, 48, 48)
    assert case_p0.pixel_sha256 == recursion.expert_label(case_p0).sha256
    assert recursion.ledger.cases.get("t0").has_expert_mask and not case.has_expert_mask
    assert case_p0.name == "p0.nii.gz"


def test_a_second_look_reads_nothing_again(recursion, monkeypatch):
    register_cases(recursion)
    monkeypatch.setattr("recursive_expand.expand.registration.check_case", None)
    assert register_cases(recursion) == 0


def test_what_an_archive_tells_of_early_is_read_while_it_still_looks(recursion, monkeypatch):
    look, read, was_read = recursion.archive.scan, threading.Event(), []

    def slowly(on_found):
        scan = look()
        on_found([case for case in scan.cases if case.case_id == "u0"])
        was_read.append(read.wait(30))
        return scan

    monkeypatch.setattr(type(recursion.archive), "scan", lambda self, on_found: slowly(on_found))
    steps = []
    assert register_cases(recursion, lambda *step: (steps.append(step), read.set())) == 7
    assert was_read == [True]
    assert steps[:2] == [(1, 1), (2, 7)]
    assert len(roles(recursion)) == 7


def test_new_changed_and_missing_images_are_seen(recursion, tmp_path):
    register_cases(recursion)
    folder = recursion.archive.studies
    shutil.copy(folder / "u0.nii.gz", folder / "u1.nii.gz")
    os.utime(folder / "i1.nii.gz", ns=(1, 1))
    (folder / "u0.nii.gz").rename(tmp_path / "u0.nii.gz")
    assert register_cases(recursion) == 2
    gone = recursion.ledger.cases.get("u0")
    assert gone.state is CaseState.SET_ASIDE
    assert gone.reason == "u0: its image is no longer in studies; put it back to use it"
    assert roles(recursion)["u1"] == "unlabelled"
    (tmp_path / "u0.nii.gz").rename(folder / "u0.nii.gz")
    assert register_cases(recursion) == 1
    assert recursion.ledger.cases.get("u0").state is CaseState.READY


def set_patients(recursion, **patients):
    table = recursion.archive.studies / "cases.csv"
    header, *rows = [line.split(",")[:2] for line in table.read_text().splitlines()]
    lines = [[*header, "patient"], *([case_id, role, patients.get(case_id, "")] for case_id, role in rows)]
    table.write_text("".join(",".join(line) + "\n" for line in lines))


def test_patients_are_recorded_also_when_they_become_known_later(recursion):
    register_cases(recursion)
    assert recursion.ledger.cases.get("p0").patient is None
    set_patients(recursion, p0="P1", p1="P1", i0="P2")
    assert register_cases(recursion) == 3
    assert [recursion.ledger.cases.get(case_id).patient for case_id in ("p0", "p1", "i0", "t0")] == [
        "P1",
        "P1",
        "P2",
        None,
    ]


def test_a_patient_in_two_roles_is_refused_with_the_names_until_it_is_mended(recursion):
    set_patients(recursion, p0="P1", t0="P1", i0="P2", u0="P2")
    register_cases(recursion)
    reason = "patient P1 is in 2 roles: pixel (p0), test (t0); give all cases of a patient one role"
    assert dict(recursion.ledger.cases.list_set_aside()) == {
        case: f"cases.csv: case {case}: {reason}" for case in ("p0", "t0")
    }
    assert roles(recursion).keys() == {"p1", "p2", "i0", "i1", "u0"}
    set_patients(recursion, p0="P1", t0="P3")
    register_cases(recursion)
    assert (recursion.ledger.cases.get("p0").role, recursion.ledger.cases.get("t0").role) == (Role.PIXEL, Role.TEST)
    assert recursion.ledger.cases.get("t0").patient == "P3"


def test_a_mask_drawn_while_the_recursion_runs_puts_nobody_into_two_roles(recursion):
    set_patients(recursion, i0="P1", u0="P1")
    table = recursion.archive.studies / "cases.csv"
    table.write_text(table.read_text().replace("u0,unlabelled", "u0,"))
    register_cases(recursion)
    drawn = LabelMap.background(geometry_of(recursion))
    recursion.archive.put_label("u0", "final", drawn, {"source": "expert"})
    register_cases(recursion)
    assert recursion.ledger.cases.list_set_aside() == []


def test_bad_files_are_set_aside_with_the_reason_and_the_others_work(recursion):
    folder = recursion.archive.studies
    content = (folder / "u0.nii.gz").read_bytes()
    (folder / "u0.nii.gz").write_bytes(content[: len(content) // 2])
    nib.save(nib.Nifti1Image(np.zeros((8, 8, 3, 2), np.int16), np.eye(4)), folder / "four.nii.gz")
    final = folder / "labels" / "final"
    write_label(final / "p0.nii.gz", LabelMap.background(Geometry.of((48, 48, 2), np.eye(4))))
    write_label(final / "p1.nii.gz", LabelMap(np.full((48, 48, 3), 9, np.uint8), geometry_of(recursion)))
    with (folder / "image_labels.csv").open("a") as file:
        file.write("nobody,0,0,0,0,0,0\n")
    register_cases(recursion)
    aside = dict(recursion.ledger.cases.list_set_aside())
    assert aside.keys() == {"u0", "four", "p0", "p1", "image_labels.csv line 8"}
    assert "truncated" in aside["u0"]
    assert aside["p0"].startswith("labels/final/p0.nii.gz: has 48 x 48 x 2 voxels, its image 48 x 48 x 3")
    assert aside["p1"].startswith("labels/final/p1.nii.gz: holds the value 9, which is no class")
    assert roles(recursion).keys() == {"i0", "i1", "p2", "t0"}


def geometry_of(recursion):
    return recursion.volume("p1").geometry


def test_a_mended_file_gets_the_role_that_it_should_have_had(recursion):
    folder = recursion.archive.studies
    shutil.copy(folder / "t0.nii.gz", folder / "T0.nii.gz")  # the same id to a file system that ignores case
    register_cases(recursion)
    assert "t0" not in roles(recursion)
    (folder / "T0.nii.gz").unlink()
    register_cases(recursion)
    assert recursion.ledger.cases.get("t0").role is Role.TEST


def test_a_role_is_settled_on_first_sight(recursion):
    register_cases(recursion)
    folder = recursion.archive.studies
    shutil.copy(folder / "labels" / "final" / "p0.nii.gz", folder / "labels" / "final" / "u0.nii.gz")
    (folder / "cases.csv").unlink()
    register_cases(recursion)
    assert recursion.ledger.cases.get("u0").role is Role.UNLABELLED
    assert not recursion.ledger.cases.get("u0").has_expert_mask
    assert recursion.ledger.cases.get("t0").role is Role.TEST


def test_image_labels_that_change_later_are_seen(recursion):
    register_cases(recursion)
    table = recursion.archive.studies / "image_labels.csv"
    table.write_text(table.read_text().replace("i1,0,0,1,", "i1,0,1,1,"))
    assert register_cases(recursion) == 1
    assert recursion.ledger.cases.get("i1").image_labels[0] == ImageLabels(frozenset({"epidural", "intraparenchymal"}))


def test_a_verdict_s_label_is_no_expert_mask_even_to_a_new_ledger(recursion, reopen, tmp_path):
    register_cases(recursion)
    recursion.archive.put_label("u0", "final", LabelMap.background(geometry_of(recursion)), {"verdict": "accept"})
    (recursion.archive.studies / "cases.csv").unlink()
    other = reopen(recursion.archive.studies, workspace=tmp_path / "other")
    register_cases(other)
    assert other.ledger.cases.get("u0").role is Role.UNLABELLED
    assert other.ledger.cases.get("p0").role is Role.PIXEL


def test_a_moved_folder_is_read_from_its_new_place(recursion, reopen, tmp_path):
    register_cases(recursion)
    recursion.ledger.close()
    moved = recursion.archive.studies.rename(tmp_path / "moved")
    again = reopen(moved)
    register_cases(again)
    assert again.ledger.cases.list_set_aside() == []
    for case in again.ledger.cases.iterate():
        assert again.volume(case.case_id).hu.shape == (3, 48, 48)
    assert again.expert_label(again.ledger.cases.get("p0")).filled


def test_an_image_of_another_shape_does_not_take_the_place_of_a_proposed_one(reviewing):
    path = reviewing.archive.studies / "u0.nii.gz"
    nib.save(nib.Nifti1Image(np.zeros((40, 48, 3), np.int16), np.diag([-4.0, -4.0, 5.0, 1.0])), path)
    register_cases(reviewing)
    assert reviewing.ledger.cases.get("u0").reason == (
        "u0.nii.gz: has 40x48x3 voxels, but 48x48x3 when it was proposed; give the new image another case id"
    )
    assert reviewing.ledger.queue.count() == 2


@pytest.mark.parametrize("name", ["cases.csv", "image_labels.csv"])
def test_a_table_that_is_no_table_stops_everything_until_it_is_mended(recursion, name):
    """A test case could pass for another; so nothing is registered, also not what was set aside."""
    table = recursion.archive.studies / name
    content = table.read_bytes()
    table.write_bytes(b"\xff\xfe\x00nonsense")
    with pytest.raises(UnusableArchive, match=f"^{name}"):
        register_cases(recursion)
    assert list(recursion.ledger.cases.iterate(state=None)) == []
    assert recursion.ledger.cases.list_set_aside() == []
    table.write_bytes(content)
    assert register_cases(recursion) == 7


def test_what_is_known_stays_as_it_is_while_a_table_cannot_be_read(reviewing):
    before = list(reviewing.ledger.cases.iterate(state=None))
    (reviewing.archive.studies / "cases.csv").write_bytes(b"\xff\xfe\x00nonsense")
    (reviewing.archive.studies / "u0.nii.gz").unlink()
    with pytest.raises(UnusableArchive):
        register_cases(reviewing)
    assert list(reviewing.ledger.cases.iterate(state=None)) == before


def test_the_series_that_a_case_came_from_is_known(recursion):
    series = SeriesReference(
        "1.2.3", None, ("1", "2", "3"), np.zeros((3, 3)), np.zeros(6), np.ones(2), 0.0, np.full(2, 5.0)
    )
    folder = recursion.archive.studies / "geometry"
    folder.mkdir()
    (folder / "u0.geometry.json").write_text(json.dumps(series.to_json()))
    (folder / "i0.geometry.json").write_text("{")
    register_cases(recursion)
    assert recursion.ledger.cases.get("u0").series_instance_uid == "1.2.3"
    assert recursion.ledger.cases.get("i1").series_instance_uid is None
    assert recursion.ledger.cases.get("i0").reason.startswith("geometry/i0.geometry.json: ")


def test_an_archive_that_goes_down_loses_nothing_that_was_read(recursion, monkeypatch):
    read = type(recursion.archive).read_volume
    calls = []

    def down(self, case_id):
        calls.append(case_id)
        if len(calls) == 3:
            raise Unreachable("pacs.example cannot be reached")
        return read(self, case_id)

    monkeypatch.setattr(type(recursion.archive), "read_volume", down)
    with pytest.raises(Unreachable):
        register_cases(recursion)
    assert len(recursion.ledger.cases.ids()) == 2
    register_cases(recursion)
    assert calls.count(calls[0]) == 1
    assert calls[2] in recursion.ledger.cases.ids()
    assert recursion.ledger.cases.list_set_aside() == []
