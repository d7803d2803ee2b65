"""The experiment's configuration."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from recursive_expand.errors import InputError
from recursive_expand.experiment.config import load_config
from recursive_expand.experiment.demo import demo_config
from recursive_expand.settings import load_settings


def _write(folder: Path, **settings: object) -> Path:
    path = folder / "experiment.yaml"
    base = {"studies": {"phantom": {}}, "presets": ["paper"], "output": "out"}
    path.write_text(yaml.safe_dump(base | settings))
    return path


def test_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    config = load_config(
        _write(
            tmp_path,
            studies={"folder": "data", "truth": "/truth"},
            tests={"a": "test", "b": "other", "c": {"images": "i", "masks": "m"}},
        )
    )
    assert config.output == tmp_path / "out"
    assert (config.studies.folder, config.studies.truth) == (tmp_path / "data", Path("/truth"))
    assert config.tests["a"] == "test"
    assert config.tests["b"] == tmp_path / "other"
    assert config.tests["c"].masks == tmp_path / "m"


def test_folds_need_no_truth(tmp_path: Path) -> None:
    studies = load_config(_write(tmp_path, studies={"folder": "data", "leave_one_patient_out": True})).studies
    assert (studies.leave_one_patient_out, studies.truth) == (True, None)
    assert not load_config(_write(tmp_path)).studies.leave_one_patient_out


def test_settings_reach_the_server_as_they_are(tmp_path: Path) -> None:
    presets = ["paper", {"name": "no g", "preset": "default", "conf": {"mode": "off", "working_spacing": None}}]
    config = load_config(_write(tmp_path, presets=presets, conf={"epochs": 3, "channels": [4, 8], "augment": False}))
    first, second = (load_settings(config.app / "task.yaml", config.conf_of(p, 7)) for p in config.presets)
    method = first.method
    assert (method.preset, method.training.epochs, method.network.channels, method.seed) == ("paper", 3, (4, 8), 7)
    method = second.method
    assert (method.preset, method.refinement.mode, method.training.augment) == ("default", "off", False)
    assert method.working_spacing is None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"presets": []}, "presets"),
        ({"presets": ["paper", "paper"]}, "must differ"),
        ({"studies": {}}, "either folder"),
        ({"studies": {"phantom": {}, "leave_one_patient_out": True}}, "goes with folder, not with phantom"),
        ({"epochs": 3}, "epochs"),
        ({"expert": {"error_rate": 2}}, "expert.error_rate"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path: Path, settings: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_config(_write(tmp_path, **settings))


def test_the_output_is_no_part_of_the_hash(tmp_path: Path) -> None:
    assert load_config(_write(tmp_path)).sha256() == load_config(_write(tmp_path, output="other")).sha256()
    assert load_config(_write(tmp_path)).sha256() != load_config(_write(tmp_path, max_rounds=1)).sha256()


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    config = demo_config(tmp_path / "out")
    path = tmp_path / "again.yaml"
    path.write_text(yaml.safe_dump(config.model_dump(mode="json")))
    assert load_config(path) == config


def test_the_comparison_in_the_docs_switches_one_ingredient_at_a_time() -> None:
    path = Path(__file__).parents[2] / "docs" / "compare.yaml"
    config = load_config(path)
    tasks = {p.name: load_settings(config.app / "task.yaml", config.conf_of(p, 0)) for p in config.presets}
    assert {"paper-small", "default"} < tasks.keys()
    switched = [name for name, task in tasks.items() if task != tasks["default"]]
    assert switched == [name for name in tasks if name != "default"]  # no setting is misspelt or already so
