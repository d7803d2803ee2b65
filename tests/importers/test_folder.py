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
        "c.nii.gz: would be case c, as c.nii is; rename one",
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


def test_a_mask_goes_to_the_scan_of_its_path_not_to_another_one_s_id(tree):
    tree.scan("a/b.nii.gz")
    tree.scan("a-b.nii")
    tree.mask("a-b.nii.gz", 2)
    done = tree.load(Role.PIXEL)
    assert done.left_out == [
        "a/b.nii.gz: role pixel: needs a mask, and there is none of this name",
        "a-b.nii: would be case a-b, as a/b.nii.gz is; rename one",
    ]
    assert not list(tree.studies.rglob("*.nii.gz"))
    (tree.scans / "a" / "b.nii.gz").unlink()
    assert list(tree.load(Role.PIXEL).imported) == ["a-b"]
    assert FolderArchive(tree.studies, CLASSES).read_expert_label("a-b").native.max() == 2


def test_a_case_s_id_names_it_where_no_scan_has_that_path(tree):
    tree.scan("a/b.nii.gz")
    tree.mask("a-b.nii.gz", 1)
    assert list(tree.load(Role.PIXEL, "case,patient\na-b,P1\n").imported) == ["a-b"]
    assert tree.cases()["a-b"].patient == "P1"


def test_several_masks_of_one_name_are_named(tree):
    tree.scan("a.nii")
    tree.mask("a.nii.gz", 1)
    tree.mask("a.nii", 2)
    tree.scan("b.nrrd.nii")
    assert "b.nrrd.nii: role pixel: needs a mask" in "\n".join(tree.load(Role.PIXEL).left_out)
    assert list(tree.load(Role.PIXEL).imported or tree.cases()) == ["a"]  # its own extension decides
    assert FolderArchive(tree.studies, CLASSES).read_expert_label("a").native.max() == 2
    (tree.masks / "a.nii").unlink()
    tree.mask("a.nrrd.nii.gz", 1)
    for path in tree.studies.rglob("a.nii.gz"):
        path.unlink()
    assert list(tree.load(Role.PIXEL).imported) == ["a"]


def test_a_folder_s_row_is_not_applied_to_its_several_series(tree, make_series):
    tree.scans = make_series("head").write("a").folder.parent
    make_series("head", uid="1.2.3").write("b")
    make_series("other", uid="1.2.4").write("c")
    done = tree.load(Role.UNLABELLED, "case,patient,role\nhead,P1,test\nother,P2,test\n")
    assert list(done.imported) == [case_of_series("1.2.4")]
    assert tree.cases()[case_of_series("1.2.4")].role is Role.TEST
    assert len(done.left_out) == 2
    assert all(
        "the table or a mask names 'head', as several series are called; name ct-" in line for line in done.left_out
    )
    named = f"case,patient,role\n{case_of_series('1.2.3')},P1,test\n"
    assert case_of_series("1.2.3") in tree.load(Role.UNLABELLED, named).imported


@pytest.mark.parametrize(
    ("low", "high", "kind"), [(0, 255, "grey values of a picture"), (0, 900, "MR, or stored values")]
)
def test_values_that_are_no_hu_are_refused(tree, low, high, kind):
    values = np.linspace(low, high, 90).reshape(6, 5, 3).astype(np.int16)
    nib.save(nib.Nifti1Image(values, np.diag((-0.5, -0.5, 5, 1))), tree.scans / "mr.nii")
    done = tree.load(Role.UNLABELLED)
    assert not done.imported
    assert f"mr.nii: holds {low} to {high} and nothing below 0: {kind}" in done.left_out[0]


def test_a_mask_elsewhere_or_turned_by_a_false_header_is_refused(tree):
    tree.scan("a.nii", affine=(-0.5, -0.5, 5, 1))
    tree.mask("a.nii", affine=(0.5, 0.5, 5, 1))
    tree.scan("b.nii")
    tree.mask("b.nii", affine=(-0.5, -0.5, 2.5, 1))
    done = tree.load(Role.PIXEL)
    assert not done.imported
    assert "a.nii: its header has LPS and RAS exchanged: left is right in it; export it again" in done.left_out
    assert "b.nii: lies 5 mm off its scan at a corner; save it on its scan's grid" in done.left_out
