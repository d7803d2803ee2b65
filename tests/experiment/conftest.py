"""An experiment with invented results: shared by the tests of tables, figures and the report."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from recursive_expand.archives.images import read_geometry, write_label
from recursive_expand.cases import LabelMap
from recursive_expand.experiment.config import ExperimentConfig, parse_config
from recursive_expand.experiment.data import prepare_data
from recursive_expand.experiment.distribution import distribution_rows
from recursive_expand.experiment.evaluation import reference
from recursive_expand.experiment.layout import CONFIG, DATA, RESULT, TABLES, write_csv
from recursive_expand.experiment.metrics import pool, score_mask, score_slices
from recursive_expand.phantom import CLASSES

SETTINGS: dict[str, Any] = {
    "studies": {"phantom": {"pixel": 2, "image": 3, "test": 4, "size": 32, "single_slices": True}},
    "presets": ["paper", {"name": "no g", "preset": "default", "conf": {"mode": "off"}}],
    "seeds": [0, 1],
    "output": "out",
}
SHIFT = {"before": 3, "after": 1}
"""The invented models find the truth, shifted by this many columns."""


def _make(folder: Path) -> ExperimentConfig:
    """Two presets with two seeds of invented results, in the files that a run writes."""
    config = parse_config(SETTINGS, source="test", folder=folder)
    config.output.mkdir()
    (config.output / CONFIG).write_text(yaml.safe_dump(config.model_dump(mode="json")))
    data = prepare_data(config, CLASSES, 0)
    write_csv(config.output / DATA, [{"data_sha256": data.sha256, **row} for row in distribution_rows(data, CLASSES)])
    for number, preset in enumerate(("paper", "no-g")):
        for seed in (0, 1):
            run = config.output / "runs" / preset / f"seed-{seed}"
            run.mkdir(parents=True)
            tables = _tables(run, data, seed)
            for name in TABLES:
                write_csv(run / name, tables[name])
            result = {
                "preset": config.presets[number].name,
                "lead": "f" if preset == "paper" else "f+g",
                "seed": seed,
                "data_sha256": data.sha256,
                "experiment_sha256": config.sha256(),
                "classes": list(CLASSES),
                "view": {"region": "head", "level": 40, "width": 80},
                "rounds": [
                    {
                        "round": index,
                        "model_sha256": f"model{index}",
                        "training_set_sha256": "t" * 64,
                        "config_sha256": "c" * 64,
                    }
                    for index in (0, 1)
                ],
                "files": {name: hashlib.sha256((run / name).read_bytes()).hexdigest() for name in TABLES},
                "code": {"recursive_expand": "0.1.0", "commit": "f" * 40, "changed_since_commit": False},
                "finished": "2026-01-01T00:00:00+00:00",
            }
            (run / RESULT).write_text(json.dumps(result))
    return config


def _tables(run: Path, data: Any, seed: int) -> dict[str, list[dict[str, Any]]]:
    tables: dict[str, list[dict[str, Any]]] = {name: [] for name in TABLES}
    for index, stage in enumerate(("before", "after")):
        for case in data.tests["held out"]:
            geometry = read_geometry(case.mask)
            truth = reference(case, geometry, len(CLASSES))
            mask = np.roll(truth, SHIFT[stage], axis=2)
            predictions = run / "predictions" / f"round_{index:04d}" / "held-out"
            predictions.mkdir(parents=True, exist_ok=True)
            write_label(predictions / f"{case.case_id}.nii.gz", LabelMap.from_slices(mask, geometry))
            keys = {"test_set": "held out", "stage": stage, "round": index, "model_sha256": f"model{index}"}
            whole = pool([score_mask(mask, truth, geometry, CLASSES, tolerance=2.0)])
            by_slice = score_slices(mask, truth, geometry, CLASSES, tolerance=2.0)[0]
            for variant in ("f+g", "f"):
                for table, found, own in (
                    ("patients.csv", whole, {"cases": 1, "patient_sha256": data.patients["held out"][case.patient]}),
                    ("slices.csv.gz", by_slice, {"case_id": case.case_id, "slice": 0}),
                ):
                    tables[table] += [
                        {**keys, "variant": variant, "patient": case.patient, **own, "region": region, **scores.row()}
                        for region, scores in found.items()
                    ]
        tables["rounds.csv"].append(
            {
                "round": index,
                "trained_pixel": 2,
                "trained_accepted": 3 * index + seed,
                "trained_clean": index,
                "validation_dice": 0.5,
                "validation_held_out": True,
                "verdicts_before": 30 * index,
            }
        )
    tables["verdicts.csv"] = [
        {"round": 0, "order": k, "region": CLASSES[k % 5], "accepted": k % 3 > 0, "confidence": k / 30, "score": None}
        for k in range(30)
    ]
    return tables


@pytest.fixture(scope="session")
def made_up(tmp_path_factory: pytest.TempPathFactory) -> ExperimentConfig:
    """An experiment that was never run; read only."""
    return _make(tmp_path_factory.mktemp("experiment"))
