"""What lies in the folder becomes known to the ledger; what cannot be used is set aside, the rest works."""

import os
import shutil

import nibabel as nib
import numpy as np
import pytest

from recursive_expand.archives.images import write_mask
from recursive_expand.cases import Geometry, ImageLabels, Role
from recursive_expand.expand.registration import register_cases
from recursive_expand.ledger import CaseState


def roles(study):
    return {case.case_id: str(case.role) for case in study.ledger.iter_cases()}


def test_all_cases_get_their_roles_labels_and_masks(study):
    steps = []
    assert register_cases(study, lambda *step: steps.append(step)) == 7
    assert steps == [(done, 7) for done in range(1, 8)]
    assert roles(study) == {
        "i0": "image", "i1": "image", "p0": "pixel", "p1": "pixel", "p2": "pixel", "t0": "test", "u0": "unlabelled",
    }  # fmt: skip
    case = study.ledger.case("i0")
    assert (case.slices, case.image_labels[2]) == (3, ImageLabels(frozenset()))
    assert case.image_labels[0] == ImageLabels(frozenset({"intraparenchymal"}))
    assert study.pixel_mask(study.ledger.case("p0")).shape == (3, 48, 48)
    assert study.ledger.case("t0").pixel_label.endswith("labels/final/t0.nii.gz")


def test_a_second_look_reads_nothing_again(study, monkeypatch):
    register_cases(study)
    monkeypatch.setattr("recursive_expand.expand.registration.check_case", None)
    assert register_cases(study) == 0


def test_new_changed_and_missing_images_are_seen(study, tmp_path):
    register_cases(study)
    folder = study.archive.studies
    shutil.copy(folder / "u0.nii.gz", folder / "u1.nii.gz")
    os.utime(folder / "i1.nii.gz", ns=(1, 1))
    (folder / "u0.nii.gz").rename(tmp_path / "u0.nii.gz")
    assert register_cases(study) == 2
    gone = study.ledger.case("u0")
    assert gone.state is CaseState.SET_ASIDE
    assert gone.reason == "u0: its image is no longer in the studies folder; put it back to use it"
    assert roles(study)["u1"] == "unlabelled"
    (tmp_path / "u0.nii.gz").rename(folder / "u0.nii.gz")
    assert register_cases(study) == 1
    assert study.ledger.case("u0").state is CaseState.READY


def set_patients(study, **patients):
    table = study.archive.studies / "cases.csv"
    header, *rows = [line.split(",")[:2] for line in table.read_text().splitlines()]
    lines = [[*header, "patient"], *([case_id, role, patients.get(case_id, "")] for case_id, role in rows)]
    table.write_text("".join(",".join(line) + "\n" for line in lines))


def test_patients_are_recorded_also_when_they_become_known_later(study):
    register_cases(study)
    assert study.ledger.case("p0").patient is None
    set_patients(study, p0="P1", p1="P1", i0="P2")
    assert register_cases(study) == 3
    assert [study.ledger.case(case_id).patient for case_id in ("p0", "p1", "i0", "t0")] == ["P1", "P1", "P2", None]


def test_a_patient_in_two_roles_is_refused_with_the_names_until_it_is_mended(study):
    set_patients(study, p0="P1", t0="P1", i0="P2", u0="P2")
    register_cases(study)
    reason = "patient P1 is in 2 roles: pixel (p0), test (t0); give all cases of a patient one role"
    assert dict(study.ledger.list_set_aside()) == {case: f"cases.csv: case {case}: {reason}" for case in ("p0", "t0")}
    assert roles(study).keys() == {"p1", "p2", "i0", "i1", "u0"}
    set_patients(study, p0="P1", t0="P3")
    register_cases(study)
    assert (study.ledger.case("p0").role, study.ledger.case("t0").role) == (Role.PIXEL, Role.TEST)
    assert study.ledger.case("t0").patient == "P3"


def test_a_mask_drawn_while_the_study_runs_puts_nobody_into_two_roles(study):
    set_patients(study, i0="P1", u0="P1")
    table = study.archive.studies / "cases.csv"
    table.write_text(table.read_text().replace("u0,unlabelled", "u0,"))
    register_cases(study)
    geometry = study_geometry(study)
    study.archive.write_label("u0", "final", np.zeros(geometry.native_shape, np.uint8), geometry, {"source": "expert"})
    register_cases(study)
    assert study.ledger.list_set_aside() == []


