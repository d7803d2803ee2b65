"""The experiment's data: what a run may see, test sets and hashes."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from recursive_expand.archives.folder import FolderArchive
from recursive_expand.archives.images import read_label, write_volume
from recursive_expand.cases import Geometry, Role, Volume
from recursive_expand.errors import InputError
from recursive_expand.experiment.config import parse_config
from recursive_expand.experiment.data import ExperimentData, prepare_data, write_view
from recursive_expand.experiment.distribution import distribution_rows
from recursive_expand.experiment.evaluation import VARIANTS
from recursive_expand.experiment.metrics import ANY, METRICS
from recursive_expand.experiment.results import Results
from recursive_expand.experiment.tables import result_table
from recursive_expand.importers.runner import run_import
from recursive_expand.importers.slices import SliceSettings, SlicesImporter
from recursive_expand.phantom import CLASSES, write_study


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    """A studies folder of single slices and its truth."""
    folder = tmp_path_factory.mktemp("source")
    truth = write_study(folder / "studies", pixel=2, image=3, unlabelled=1, test=2, size=32, single_slices=True)
    truth.save(folder / "truth")
    return folder


@pytest.fixture(scope="module")
def patients(tmp_path_factory) -> Path:
    """A studies folder of pixel cases alone: `p2` has two, `p10` one, and one has no known patient."""
    folder = tmp_path_factory.mktemp("patients")
    write_study(folder, pixel=4, image=0, unlabelled=0, test=0, size=32, single_slices=True)
    (folder / "image_labels.csv").unlink()
    (folder / "cases.csv").write_text(
        "case_id,role,patient\npixel-001,,p2\npixel-002,pixel,p10\npixel-003,pixel,p2\npixel-004,pixel\n"
    )
    return folder


def _folds(folder: Path, patients: Path, seeds: range, **studies: object):
    studies = {"folder": str(patients), "leave_one_patient_out": True, **studies}
    return _config(folder, patients, studies=studies, seeds=list(seeds), tests={"left out": "test"})


def _config(folder: Path, source: Path, **settings: object):
    raw = {
        "studies": {"folder": str(source / "studies"), "truth": str(source / "truth")},
        "presets": ["paper"],
        "output": str(folder / "out"),
        **settings,
    }
    return parse_config(raw, source="test", folder=folder)


def test_phantoms_are_made_once_and_by_seed_where_asked(tmp_path: Path) -> None:
    phantom = {"pixel": 1, "image": 1, "test": 1, "size": 32}
    same = _config(tmp_path, tmp_path, studies={"phantom": phantom})
    first = prepare_data(same, CLASSES, 0)
    image = FolderArchive(first.studies).image_file(first.cases[0].case_id)
    made = image.stat().st_mtime_ns
    assert prepare_data(same, CLASSES, 1).sha256 == first.sha256
    assert image.stat().st_mtime_ns == made
    other = _config(tmp_path, tmp_path, studies={"phantom": {**phantom, "new_heads_per_seed": True}})
    assert prepare_data(other, CLASSES, 1).sha256 != first.sha256


def test_a_run_sees_no_truth(tmp_path: Path, source: Path) -> None:
    data = prepare_data(_config(tmp_path, source), CLASSES, 0)
    write_view(data, tmp_path / "view")
    write_view(data, tmp_path / "view")  # what is there stays
    seen = FolderArchive(tmp_path / "view", CLASSES).scan()
    assert [(case.case_id, case.role) for case in seen.cases] == [(case.case_id, case.role) for case in data.cases]
    assert {case.role for case in seen.cases if case.expert_label is not None} == {Role.PIXEL}
    masks = {path.name for path in (tmp_path / "view").rglob("*.nii.gz") if "labels" in path.parts}
    assert masks == {"pixel-001.nii.gz", "pixel-002.nii.gz"}


def test_test_sets_of_every_kind(tmp_path: Path, source: Path) -> None:
    other = tmp_path / "other"
    (other / "labels" / "final").mkdir(parents=True)
    shutil.copy(source / "studies" / "test-001.nii.gz", other)
    shutil.copy(source / "truth" / "test-001.nii.gz", other / "labels" / "final")
    pair = {"images": str(source / "studies"), "masks": str(source / "truth")}
    config = _config(tmp_path, source, tests={"a": "test", "b": str(other), "c": pair})
    tests = prepare_data(config, CLASSES, 0).tests
    assert [len(tests[name]) for name in "abc"] == [2, 1, 8]
    assert [test.patient for test in tests["a"]] == ["test-001", "test-002"]
    (other / "cases.csv").write_text("case_id,role,patient\ntest-001,test,anna\n")
    assert prepare_data(config, CLASSES, 0).tests["b"][0].patient == "anna"
    assert tests["a"][0].mask == source / "truth" / "test-001.nii.gz"


def test_an_empty_test_set_is_refused(tmp_path: Path, source: Path) -> None:
    (tmp_path / "nothing").mkdir()
    pair = {"images": str(tmp_path / "nothing"), "masks": str(source / "truth")}
    with pytest.raises(InputError, match=r"test set 'x'.*no case with a mask"):
        prepare_data(_config(tmp_path, source, tests={"x": pair}), CLASSES, 0)


def test_cases_that_nobody_could_judge_are_left_out(tmp_path: Path, source: Path) -> None:
    shutil.copytree(source / "truth", tmp_path / "truth")
    (tmp_path / "truth" / "image-002.nii.gz").unlink()
    studies = {"folder": str(source / "studies"), "truth": str(tmp_path / "truth")}
    data = prepare_data(_config(tmp_path, source, studies=studies), CLASSES, 0)
    assert data.unjudged == ("image-002",)
    write_view(data, tmp_path / "view")
    assert "image-002.nii.gz" not in {path.name for path in (tmp_path / "view").iterdir()}
    assert len(FolderArchive(tmp_path / "view", CLASSES).scan().cases) == len(data.cases) == 7


@pytest.mark.parametrize("nobody", [{"reviewers": "people"}, {"max_rounds": 0}])
def test_without_simulated_verdicts_no_truth_is_demanded(tmp_path: Path, source: Path, nobody) -> None:
    studies = {"folder": str(source / "studies")}
    pair = {"images": str(source / "studies"), "masks": str(source / "truth")}
    data = prepare_data(_config(tmp_path, source, studies=studies, tests={"a": pair}, **nobody), CLASSES, 0)
    assert len(data.cases) == 8 and not data.unjudged
    with pytest.raises(InputError, match=r"studies.truth: has a true mask of none of the 4 cases.*reviewers: people"):
        prepare_data(_config(tmp_path, source, studies=studies, tests={"a": pair}), CLASSES, 0)


def test_a_case_that_is_labelled_clean_needs_no_mask_to_be_judged(tmp_path: Path, source: Path) -> None:
    shutil.copytree(source, tmp_path / "copy")
    (tmp_path / "copy" / "truth" / "image-001.nii.gz").unlink()
    table = tmp_path / "copy" / "studies" / "image_labels.csv"
    header, *rows = table.read_text().splitlines()
    others = [row for row in rows if not row.startswith("image-001")]
    clean = ",".join("image-001" if name == "case_id" else "" if name == "slice" else "0" for name in header.split(","))
    table.write_text("\n".join([header, clean, *others]) + "\n")
    data = prepare_data(_config(tmp_path, tmp_path / "copy"), CLASSES, 0)
    assert not data.unjudged
    assert not data.true_mask("image-001").filled and data.true_mask("image-001").native.shape == (32, 32, 1)


def test_every_seed_leaves_another_patient_out(tmp_path: Path, patients: Path) -> None:
    config = _folds(tmp_path, patients, range(3))
    folds = [prepare_data(config, CLASSES, seed) for seed in config.seeds]
    tested = [[(test.case_id, test.patient) for test in fold.tests["left out"]] for fold in folds]
    assert tested[0] == [("pixel-001", "p2"), ("pixel-003", "p2")]
    assert tested[1:] == [[("pixel-002", "p10")], [("pixel-004", "pixel-004")]]
    assert len({fold.sha256 for fold in folds}) == 3


def test_a_fold_sees_no_mask_of_the_patient_who_is_left_out(tmp_path: Path, patients: Path) -> None:
    data = prepare_data(_folds(tmp_path, patients, range(3)), CLASSES, 0)
    write_view(data, tmp_path / "view")
    write_view(data, tmp_path / "view")  # what is there stays
    scan = FolderArchive(tmp_path / "view", CLASSES).scan()
    assert not scan.set_aside
    assert [(case.case_id, case.role, case.patient) for case in scan.cases] == [
        ("pixel-001", Role.TEST, "p2"),
        ("pixel-002", Role.PIXEL, "p10"),
        ("pixel-003", Role.TEST, "p2"),
        ("pixel-004", Role.PIXEL, None),
    ]
    masks = {path.name for path in (tmp_path / "view" / "labels").rglob("*") if path.is_file()}
    assert masks == {"pixel-002.nii.gz", "pixel-004.nii.gz"}


def test_cases_with_the_role_test_stay_test_cases(tmp_path: Path, source: Path) -> None:
    config = _folds(tmp_path, source / "studies", range(2), truth=str(source / "truth"))
    data = prepare_data(config, CLASSES, 1)
    assert [test.case_id for test in data.tests["left out"]] == ["pixel-002", "test-001", "test-002"]


def test_a_seed_without_a_patient_is_refused_before_the_first_run(tmp_path: Path, patients: Path) -> None:
    with pytest.raises(InputError, match=r"seed 3: .*there are 3 with expert masks, so seeds are 0 to 2"):
        prepare_data(_folds(tmp_path, patients, range(4)), CLASSES, 0)


def test_table_1_over_folds_counts_every_patient_once(tmp_path: Path, patients: Path) -> None:
    config = _folds(tmp_path, patients, range(3))
    keys = {"preset": "paper", "test_set": "left out", "variant": VARIANTS[0], "region": ANY}
    rows = [
        {**keys, "patient_sha256": sha256, "patient": patient, "stage": stage, **dict.fromkeys(METRICS, 0.5)}
        for data in (prepare_data(config, CLASSES, seed) for seed in config.seeds)
        for patient, sha256 in data.patients["left out"].items()
        for stage in ("before", "after")
    ]
    nothing = pd.DataFrame()
    runs = [{"preset": "paper", "lead": VARIANTS[0]}]
    results = Results(config.output, config, runs, pd.DataFrame(rows), nothing, nothing, nothing, nothing)
    assert result_table(results, "paper").rows[0][0] == "left out (n = 3)"


def test_a_patient_is_known_by_what_is_measured_of_them(tmp_path: Path, source: Path) -> None:
    """Whoever every fold tests is one patient, not one a fold."""
    config = _folds(tmp_path, source / "studies", range(2), truth=str(source / "truth"))
    folds = [prepare_data(config, CLASSES, seed).patients["left out"] for seed in config.seeds]
    assert folds[0]["test-001"] == folds[1]["test-001"] != folds[0]["test-002"]
    shutil.copytree(source, tmp_path / "copy")
    shutil.copy(tmp_path / "copy/truth/test-002.nii.gz", tmp_path / "copy/truth/test-001.nii.gz")
    other = _folds(tmp_path, tmp_path / "copy" / "studies", range(2), truth=str(tmp_path / "copy" / "truth"))
    assert prepare_data(other, CLASSES, 0).patients["left out"]["test-001"] != folds[0]["test-001"]


def test_the_hash_is_that_of_the_content(tmp_path: Path, source: Path) -> None:
    shutil.copytree(source, tmp_path / "copy")
    first = prepare_data(_config(tmp_path, source), CLASSES, 0).sha256
    copied = _config(tmp_path, tmp_path / "copy")
    assert prepare_data(copied, CLASSES, 0).sha256 == first
    shutil.copy(tmp_path / "copy/truth/image-001.nii.gz", tmp_path / "copy/truth/image-002.nii.gz")
    assert prepare_data(copied, CLASSES, 0).sha256 != first


def test_table_2_counts_masks_and_labels(tmp_path: Path, source: Path) -> None:
    data = prepare_data(_config(tmp_path, source), CLASSES, 0)
    rows = {(row["data_set"], row["kind"]): row["slices"] for row in distribution_rows(data, CLASSES)}
    truth = [np.unique(read_label(data.truth[f"image-{n:03d}"]).native) for n in (1, 2, 3)]
    for value, name in enumerate(CLASSES, start=1):
        assert rows["image", name] == sum(value in found for found in truth)
    assert rows["unlabelled", "Unknown"] == rows["unlabelled", "Total slices"] == 1
    assert rows["pixel", "Bleed slices"] + rows["pixel", "No bleed slices"] == 2


def test_table_2_counts_labels_of_whole_cases_where_a_case_is_one_slice(tmp_path: Path) -> None:
    """As `import rsna` and `import slices` write them; of a volume such a label says nothing about its slices."""
    for folder in ("pictures", "masks"):
        (tmp_path / folder).mkdir()
    grey = np.full((48, 48), 90, np.uint8)
    for name, marked in (("bleed", 255), ("clean", 0)):
        mask = np.zeros_like(grey)
        mask[20:25, 20:25] = marked
        Image.fromarray(grey).save(tmp_path / "pictures" / f"{name}.png")
        Image.fromarray(mask).save(tmp_path / "masks" / f"{name}.png")
    settings = SliceSettings(CLASSES, 40, 80, role=Role.IMAGE, mask_class="subdural")
    run_import(SlicesImporter(tmp_path / "pictures", settings, tmp_path / "masks"), tmp_path / "studies")
    volume = Volume(np.zeros((3, 48, 48), np.int16), Geometry.of((48, 48, 3), np.diag([-1.0, -1.0, 5.0, 1.0])))
    write_volume(tmp_path / "studies" / "volume.nii.gz", volume)
    with (tmp_path / "studies" / "image_labels.csv").open("a") as table:
        table.write("volume,,0,0,0,0,1\n")
    cases = FolderArchive(tmp_path / "studies", CLASSES).scan().cases
    data = ExperimentData(tmp_path / "studies", tuple(cases), {}, {}, {}, "")
    found = {row["kind"]: row["slices"] for row in distribution_rows(data, CLASSES)}
    assert (found["subdural"], found["Bleed slices"], found["No bleed slices"], found["Unknown"]) == (1, 1, 1, 3)
    assert found["Total slices"] == 5
