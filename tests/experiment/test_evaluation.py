"""Models measured on test sets."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from recursive_expand.archives.images import read_geometry, read_label
from recursive_expand.cases import Volume
from recursive_expand.errors import InputError
from recursive_expand.experiment.evaluation import VARIANTS, lead, measure, predictor_of
from recursive_expand.experiment.ledger_reading import read_run
from recursive_expand.experiment.metrics import ANY
from recursive_expand.experiment.test_sets import TestCase
from recursive_expand.phantom import CLASSES, write_study
from recursive_expand.segment.predict import Prediction


class _Oracle:
    """Predicts the truth, but nothing on slice 0."""

    def __init__(self, cases: list[TestCase]) -> None:
        self.cases = {case.case_id: case for case in cases}

    def propose_volumes(self, volumes: Iterable[tuple[str, Volume]]) -> Iterator[tuple[str, Prediction]]:
        for case_id, _ in volumes:
            mask = read_label(self.cases[case_id].mask).slices.copy()
            mask[0] = 0
            zeros = np.zeros(len(mask), np.float32)
            yield case_id, Prediction(mask, np.zeros(mask.shape, bool), zeros, zeros, zeros)


@pytest.fixture(scope="module")
def cases(tmp_path_factory) -> list[TestCase]:
    """Two cases of one patient and one of another, three slices each."""
    folder = tmp_path_factory.mktemp("tests")
    write_study(folder, pixel=0, image=0, unlabelled=0, test=3, size=32, slices=3).save(folder / "truth")
    return [
        TestCase(name, patient, folder / f"{name}.nii.gz", folder / "truth" / f"{name}.nii.gz")
        for name, patient in (("test-001", "a"), ("test-002", "a"), ("test-003", "b"))
    ]


def test_rows_are_by_patient_and_by_slice(cases, tmp_path: Path) -> None:
    measured = measure(_Oracle(cases), cases, CLASSES, tolerance=2.0, predictions=tmp_path / "kept")  # type: ignore[arg-type]
    whole = [row for row in measured.patients if row["region"] == ANY]
    assert [(row["patient"], row["cases"]) for row in whole] == [("a", 2), ("b", 1)]
    assert all(row["precision"] == 1.0 for row in whole)
    slices = [row for row in measured.slices if row["region"] == ANY]
    assert [(row["case_id"], row["slice"]) for row in slices] == [(c.case_id, k) for c in cases for k in range(3)]
    missed = sum(row["false_negative"] for row in slices if row["slice"] == 0)
    assert sum(row["false_negative"] for row in whole) == sum(row["false_negative"] for row in slices) == missed
    assert len(measured.patients) == 2 * (1 + len(CLASSES))
    kept = read_label(tmp_path / "kept" / "test-001.nii.gz")
    assert kept.native.shape == read_geometry(cases[0].image).native_shape


def test_a_mask_of_another_shape_is_named(cases, tmp_path: Path) -> None:
    write_study(tmp_path / "small", pixel=0, image=0, unlabelled=0, test=1, size=40, slices=3).save(tmp_path / "s")
    wrong = TestCase("test-001", "a", cases[0].image, tmp_path / "s" / "test-001.nii.gz")
    with pytest.raises(InputError, match=r"test-001.nii.gz: has \(40, 40, 3\) voxels"):
        measure(_Oracle(cases), [wrong], CLASSES, tolerance=2.0)  # type: ignore[arg-type]


def test_f_alone_is_the_model_without_g(reviewing) -> None:
    (round_,) = read_run(reviewing.workspace, CLASSES).rounds
    volume = reviewing.volume("t0")
    settings = reviewing.settings
    both, alone = (predictor_of(settings, round_, variant).predict(volume).mask for variant in ("f+g", "f"))
    assert alone.any()
    assert np.array_equal(both, alone)  # this task has no g
    with_g = settings.under(round_.record.config).changed(mode="grow", scale=300.0).round_config()
    round_ = replace(round_, record=replace(round_.record, config=with_g))
    both, again = (predictor_of(settings, round_, variant).predict(volume).mask for variant in ("f+g", "f"))
    assert np.array_equal(again, alone)
    assert not np.array_equal(both, alone)


def test_f_alone_keeps_specks_and_rims_and_f_then_g_refines_whenever_experts_see_it(reviewing) -> None:
    (round_,) = read_run(reviewing.workspace, CLASSES).rounds
    volume, settings = reviewing.volume("t0"), reviewing.settings
    masks = {}
    kinds: dict[str, dict[str, object]] = {
        "none": {},
        "specks": {"min_area": 1e6},
        "rims": {"min_depth": 1e3},
        "late": {"mode": "grow", "scale": 300.0},
    }
    for name, changes in kinds.items():
        config = settings.changed(refine="after_review", **changes).round_config()
        of_round = replace(round_, record=replace(round_.record, config=config))
        for variant in VARIANTS:
            masks[name, variant] = predictor_of(settings, of_round, variant).predict(volume).mask
    assert masks["none", "f"].any() and not masks["specks", "f+g"].any() and not masks["rims", "f+g"].any()
    assert all(np.array_equal(masks[name, "f"], masks["none", "f"]) for name in ("specks", "rims", "late"))
    assert not np.array_equal(masks["late", "f+g"], masks["late", "f"])


def test_what_proposes_leads(reviewing) -> None:
    assert lead(reviewing.settings) == "f+g"
    assert lead(reviewing.settings.changed(refine="after_review")) == "f"
