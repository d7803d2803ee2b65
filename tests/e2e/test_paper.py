"""`recursive-expand experiment paper` on phantoms laid out as the paper's data sets, killed and run again."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import psutil
import pytest
from typer.testing import CliRunner

from recursive_expand.cli import app
from recursive_expand.experiment.layout import RESULT
from recursive_expand.experiment.results import load_results
from recursive_expand.experiment.runner import run_experiment

from .conftest import ROUND_SECONDS
from .paper_sources import write_sources

CONF = {
    "kind": "residual",  # the paper's own network learns nothing in seconds
    "channels": "[8,16,32]",
    "epochs": "40",
    "dice_loss": "every_round",
    "review": "every_round",
    "later_epochs": "1",
    "learning_rate": "0.01",
    "threads": "1",
}


@pytest.mark.timeout(3 * ROUND_SECONDS)
def test_import_runs_and_tables_are_one_command_that_goes_on(tmp_path: Path) -> None:
    write_sources(tmp_path)
    output = tmp_path / "out"
    arguments = ["experiment", "paper", "--output", str(output), "--truth", str(tmp_path / "truth")]
    for name in ("physionet", "rsna", "cq500", "masks"):
        arguments += [f"--{name}", str(tmp_path / name)]
    arguments += ["--per-class", "2", "--none", "1", "--presets", "paper", "--seeds", "0", "--max-rounds", "1"]
    arguments += ["--tau", "1", *(part for key, value in CONF.items() for part in ("--conf", f"{key}={value}"))]
    _kill_while_importing(arguments, output / "data" / "imported.json")

    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    results = load_results(output)
    tests = results.patients.drop_duplicates(["test_set", "patient"]).groupby("test_set")["patient"].nunique()
    assert dict(tests) == {"CQ 500": 2, "PhysioNet (learned from)": 5}
    counted = results.data.set_index(["data_set", "kind"])["slices"]
    assert counted["pixel", "Total slices"] == 10
    assert counted["image", "Total slices"] == 11 and counted["CQ 500", "Total slices"] == 6
    assert results.verdicts["accepted"].all() and len(results.verdicts)
    assert set(results.rounds["round"]) == {0, 1}
    assert "Table 1" in (output / "report.html").read_text()

    result = output / "runs" / "paper" / "seed-0" / RESULT
    before = result.stat().st_mtime_ns
    lines: list[str] = []
    run_experiment(results.config, on_message=lines.append)
    assert lines == ["[1/1] paper, seed 0: done already"] and result.stat().st_mtime_ns == before
    other = CliRunner().invoke(app, [*arguments, "--per-class", "1"])
    assert other.exit_code == 2 and "holds scans of other sources" in other.output
    assert len(pd.read_csv(output / "data" / "studies" / "cases.csv")) == 16


def _kill_while_importing(arguments: list[str], begun: Path) -> None:
    command = [sys.executable, "-c", "from recursive_expand.cli import app; app()", *arguments]
    with psutil.Popen(command, stdout=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + ROUND_SECONDS
        while not begun.is_file() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        assert begun.is_file()
        for one in [*process.children(recursive=True), process]:
            one.kill()
