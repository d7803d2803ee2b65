"""hemseg.py: masks of exams find their scans and types in RSNA 2019."""

from __future__ import annotations

import json

import nibabel as nib
import numpy as np
import pytest

from recursive_expand.archives.archive import check_case
from recursive_expand.archives.folder import FolderArchive
from recursive_expand.cases import Role
from recursive_expand.errors import InputError
from recursive_expand.importers.hemseg import HemsegImporter
from recursive_expand.importers.runner import run_import

pytestmark = pytest.mark.filterwarnings("ignore:Invalid value for VR UI")
CLASSES = ("epidural", "intraparenchymal", "intraventricular", "subarachnoid", "subdural")
EXAM, OTHER = "bf7891541c", "d580615f5f"
# Slices in the order of their positions, with their types.
SLICES = {
    "a5": ["intraparenchymal"],
    "a1": ["intraparenchymal", "intraventricular"],
    "a3": ["intraparenchymal", "subdural"],
    "a2": [],
    "a4": ["intraventricular"],
}


@pytest.fixture
def trees(tmp_path, make_series):
    """HemSeg's folder and RSNA's."""
    rsna, hemseg = tmp_path / "rsna", tmp_path / "hemseg"
    (rsna / "stage_2_train").mkdir(parents=True)
    series = make_series(count=len(SLICES))
    for image, dataset in zip(SLICES, series.datasets, strict=True):
        dataset.PatientID = "ID_00e394df"
        dataset.save_as(rsna / "stage_2_train" / f"ID_{image}.dcm", write_like_original=False)
    rows = [
        f"ID_{image}_{name},{int(name in types or (name == 'any' and bool(types)))}"
        for image, types in SLICES.items()
        for name in (*CLASSES, "any")
    ]
    (rsna / "stage_2_train.csv").write_text("ID,Label\n" + "\n".join(rows) + "\n")
    labels = hemseg / "IPH_IVH_label" / "train" / "label"
    labels.mkdir(parents=True)
    mask = np.zeros((5, 6, 5), np.int16)
    mask[1:4, 1, [0, 1, 2, 4]] = 1
    affine = np.diag([-0.4, -0.5, 5, 1])
    affine[:3, 3] = 100, 90, 10
    nib.save(nib.Nifti1Image(mask, affine), labels / f"{EXAM}.nii.gz")
    old = {"patient": "ID_00e394df", "scan_": EXAM, "slice_list": sorted(SLICES)}
    new = {"patient_name": "ID_015d2c2c", "scan_name": OTHER, "slice_list": {"0": "zz"}}
    (hemseg / "annotion_file_info.jsonl").write_text(json.dumps(old) + "\n")
    (hemseg / "annotion_file_info_500.jsonl").write_text(json.dumps(new) + "\n")
    return hemseg, rsna


def load(trees, studies, **options):
    return run_import(HemsegImporter(trees[0], CLASSES, trees[1], **options), studies)


def test_types_come_from_rsna_slice_by_slice(trees, tmp_path):
    done = load(trees, tmp_path / "studies")
    assert done.imported == {
        f"hemseg-{EXAM}": "3 of 5 slices; intraparenchymal in 1 slices, intraventricular in 1 slices"
    }
    assert done.left_out == [
        f"{OTHER}: has no mask <...>/label/<exam>.nii.gz; unpack the archive of masks",
        f"hemseg-{EXAM}: slice 1 has several types (intraparenchymal, intraventricular); skipped (--multi skip)",
        f"hemseg-{EXAM}: slice 2 holds subdural too, which HemSeg does not mark",
    ]
    archive = FolderArchive(tmp_path / "studies", CLASSES)
    (case,) = archive.scan().cases
    assert (case.role, case.patient) == (Role.PIXEL, "rsna-ID_00e394df")
    volume, label = check_case(archive, case)
    assert volume.hu[:, 0, 0].tolist() == [0, 300, 400]
    assert label.native[2, 1].tolist() == [2, 0, 3]


def test_the_role_image_keeps_rsna_s_labels_alone(trees, tmp_path):
    load(trees, tmp_path / "studies", role=Role.IMAGE)
    (case,) = FolderArchive(tmp_path / "studies", CLASSES).scan().cases
    assert case.role is Role.IMAGE and case.expert_label is None
    assert [sorted(case.image_labels[n].present) for n in range(5)] == [sorted(types) for types in SLICES.values()]


def test_the_larger_set_s_mask_counts(trees, tmp_path):
    labels = trees[0] / "HemSeg-500" / "test" / "label"
    labels.mkdir(parents=True)
    old = next(trees[0].rglob(f"{EXAM}.nii.gz"))
    image = nib.load(old)
    nib.save(nib.Nifti1Image(np.asarray(image.dataobj) * 0, image.affine), labels / f"{EXAM}.nii.gz")
    done = load(trees, tmp_path / "studies")
    assert "slice 0 is labelled intraparenchymal, but nothing is marked" in "\n".join(done.left_out)


def test_missing_slices_and_folders_are_named(trees, tmp_path):
    (trees[1] / "stage_2_train" / "ID_a2.dcm").unlink()
    done = load(trees, tmp_path / "studies")
    assert done.left_out[-1] == f"{EXAM}: ID_a2.dcm: is not in stage_2_train/ (1 of 5 are not)"
    with pytest.raises(InputError, match=r"holds no annotion_file_info\*.jsonl"):
        run_import(HemsegImporter(trees[1], CLASSES, trees[1]), tmp_path / "x")
    with pytest.raises(InputError, match="--role unlabelled"):
        load(trees, tmp_path / "x", role=Role.UNLABELLED)


def test_a_list_that_repeats_ids_loses_no_exam(trees, tmp_path):
    path = trees[0] / "annotion_file_info.jsonl"
    item = json.loads(path.read_text())
    item["slice_list"] += item["slice_list"][:2]
    path.write_text(json.dumps(item) + "\n" + json.dumps(item) + "\n")
    assert load(trees, tmp_path / "studies").imported == {
        f"hemseg-{EXAM}": "3 of 5 slices; intraparenchymal in 1 slices, intraventricular in 1 slices"
    }
