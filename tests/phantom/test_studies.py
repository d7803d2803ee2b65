"""Folder studies: files, roles, labels, truth."""

from __future__ import annotations

import csv
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from recursive_expand.cases import Geometry
from recursive_expand.errors import InputError
from recursive_expand.phantom import CLASSES, StudyTruth, make_head, write_study
from recursive_expand.phantom.studies import to_native, write_nifti


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, StudyTruth]:
    folder = tmp_path_factory.mktemp("studies")
    return folder, write_study(folder, pixel=6, image=6, unlabelled=1, test=1, size=48, slices=3, seed=3)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_every_case_has_a_scan_and_a_role(study: tuple[Path, StudyTruth]) -> None:
    folder, truth = study
    roles = {row["case_id"]: row["role"] for row in rows(folder / "cases.csv")}
    assert {p.name.removesuffix(".nii.gz") for p in folder.glob("*.nii.gz")} == roles.keys() == truth.masks.keys()
    assert list(roles.values()) == ["pixel"] * 6 + ["image"] * 6 + ["unlabelled", "test"]
    assert "pixel-001" in roles
    assert "image-006" in roles


def test_only_pixel_cases_have_expert_masks_and_they_are_true(study: tuple[Path, StudyTruth]) -> None:
    folder, truth = study
    labels = sorted((folder / "labels" / "final").iterdir())
    assert [p.name for p in labels] == [f"pixel-{n:03d}.nii.gz" for n in range(1, 7)]
    for path in labels:
        mask = np.asarray(nib.load(path).dataobj)
        assert mask.dtype == np.uint8
        assert np.array_equal(mask, truth.masks[path.name.removesuffix(".nii.gz")])


def test_image_labels_equal_the_truth_slice_by_slice(study: tuple[Path, StudyTruth]) -> None:
    folder, truth = study
    labels = rows(folder / "image_labels.csv")
    assert len(labels) == 6 * 3
    for row in labels:
        mask = truth.masks[row["case_id"]][:, :, int(row["slice"])]
        assert {name for name in CLASSES if row[name] == "1"} == {CLASSES[v - 1] for v in np.unique(mask) if v}


def test_five_cases_hold_all_types_and_the_sixth_is_free_of_blood(study: tuple[Path, StudyTruth]) -> None:
    _, truth = study
    for role in ("pixel", "image"):
        masks = [truth.masks[f"{role}-{n:03d}"] for n in range(1, 7)]
        assert {int(v) for mask in masks for v in np.unique(mask)} == {0, 1, 2, 3, 4, 5}
        assert not masks[5].any()


def test_scans_are_int16_with_both_transforms(study: tuple[Path, StudyTruth]) -> None:
    folder, truth = study
    for case_id in ("pixel-001", "image-001"):
        image = nib.load(folder / f"{case_id}.nii.gz")
        assert image.get_data_dtype() == np.int16
        assert image.header["qform_code"] > 0
        assert image.header["sform_code"] > 0
        assert np.allclose(image.affine, truth.affines[case_id], atol=1e-4)


def test_a_phantom_survives_nifti(tmp_path: Path) -> None:
    phantom = make_head(9, size=48, slices=3, domain="sharp")
    write_nifti(tmp_path / "case.nii.gz", to_native(phantom.hu, phantom), phantom.affine)
    image = nib.load(tmp_path / "case.nii.gz")
    native = np.asarray(image.dataobj)
    assert native.shape == (48, 48, 3)
    assert np.array_equal(Geometry.of(native.shape, image.affine).orientation.to_slices(native), phantom.hu)


def test_the_truth_survives_its_folder(study: tuple[Path, StudyTruth], tmp_path: Path) -> None:
    _, truth = study
    truth.save(tmp_path / "truth")
    loaded = StudyTruth.load(tmp_path / "truth")
    assert loaded.masks.keys() == truth.masks.keys()
    assert all(np.array_equal(loaded.masks[c], truth.masks[c]) for c in truth.masks)


def test_an_empty_truth_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="empty: holds no"):
        StudyTruth.load(tmp_path / "empty")


def test_single_slices_are_cases_of_one_slice(tmp_path: Path) -> None:
    truth = write_study(
        tmp_path, pixel=1, image=1, unlabelled=0, test=0, size=48, seed=1, single_slices=True, shifted=False
    )
    assert {mask.shape for mask in truth.masks.values()} == {(48, 48, 1)}
    assert [row["slice"] for row in rows(tmp_path / "image_labels.csv")] == ["0"]


def test_the_same_seed_writes_the_same_study(study: tuple[Path, StudyTruth], tmp_path: Path) -> None:
    folder, _ = study
    write_study(tmp_path, pixel=1, image=1, unlabelled=0, test=0, size=48, slices=3, seed=3)
    for case_id in ("pixel-001", "image-001"):
        first, second = (np.asarray(nib.load(f / f"{case_id}.nii.gz").dataobj) for f in (folder, tmp_path))
        assert np.array_equal(first, second)
