"""folder.py: any scans, with masks and a table where there are some."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest

from recursive_expand.archives.folder import FolderArchive
from recursive_expand.cases import Role
from recursive_expand.errors import InputError
from recursive_expand.importers.dicom import case_of_series
from recursive_expand.importers.folder import FolderImporter, FolderSettings
from recursive_expand.importers.runner import run_import

CLASSES = ("epidural", "subdural")


class Tree:
    """A folder of scans, one of masks, a table, and the studies."""

    def __init__(self, root):
        self.scans, self.masks, self.studies = root / "scans", root / "masks", root / "studies"
        self.table = root / "table.csv"
        self.scans.mkdir()
        self.masks.mkdir()

    def scan(self, name, affine=(-0.5, -0.5, 5, 1)):
        path = self.scans / name
        path.parent.mkdir(parents=True, exist_ok=True)
        hu = np.full((6, 5, 3), 40, np.int16)
        hu[0] = -1000
        nib.save(nib.Nifti1Image(hu, np.diag(affine)), path)

    def mask(self, name, value=1, affine=(-0.5, -0.5, 5, 1), shape=(6, 5, 3)):
        mask = np.zeros(shape, np.uint8)
        mask[1, 2, 0] = value
        (self.masks / name).parent.mkdir(parents=True, exist_ok=True)
        nib.save(nib.Nifti1Image(mask, np.diag(affine)), self.masks / name)

    def load(self, role, table=None, masks=True, **options):
        if table is not None:
            self.table.write_text(table)
        settings = FolderSettings(
            CLASSES, role, self.masks if masks else None, self.table if table is not None else None, **options
        )
        return run_import(FolderImporter(self.scans, settings), self.studies)

    def cases(self):
        return {case.case_id: case for case in FolderArchive(self.studies, CLASSES).scan().cases}


@pytest.fixture
def tree(tmp_path):
    return Tree(tmp_path)


def test_scans_masks_and_table_meet_by_name(tree):
    tree.scan("site a/head 1.nii.gz")
    tree.scan("b.nii")
    tree.mask("site a/head 1.nii", 2)
    tree.mask("b.nii.gz")
    done = tree.load(Role.PIXEL, "case,patient,role\nsite a/head 1,P1,\nb.nii,P2,test\n")
    assert done.imported == {
        "b": "6 x 5 x 3 voxels; test, epidural in 1 slices",
        "site-a-head-1": "6 x 5 x 3 voxels; pixel, subdural in 1 slices",
    }
    assert not done.left_out
    found = tree.cases()
    assert {case: (c.role, c.patient) for case, c in found.items()} == {
        "site-a-head-1": (Role.PIXEL, "P1"),
        "b": (Role.TEST, "P2"),
    }
    assert FolderArchive(tree.studies, CLASSES).read_expert_label("site-a-head-1").native[1, 2, 0] == 2


def test_labels_of_slices_and_whole_cases(tree):
    for name in "abc":
        tree.scan(f"{name}.nii")
    table = "case,slice,epidural,subdural\na,0,1,0\na,2,0,0\nb,,0,1\n"
    done = tree.load(Role.IMAGE, table)
    found = tree.cases()
    assert {n: set(label.present) for n, label in found["a"].image_labels.items()} == {0: {"epidural"}, 2: set()}
    assert found["b"].image_labels[None].present == {"subdural"}
    assert done.left_out == ["c.nii: role image: needs image-level labels, and the table has none of it"]


def test_dicom_series_join_under_the_name_of_their_folder(tree, make_series):
    tree.scans = make_series("head 7").write().folder.parent
    (name,) = [p for p in tree.scans.iterdir()]
    uid = make_series("head 7").uid
    tree.mask("head 7.nii.gz", affine=(-0.4, -0.5, 5, 1), shape=(5, 6, 4))
    mask = nib.load(tree.masks / "head 7.nii.gz")
    affine = np.diag([-0.4, -0.5, 5, 1])
    affine[:3, 3] = 100, 90, 10
    nib.save(nib.Nifti1Image(np.asarray(mask.dataobj), affine), tree.masks / "head 7.nii.gz")
    done = tree.load(Role.PIXEL, "case,patient\nhead 7,\n")
    assert list(done.imported) == [case_of_series(uid)] and not done.left_out
    assert tree.cases()[case_of_series(uid)].patient is None  # the series names nobody
    assert name.name == "head 7"


def test_what_does_not_fit_is_left_out(tree):
    for name in ("a", "b", "c", "d"):
        tree.scan(f"{name}.nii")
    tree.scan("c.nii.gz")
    tree.mask("a.nii", 9)
    tree.mask("x.nii")
    table = "case,slice,role,epidural,subdural\nb,9,unlabelled,1,0\nd,,pixl,,\ny,,,,\n"
    done = tree.load(Role.PIXEL, table)
    assert not done.imported
    assert sorted(done.left_out) == [
        "a.nii: holds the value 9; known are 1 epidural, 2 subdural (--class-values)",
        "b.nii: table.csv line 2: slice 9 is out of range: slices are numbered 0 to 2",
        "c.nii.gz: case c was imported from another file already",
        "c.nii: role pixel: needs a mask, and there is none of this name",
        "d.nii: table.csv line 3: role 'pixl' is not known (pixel, image, test, unlabelled)",
        "masks: x.nii: belongs to no scan of the folder",
        "table.csv line 4: names no scan of the folder: 'y'",
    ]


def test_a_row_without_a_case_is_of_no_scan(tree, make_series):
    tree.scans = make_series(".").write().folder
    tree.scan("a.nii")
    done = tree.load(Role.UNLABELLED, "case,patient,role\n,P1,test\n")
    assert {case.role for case in tree.cases().values()} == {Role.UNLABELLED}
    assert len(done.imported) == 2 and done.left_out == ["table.csv line 2: names no scan of the folder: ''"]


def test_a_patient_in_two_roles_is_left_out_with_the_names(tree):
    tree.scan("a.nii")
    tree.scan("b.nii")
    tree.mask("a.nii")
    done = tree.load(Role.PIXEL, "case,patient,role\na,P1,\nb,P1,test\n")
    assert list(done.imported) == ["a"]
    assert done.left_out == ["b.nii: its patient P1 has cases in another role than test: pixel (a)"]


def test_an_empty_folder_and_missing_ones_are_named(tree):
    assert tree.load(Role.TEST).left_out == ["scans: holds no scans (.nii.gz, .nii, .nrrd or DICOM)"]
    tree.masks.rmdir()
    with pytest.raises(InputError, match="masks: is no folder"):
        tree.load(Role.TEST)
