"""When a run is the one that was started earlier."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from recursive_expand.experiment.config import parse_config
from recursive_expand.experiment.data import ExperimentData
from recursive_expand.experiment.run import Run
from recursive_expand.settings import load_settings


def _run(folder: Path, **conf: object) -> Run:
    raw = {"studies": {"phantom": {}}, "presets": ["default"], "conf": conf, "output": "out"}
    config = parse_config(raw, source="test", folder=folder)
    settings = load_settings(config.app / "task.yaml", config.conf_of(config.presets[0], 3))
    data = ExperimentData(folder, (), {}, {}, {}, "d" * 64)
    return Run(config, config.presets[0], 3, data, settings)


def _as_0_1_0_recorded(run: Run) -> dict[str, Any]:
    settings = run.settings
    task, method = (part.model_dump(mode="json") for part in (settings.task, settings.method))
    del task["region"]
    method["refinement"]["min_agreement"] = method["refinement"].pop("min_dice")
    flat = {**task, **method, **settings.review.model_dump(mode="json"), "threads": 2}
    others = {name: value for name, value in run.identity.items() if name not in ("task", "method", "review")}
    return {"task": flat, **others}


@pytest.mark.parametrize("recorded", [lambda run: run.identity, _as_0_1_0_recorded])
def test_a_run_of_other_settings_is_another_run(tmp_path: Path, recorded) -> None:
    before = recorded(_run(tmp_path, region="head", epochs=30, order="risk"))  # the one region of 0.1.0
    assert _run(tmp_path, region="head", epochs=30, order="risk").is_run_of(before)
    assert not _run(tmp_path, region="head", epochs=31, order="risk").is_run_of(before)
    assert not _run(tmp_path, region="head", epochs=30, order="balanced").is_run_of(before)
    assert not _run(tmp_path, region="body", epochs=30, order="risk").is_run_of(before)


def test_the_number_of_threads_and_the_output_do_not_matter(tmp_path: Path) -> None:
    assert _run(tmp_path, threads=1).is_run_of(_run(tmp_path / "other", threads=2).identity)


def test_other_data_is_another_run(tmp_path: Path) -> None:
    run = _run(tmp_path)
    assert not run.is_run_of({**run.identity, "data_sha256": "e" * 64})
