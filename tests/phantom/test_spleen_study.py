"""A folder study of abdomens: files, roles, labels, truth."""

from __future__ import annotations

import csv
from pathlib import Path

import nibabel as nib
import numpy as np

from recursive_expand.cases import Geometry
from recursive_expand.phantom import StudyTruth, write_spleen_study
from recursive_expand.settings import load_settings

APP = Path(__file__).parents[2] / "apps" / "spleen_demo"


def test_the_study_has_what_the_app_reads(tmp_path: Path) -> None:
    truth = write_spleen_study(tmp_path, pixel=2, image=2, unlabelled=1, test=1, size=48, slices=4, seed=5)
    roles = {row["case_id"]: row["role"] for row in _rows(tmp_path / "cases.csv")}
    assert list(roles.values()) == ["pixel"] * 2 + ["image"] * 2 + ["unlabelled", "test"]
    assert {p.name.removesuffix(".nii.gz") for p in tmp_path.glob("*.nii.gz")} == roles.keys() == truth.masks.keys()
    masks = sorted((tmp_path / "labels" / "final").iterdir())
    assert [path.name for path in masks] == ["pixel-001.nii.gz", "pixel-002.nii.gz"]
    for path in masks:
        assert np.array_equal(np.asarray(nib.load(path).dataobj), truth.masks[path.name.removesuffix(".nii.gz")])
    (classes,) = {tuple(row)[2:] for row in _rows(tmp_path / "image_labels.csv")}
    assert classes == load_settings(APP / "task.yaml").task.classes


def test_image_labels_equal_the_truth_slice_by_slice(tmp_path: Path) -> None:
    truth = write_spleen_study(tmp_path, pixel=0, image=3, unlabelled=0, test=0, size=48, slices=6, seed=2)
    labels = _rows(tmp_path / "image_labels.csv")
    assert len(labels) == 3 * 6
    for row in labels:
        case_id = row["case_id"]
        geometry = Geometry.of(truth.masks[case_id].shape, truth.affines[case_id])
        slices = geometry.orientation.to_slices(truth.masks[case_id])
        assert row["spleen"] == str(int(slices[int(row["slice"])].any()))
    assert {row["spleen"] for row in labels} == {"0", "1"}


def test_the_same_seed_writes_the_same_study(tmp_path: Path) -> None:
    first, second = (_written(tmp_path / name) for name in "ab")
    assert all(np.array_equal(first.masks[case], second.masks[case]) for case in first.masks)


def _written(folder: Path) -> StudyTruth:
    return write_spleen_study(folder, pixel=1, image=1, unlabelled=0, test=0, size=48, slices=3, seed=7)


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
