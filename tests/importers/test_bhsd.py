"""bhsd.py: volumes and class masks of the same name."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest

from recursive_expand.archives.folder import FolderArchive
from recursive_expand.cases import Role
from recursive_expand.errors import InputError
from recursive_expand.importers.bhsd import BhsdImporter
from recursive_expand.importers.runner import run_import

CLASSES = ("subdural", "epidural", "intraparenchymal", "intraventricular", "subarachnoid")
ONE, TWO = "ID_b1d5d5e8_ID_4cfa36b63f.nii.gz", "ID_b1d5d5e9_ID_4cfa36b640.nii.gz"
AFFINE = np.diag([-0.5, -0.5, 5, 1])


@pytest.fixture
def bhsd(tmp_path):
    root = tmp_path / "bhsd"
    for folder in ("label_192/images", "label_192/ground truths", "unlabel_1980"):
        (root / folder).mkdir(parents=True)
    for name in (ONE, TWO):
        mask = np.zeros((8, 8, 3), np.uint8)
        mask[1, 2, 0], mask[3, 4, 1] = 1, 5
        nib.save(nib.Nifti1Image(np.full((8, 8, 3), 40.0), AFFINE), root / "label_192/images" / name)
        nib.save(nib.Nifti1Image(mask, AFFINE), root / "label_192/ground truths" / name)
    free = root / "unlabel_1980" / "ID_00000001_ID_0000000002.nii.gz"
    nib.save(nib.Nifti1Image(np.zeros((8, 8, 3), np.int16), AFFINE), free)
    return root


def cases(studies):
    return {case.case_id: case for case in FolderArchive(studies, CLASSES).scan().cases}


def test_masks_get_the_task_s_values(bhsd, tmp_path):
    studies = tmp_path / "studies"
    done = run_import(BhsdImporter(bhsd, CLASSES), studies)
    what = "8 x 8 x 3 voxels; subdural in 1 slices, epidural in 1 slices"
    assert done.imported == {"bhsd-b1d5d5e8-4cfa36b63f": what, "bhsd-b1d5d5e9-4cfa36b640": what}
    case = cases(studies)["bhsd-b1d5d5e8-4cfa36b63f"]
    assert (case.role, case.patient) == (Role.PIXEL, "rsna-ID_b1d5d5e8")
    native = FolderArchive(studies, CLASSES).read_expert_label(case.case_id).native
    assert (native[1, 2, 0], native[3, 4, 1], np.count_nonzero(native)) == (2, 1, 2)
    assert run_import(BhsdImporter(bhsd / "label_192", CLASSES), studies).skipped == list(done.imported)


def test_roles(bhsd, tmp_path):
    run_import(BhsdImporter(bhsd, CLASSES, role=Role.TEST), tmp_path / "test")
    assert {case.role for case in cases(tmp_path / "test").values()} == {Role.TEST}
    run_import(BhsdImporter(bhsd, CLASSES, role=Role.IMAGE), tmp_path / "image")
    (case, _) = cases(tmp_path / "image").values()
    assert case.role is Role.IMAGE and case.expert_label is None
    assert [set(case.image_labels[n].present) for n in range(3)] == [{"epidural"}, {"subdural"}, set()]
    done = run_import(BhsdImporter(bhsd, CLASSES, role=Role.UNLABELLED), tmp_path / "free")
    assert list(done.imported) == ["bhsd-00000001-0000000002"]
    assert next(iter(cases(tmp_path / "free").values())).role is Role.UNLABELLED


def test_masks_are_no_scans_without_masks(bhsd, tmp_path):
    (bhsd / "unlabel_1980").rename(tmp_path / "unlabel_1980")
    for source in (bhsd, bhsd / "label_192"):
        done = run_import(BhsdImporter(source, CLASSES, role=Role.UNLABELLED), tmp_path / "studies")
        assert not done.imported and done.left_out == [f"{source.name}: holds no volume"]
    done = run_import(BhsdImporter(tmp_path / "unlabel_1980", CLASSES, role=Role.UNLABELLED), tmp_path / "studies")
    assert list(done.imported) == ["bhsd-00000001-0000000002"]


def test_other_class_values(bhsd, tmp_path):
    run_import(BhsdImporter(bhsd, CLASSES, values={1: "subarachnoid", 5: "subdural"}), tmp_path / "studies")
    archive = FolderArchive(tmp_path / "studies", CLASSES)
    native = archive.read_expert_label("bhsd-b1d5d5e8-4cfa36b63f").native
    assert native[1, 2, 0] == 5
    done = run_import(BhsdImporter(bhsd, CLASSES, values={1: "subdural"}), tmp_path / "fewer")
    assert f"ground truths/{ONE}: holds the value 5; known are 1 subdural (--class-values)" in done.left_out[0]
    with pytest.raises(InputError, match="--class-values 1=stroke"):
        run_import(BhsdImporter(bhsd, CLASSES, values={1: "stroke"}), tmp_path / "x")


def test_what_does_not_fit_is_left_out(bhsd, tmp_path):
    (bhsd / "label_192/ground truths" / ONE).rename(bhsd / "label_192/ground truths" / "ID_0_ID_1.nii.gz")
    (bhsd / "label_192/images" / "head.nii.gz").write_bytes(b"")
    mask = nib.Nifti1Image(np.zeros((8, 8, 3), np.uint8), np.diag([-0.5, -0.5, 5, 1]) + np.eye(4)[:, [3, 0, 1, 2]] * 90)
    nib.save(mask, bhsd / "label_192/ground truths" / TWO)
    done = run_import(BhsdImporter(bhsd, CLASSES), tmp_path / "studies")
    assert not done.imported
    assert [line.split(": ", 1)[1] for line in done.left_out][:2] == [
        "has no image of its name",
        "is not called ID_<patient>_ID_<study>",
    ]
    assert done.left_out[2].endswith("has no mask of its name in ground truths/")
    assert len(done.left_out) == 4
    with pytest.raises(InputError, match="does not hold label_192/images"):
        run_import(BhsdImporter(tmp_path / "studies", CLASSES), tmp_path / "x")
