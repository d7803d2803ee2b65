"""nnU-Net's raw format: what goes there, and what comes back."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from recursive_expand.archives.images import read_label, read_volume
from recursive_expand.errors import InputError
from recursive_expand.experiment.compare import comparison_tables
from recursive_expand.experiment.config import ExperimentConfig, parse_config
from recursive_expand.experiment.data import ExperimentData, prepare_data
from recursive_expand.experiment.evaluation import measure
from recursive_expand.experiment.layout import PATIENTS, PEER, PEERS, write_csv
from recursive_expand.experiment.nnunet_format import DATASET, PredictionFiles, images_folder, write_raw
from recursive_expand.experiment.results import load_results
from recursive_expand.phantom import CLASSES


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> ExperimentData:
    """Volumes of a scanner with a tilted gantry, whose grid is sheared."""
    folder = tmp_path_factory.mktemp("nnunet")
    phantom = {"pixel": 2, "image": 0, "test": 2, "size": 32, "slices": 3, "single_slices": False}
    raw = {"studies": {"phantom": phantom}, "tests": {"Other scanner": "test"}, "presets": ["paper"], "max_rounds": 0}
    return prepare_data(parse_config({**raw, "output": "out"}, source="test", folder=folder), CLASSES, 0)


def test_the_raw_folder_is_as_nnunet_expects_it(data: ExperimentData, tmp_path: Path) -> None:
    root = write_raw(data, CLASSES, tmp_path)
    assert root == tmp_path / DATASET
    description = json.loads((root / "dataset.json").read_text())
    assert description["labels"] == {"background": 0, **{name: k for k, name in enumerate(CLASSES, start=1)}}
    assert (description["channel_names"], description["numTraining"]) == ({"0": "CT"}, 2)
    names = {path.relative_to(root).as_posix() for path in root.rglob("*.nii.gz")}
    assert names == {
        *(f"imagesTr/pixel-00{n}_0000.nii.gz" for n in (1, 2)),
        *(f"labelsTr/pixel-00{n}.nii.gz" for n in (1, 2)),
        *(f"{images_folder('Other scanner')}/test-00{n}_0000.nii.gz" for n in (1, 2)),
    }
    for test in data.tests["Other scanner"]:
        written = nib.load(root / "imagesTs-other-scanner" / f"{test.case_id}_0000.nii.gz")
        original = nib.load(test.image)
        assert np.array_equal(np.asarray(written.dataobj), np.asarray(original.dataobj))
        assert np.allclose(written.header.get_zooms(), np.linalg.norm(original.affine[:3, :3], axis=0), atol=1e-4)
        # ITK reads orthogonal axes alone.
        axes = written.affine[:3, :3] / np.linalg.norm(written.affine[:3, :3], axis=0)
        assert np.allclose(axes.T @ axes, np.eye(3), atol=1e-5)


def test_predictions_come_back_on_the_image_s_own_grid(data: ExperimentData, tmp_path: Path) -> None:
    """The masks that it would write, were it perfect, measure as perfect."""
    cases = data.tests["Other scanner"]
    for case in cases:
        native = read_label(case.mask).native
        nib.save(nib.Nifti1Image(native, np.diag([0.5, 0.5, 5, 1])), tmp_path / f"{case.case_id}.nii.gz")
    found = measure(PredictionFiles(tmp_path), cases, CLASSES, tolerance=2.0)
    assert {row["dice"] for row in found.patients} == {1.0} and any(row["reference_ml"] for row in found.patients)
    (tmp_path / f"{cases[0].case_id}.nii.gz").unlink()
    with pytest.raises(InputError, match="has predicted no such case"):
        list(PredictionFiles(tmp_path).propose_volumes([(cases[0].case_id, read_volume(cases[0].image))]))


def test_a_peer_has_a_row_in_the_comparison(made_up: ExperimentConfig, tmp_path: Path) -> None:
    for path in made_up.output.iterdir():
        (tmp_path / path.name).symlink_to(path)
    before = comparison_tables(load_results(tmp_path))[0]
    results = load_results(tmp_path)
    of_first = results.patients[(results.patients.stage == "after") & (results.patients.variant == "f")]
    for seed in (0, 1):
        folder = tmp_path / PEERS / "nnunet" / f"seed-{seed}"
        folder.mkdir(parents=True)
        rows = of_first[(of_first.seed == seed) & (of_first.preset == "paper")].drop(columns=["preset", "seed"])
        write_csv(folder / PATIENTS, rows.to_dict("records"))
        peer = {
            "name": "nnU-Net 2.8.1, 2-D",
            "minutes": 2.0,
            "seed": seed,
            "files": {PATIENTS: _sha256(folder / PATIENTS)},
        }
        (folder / PEER).write_text(json.dumps(peer))
    table = comparison_tables(load_results(tmp_path))[0]
    (row,) = [row for row in table.rows if row[1].startswith("nnU-Net")]
    cells = dict(zip(table.header, row, strict=True))
    assert cells["Preset"] == "nnU-Net 2.8.1, 2-D, 2 CPU minutes" and cells["Seeds"] == "2"
    assert cells["Verdicts used"].startswith("0") and cells["Gain of median Dice"] == "–"
    ours = dict(zip(before.header, before.rows[0], strict=True))
    assert cells["Final median Dice"] == ours["Final median Dice"] and cells["Lead"].startswith("+0.000")
    assert [other for other in table.rows if other != row] == list(before.rows)
    with (tmp_path / PEERS / "nnunet" / "seed-0" / PATIENTS).open("a") as file:
        file.write("\n")
    with pytest.raises(InputError, match="has changed since it was measured"):
        load_results(tmp_path)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
