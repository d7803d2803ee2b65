"""physionet.py: both versions of CT-ICH as they are distributed become cases with class masks."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from recursive_expand.archives.archive import check_case
from recursive_expand.archives.folder import FolderArchive
from recursive_expand.cases import Role
from recursive_expand.errors import InputError
from recursive_expand.importers.commands import physionet_command
from recursive_expand.importers.physionet import PhysionetImporter
from recursive_expand.importers.runner import run_import
from recursive_expand.importers.typed_masks import Multi

CLASSES = ("epidural", "intraparenchymal", "intraventricular", "subarachnoid", "subdural")
HEADER = "PatientNumber,SliceNumber,Intraventricular,Intraparenchymal,Subarachnoid,Epidural,Subdural,No_Hemorrhage,"
CLEAN, IPH, SDH, BOTH = "0,0,0,0,0,1,0", "0,1,0,0,0,0,0", "0,0,0,0,1,0,1", "0,1,0,0,1,0,0"


def table(path, rows):
    lines = [f"{HEADER}Fracture_Yes_No", *(f"{patient},{number},{flags}" for patient, number, flags in rows)]
    path.write_text("\n".join(lines) + "\n")


@pytest.fixture
def raw(tmp_path):
    """Version 1.3.1: patients 49 (five slices) and 50 (two)."""
    root = tmp_path / "ct-ich-1.3.1"
    (root / "ct_scans").mkdir(parents=True)
    (root / "masks").mkdir()
    rng = np.random.default_rng(0)
    for patient, slices in ((49, 5), (50, 2)):
        scan = rng.integers(0, 80, (32, 32, slices)).astype(np.int16)
        mask = np.zeros(scan.shape, np.uint8)
        mask[10:14, 10:14, 1] = 255
        affine = np.diag([-0.5, -0.5, 5, 1])
        nib.save(nib.Nifti1Image(scan, affine), root / "ct_scans" / f"{patient:03d}.nii")
        # The masks' affines are of no use in the data set.
        nib.save(nib.Nifti1Image(mask, np.eye(4)), root / "masks" / f"{patient:03d}.nii")
    table(
        root / "hemorrhage_diagnosis_raw_ct.csv",
        [
            *((49, number, flags) for number, flags in enumerate((CLEAN, IPH, SDH, CLEAN, CLEAN), start=1)),
            *((50, 1, CLEAN), (50, 2, SDH), (59, 1, CLEAN)),
        ],
    )
    return root


def case(studies, case_id):
    (found,) = [case for case in FolderArchive(studies, CLASSES).scan().cases if case.case_id == case_id]
    return found


def read(studies, case_id):
    """The case's volume and its mask's native voxels."""
    volume, label = check_case(FolderArchive(studies, CLASSES), case(studies, case_id))
    return volume, label and label.native


def test_scans_get_class_masks_through_the_labels_of_their_slices(raw, tmp_path):
    studies = tmp_path / "studies"
    done = run_import(PhysionetImporter(raw.parent, CLASSES), studies)
    assert list(done.imported) == ["physionet-049", "physionet-050"]
    found = case(studies, "physionet-049")
    assert (found.role, found.patient) == (Role.PIXEL, "physionet-049")
    volume, native = read(studies, "physionet-049")
    scan = np.asanyarray(nib.load(raw / "ct_scans" / "049.nii").dataobj)
    kept = [0, 1, 3, 4]  # slice 3 is labelled subdural, but nobody marked it
    assert np.array_equal(volume.geometry.orientation.to_native(volume.hu), scan[:, :, kept])
    assert np.argwhere(native[:, :, 1] == 2).tolist() == [[i, j] for i in range(10, 14) for j in range(10, 14)]
    assert np.count_nonzero(native) == 16
    facts = json.loads((studies / "geometry" / "physionet-049.geometry.json").read_bytes())
    assert facts["source_slices"] == [1, 2, 4, 5]
    assert done.left_out == [
        "patient 59: is in the table, but has no scan",
        "physionet-049: slice 3 is labelled subdural, but nothing is marked",
    ]


def test_the_report_says_what_was_taken_and_left_out_also_after_a_second_run(raw, tmp_path):
    studies = tmp_path / "studies"
    run_import(PhysionetImporter(raw, CLASSES), studies)

    def rows():
        return {tuple(row) for row in csv.reader((studies / "import-physionet.csv").open())}

    first = rows()
    assert ("outcome", "case_id", "source", "detail") in first
    (detail,) = (row[3] for row in first if row[:3] == ("imported", "physionet-050", "050.nii"))
    assert detail.startswith("2 of 2 slices, 1 of them with masks; subdural 16 voxels, 0.02 mL; HU 1 % ")
    reason = "slice 3 is labelled subdural, but nothing is marked"
    assert ("left out", "physionet-049", "physionet-049", reason) in first
    assert run_import(PhysionetImporter(raw, CLASSES), studies).skipped == ["physionet-049", "physionet-050"]
    assert rows() == first


def test_a_broken_off_import_goes_on_and_the_source_is_untouched(raw, tmp_path, monkeypatch):
    studies = tmp_path / "studies"
    before = {path: path.stat().st_mtime_ns for path in raw.rglob("*")}

    def stop(stage, done, total):
        if done == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr("recursive_expand.importers.runner.TELL_SECONDS", 0)
    with pytest.raises(KeyboardInterrupt):
        run_import(PhysionetImporter(raw, CLASSES), studies, on_progress=stop)
    assert "imported,physionet-049" in (studies / "import-physionet.csv").read_text()
    told = []
    done = run_import(PhysionetImporter(raw, CLASSES), studies, on_progress=lambda *step: told.append(step))
    assert (done.skipped, list(done.imported)) == (["physionet-049"], ["physionet-050"])
    assert told[-1] == ("importing cases", 2, 2)
    assert {path: path.stat().st_mtime_ns for path in raw.rglob("*")} == before


def test_multi_any_and_skip(raw, tmp_path):
    path = raw / "hemorrhage_diagnosis_raw_ct.csv"
    path.write_text(path.read_text().replace(f"50,2,{SDH}", f"50,2,{BOTH}"))
    scan = np.full((32, 32, 2), -1000, np.int16)
    scan[4:28, 4:28] = 40
    mask = np.zeros(scan.shape, np.uint8)
    mask[4:8, 12:18, 1] = mask[15:18, 15:18, 1] = 1
    nib.save(nib.Nifti1Image(scan, np.eye(4)), raw / "ct_scans" / "050.nii")
    nib.save(nib.Nifti1Image(mask, np.eye(4)), raw / "masks" / "050.nii")
    done = run_import(PhysionetImporter(raw, CLASSES), tmp_path / "any")
    assert done.imported["physionet-050"].endswith("1 of them with masks, types told apart in slices 2")
    native = read(tmp_path / "any", "physionet-050")[1]
    assert native[5, 14, 1] == 5 and native[16, 16, 1] == 2
    done = run_import(PhysionetImporter(raw, CLASSES, multi=Multi.SKIP), tmp_path / "skip")
    assert "physionet-050: slice 2 has several types (intraparenchymal, subdural); skipped" in done.left_out[-1]
    volume, _ = read(tmp_path / "skip", "physionet-050")
    assert volume.geometry.shape == (1, 32, 32)


def test_bad_rows_and_files_cost_their_slice_or_patient_alone(raw, tmp_path):
    path = raw / "hemorrhage_diagnosis_raw_ct.csv"
    path.write_text(path.read_text().replace(f"49,1,{CLEAN}", "49,1,0,0,0,0,0,0,0").replace("49,5", "49,6"))
    (raw / "masks" / "050.nii").write_bytes(b"\0" * 400)
    done = run_import(PhysionetImporter(raw, CLASSES), tmp_path / "studies")
    assert list(done.imported) == ["physionet-049"]
    text = "\n".join(done.left_out)
    assert "slice 1 is labelled neither a type nor No_Hemorrhage" in text
    assert "slice 5 has no row in the table" in text
    assert "the table labels slices that the scan does not have: 6" in text
    assert "050.nii: is no" in text


@pytest.fixture
def pictures(tmp_path):
    """Version 1.0.0: patient 84 with three slices; the second has a mask and no bone picture."""
    root = tmp_path / "1.0.0"
    for window in ("brain", "bone"):
        (root / "Patients_CT" / "084" / window).mkdir(parents=True)
    folder = root / "Patients_CT" / "084"
    brain = np.zeros((64, 64), np.uint8)
    brain[8:56, 8:56] = 255
    brain[16:48, 16:48] = 128
    bone = np.zeros((64, 64), np.uint8)
    bone[8:56, 8:56] = 160
    for number in (1, 2, 3):
        Image.fromarray(brain).save(folder / "brain" / f"{number}.jpg", quality=95)
        if number != 2:
            Image.fromarray(bone).save(folder / "bone" / f"{number}.jpg", quality=95)
    mask = np.zeros((64, 64), np.uint8)
    mask[24:32, 24:32] = 255
    Image.fromarray(mask).save(folder / "brain" / "2_HGE_Seg.jpg")
    table(root / "hemorrhage_diagnosis.csv", [(84, 1, CLEAN), (84, 2, IPH), (84, 3, CLEAN)])
    return root


def test_pictures_are_stacked_in_the_order_of_their_numbers(pictures, tmp_path):
    studies = tmp_path / "studies"
    done = run_import(PhysionetImporter(pictures, CLASSES), studies)
    assert done.imported == {"physionet-084": "3 of 3 slices, 1 of them with masks"}
    assert done.left_out == ["physionet-084: slice 2 has no usable bone picture: its bone reads as 100 HU"]
    assert "250 mm over its columns" in done.notes[0]
    volume, native = read(studies, "physionet-084")
    # Brain from its own window, bone and air from the other one.
    assert volume.hu[0, 32, 32] == pytest.approx(40, abs=3)
    assert volume.hu[0, 12, 12] == pytest.approx(-900 + 160 / 255 * 3200, abs=40)
    assert volume.hu[0, 2, 2] == pytest.approx(-900, abs=60)
    assert volume.hu[1, 12, 12] == 100
    assert volume.geometry.spacing == pytest.approx((5, 250 / 64, 250 / 64))
    slices = volume.geometry.orientation.to_slices(native)
    assert np.flatnonzero(slices.any(axis=(1, 2))).tolist() == [1] and slices[1, 28, 28] == 2


def test_another_folder_and_another_task_are_refused(tmp_path, raw, monkeypatch):
    with pytest.raises(InputError, match=r"studies: holds neither ct_scans and hemorrhage_diagnosis_raw_ct.csv"):
        (tmp_path / "studies").mkdir()
        run_import(PhysionetImporter(tmp_path / "studies", CLASSES), tmp_path / "out")
    monkeypatch.chdir(tmp_path / "studies")
    with pytest.raises(InputError, match=r"^\.: holds neither ct_scans"):
        run_import(PhysionetImporter(Path(), CLASSES), tmp_path / "out")
    with pytest.raises(InputError, match="has no class subdural"):
        run_import(PhysionetImporter(raw, CLASSES[:4]), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_papers_slices_are_all_with_bleeding_in_one_class_and_a_draw_of_clean_ones(raw, tmp_path):
    path = raw / "hemorrhage_diagnosis_raw_ct.csv"
    path.write_text(path.read_text().replace(f"49,2,{IPH}", f"49,2,{BOTH}").replace(f"50,2,{SDH}", f"50,2,{CLEAN}"))
    (raw / "masks" / "050.nii").unlink()
    nib.save(nib.Nifti1Image(np.zeros((32, 32, 2), np.uint8), np.eye(4)), raw / "masks" / "050.nii")
    kept = {}
    for seed in range(9):
        studies = tmp_path / f"studies-{seed}"
        done = run_import(PhysionetImporter(raw, CLASSES, Multi.OUTERMOST, clean=2, seed=seed), studies)
        for case_id in done.imported:
            facts = json.loads((studies / "geometry" / f"{case_id}.geometry.json").read_bytes())
            kept[seed, case_id] = facts["source_slices"]
        volume, native = read(studies, "physionet-049")
        assert volume.geometry.shape[0] == len(kept[seed, "physionet-049"])
        assert np.unique(native).tolist() == [0, 5]  # subdural lies outside intraparenchymal
        # Slice 3 is labelled with bleeding that nobody marked; the clean ones are 1, 4, 5 and both of patient 50.
        assert kept[seed, "physionet-049"][-1] != 3 and 2 in kept[seed, "physionet-049"]
        assert sum(len(kept.get((seed, f"physionet-{patient:03d}"), [])) for patient in (49, 50)) == 1 + 2
        assert done.notes[-1].startswith(
            "2 slices are labelled with bleeding (version 1.0.0, the paper's: 318); of those "
        )
        assert done.notes[-1].endswith(f"labelled clean 3 are not drawn (seed {seed})")
    assert len({json.dumps([kept.get((seed, "physionet-049"))]) for seed in range(9)}) > 1
    assert any((seed, "physionet-050") not in kept for seed in range(9))  # a patient of whom nothing is drawn


def test_paper_is_75_clean_slices_and_the_outermost_type(raw, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr("recursive_expand.importers.commands._run", lambda _, importer: asked.append(importer()))
    physionet_command(raw, tmp_path / "studies", paper=True, seed=3)
    physionet_command(raw, tmp_path / "studies")
    assert [(one.multi, one.clean, one.seed) for one in asked] == [(Multi.OUTERMOST, 75, 3), (Multi.ANY, None, 0)]