def test_bad_files_are_set_aside_with_the_reason_and_the_others_work(study):
    folder = study.archive.studies
    content = (folder / "u0.nii.gz").read_bytes()
    (folder / "u0.nii.gz").write_bytes(content[: len(content) // 2])
    nib.save(nib.Nifti1Image(np.zeros((8, 8, 3, 2), np.int16), np.eye(4)), folder / "four.nii.gz")
    write_mask(
        folder / "labels" / "final" / "p0.nii.gz", np.zeros((48, 48, 2), np.uint8), Geometry.of((48, 48, 2), np.eye(4))
    )
    write_mask(folder / "labels" / "final" / "p1.nii.gz", np.full((48, 48, 3), 9, np.uint8), study_geometry(study))
    with (folder / "image_labels.csv").open("a") as file:
        file.write("nobody,0,0,0,0,0,0\n")
    register_cases(study)
    aside = dict(study.ledger.list_set_aside())
    assert aside.keys() == {"u0", "four", "p0", "p1", "image_labels.csv line 8"}
    assert "truncated" in aside["u0"]
    assert aside["p0"].startswith("labels/final/p0.nii.gz: has 48 x 48 x 2 voxels, its image 48 x 48 x 3")
    assert aside["p1"].startswith("labels/final/p1.nii.gz: holds the value 9, which is no class")
    assert roles(study).keys() == {"i0", "i1", "p2", "t0"}


def study_geometry(study):
    return study.cache.load("p1", study.archive.studies / "p1.nii.gz").geometry


def test_a_mended_file_gets_the_role_that_it_should_have_had(study):
    folder = study.archive.studies
    shutil.copy(folder / "t0.nii.gz", folder / "T0.nii.gz")  # the same id to a file system that ignores case
    register_cases(study)
    assert "t0" not in roles(study)
    (folder / "T0.nii.gz").unlink()
    register_cases(study)
    assert study.ledger.case("t0").role is Role.TEST


def test_a_role_is_settled_on_first_sight(study):
    register_cases(study)
    folder = study.archive.studies
    shutil.copy(folder / "labels" / "final" / "p0.nii.gz", folder / "labels" / "final" / "u0.nii.gz")
    (folder / "cases.csv").unlink()
    register_cases(study)
    assert study.ledger.case("u0").role is Role.UNLABELLED
    assert study.ledger.case("u0").pixel_label is None
    assert study.ledger.case("t0").role is Role.TEST


def test_image_labels_that_change_later_are_seen(study):
    register_cases(study)
    table = study.archive.studies / "image_labels.csv"
    table.write_text(table.read_text().replace("i1,0,0,1,", "i1,0,1,1,"))
    assert register_cases(study) == 1
    assert study.ledger.case("i1").image_labels[0] == ImageLabels(frozenset({"epidural", "intraparenchymal"}))


def test_a_verdict_s_label_is_no_expert_mask_even_to_a_new_ledger(study, reopen, tmp_path):
    register_cases(study)
    geometry = study_geometry(study)
    mask = np.zeros(geometry.native_shape, np.uint8)
    study.archive.write_label("u0", "final", mask, geometry, {"verdict": "accept"})
    (study.archive.studies / "cases.csv").unlink()
    other = reopen(study.archive.studies, workspace=tmp_path / "other")
    register_cases(other)
    assert other.ledger.case("u0").role is Role.UNLABELLED
    assert other.ledger.case("p0").role is Role.PIXEL


def test_a_moved_folder_is_read_from_its_new_place(study, reopen, tmp_path):
    register_cases(study)
    study.ledger.close()
    moved = study.archive.studies.rename(tmp_path / "moved")
    again = reopen(moved)
    register_cases(again)
    assert again.ledger.list_set_aside() == []
    for case in again.ledger.iter_cases():
        assert again.volume(case).hu.shape == (3, 48, 48)
    assert again.pixel_mask(again.ledger.case("p0")).any()


def test_an_image_of_another_shape_does_not_take_the_place_of_a_proposed_one(reviewing):
    path = reviewing.archive.studies / "u0.nii.gz"
    nib.save(nib.Nifti1Image(np.zeros((40, 48, 3), np.int16), np.diag([-4.0, -4.0, 5.0, 1.0])), path)
    register_cases(reviewing)
    assert reviewing.ledger.case("u0").reason == (
        "u0.nii.gz: has 40x48x3 voxels, but 48x48x3 when it was proposed; give the new image another case id"
    )
    assert reviewing.ledger.count_undecided() == 2


@pytest.mark.parametrize("name", ["cases.csv", "image_labels.csv"])
def test_a_table_that_is_no_table_is_one_line(study, name):
    (study.archive.studies / name).write_bytes(b"\xff\xfe\x00nonsense")
    register_cases(study)
    assert any(source.startswith(name) for source, _ in study.ledger.list_set_aside())
    assert "p0" in roles(study)
