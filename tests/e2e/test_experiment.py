"""`recursive-expand experiment run`, killed in the middle of its first review and run again."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import psutil
import pytest
import yaml

from recursive_expand.errors import InputError
from recursive_expand.expand.workspace import Workspace
from recursive_expand.experiment.config import load_config
from recursive_expand.experiment.ledger_reading import read_run
from recursive_expand.experiment.report import write_report
from recursive_expand.experiment.runner import run_experiment
from recursive_expand.phantom import CLASSES

from .conftest import ROUND_SECONDS

SETTINGS = {
    "output": "out",
    "studies": {"phantom": {"pixel": 10, "image": 12, "test": 2, "size": 64, "single_slices": True}},
    "presets": ["default"],
    "conf": {
        "channels": [8, 16, 32],
        "epochs": 20,
        "later_epochs": 1,
        "learning_rate": 0.01,
        "threads": 1,
        "pretrain": "none",
    },
    "expert": {"tau": 1.0, "seconds": 2.5},
    "max_rounds": 1,
}


@pytest.mark.timeout(3 * ROUND_SECONDS)
def test_a_killed_experiment_continues(tmp_path: Path) -> None:
    path = tmp_path / "experiment.yaml"
    path.write_text(yaml.safe_dump(SETTINGS))
    command = [sys.executable, "-c", "from recursive_expand.cli import app; app()", "experiment", "run", str(path)]
    run = tmp_path / "out" / "runs" / "default" / "seed-0"
    with psutil.Popen(command, stdout=subprocess.DEVNULL) as command_process:
        try:
            _wait_for_verdicts(Workspace(run / "workspace"))
            family = command_process.children(recursive=True)
        finally:
            command_process.kill()
    assert family
    _, alive = psutil.wait_procs(family, timeout=20)
    assert not [p for p in alive if p.status() != psutil.STATUS_ZOMBIE], "a server outlived its experiment"

    config = load_config(path)
    lines: list[str] = []
    run_experiment(config, on_message=lines.append)
    verdicts = pd.read_csv(run / "verdicts.csv")
    assert not verdicts.duplicated(["round", "case_id", "slice"]).any()
    assert set(verdicts["round"]) == {0} and verdicts.accepted.all() and (verdicts.seconds == 2.5).all()
    patients = pd.read_csv(run / "patients.csv")
    assert set(zip(patients.stage, patients["round"], patients.variant, strict=True)) == {
        (stage, number, variant) for stage, number in (("before", 0), ("after", 1)) for variant in ("f+g", "f")
    }
    assert write_report(config.output).is_file()

    lines.clear()
    run_experiment(config, on_message=lines.append)
    assert lines == ["[1/1] default, seed 0: done already"]
    path.write_text(yaml.safe_dump(SETTINGS | {"max_rounds": 2}))
    with pytest.raises(InputError, match="other settings"):
        run_experiment(load_config(path), on_message=lines.append)


def _wait_for_verdicts(workspace: Workspace) -> None:
    deadline = time.monotonic() + ROUND_SECONDS
    while time.monotonic() < deadline:
        if workspace.ledger.is_file() and read_run(workspace, CLASSES).reviewed:
            return
        time.sleep(0.1)
    pytest.fail(f"no verdict within {ROUND_SECONDS:.0f} s")
