"""A study that people reviewed, measured round by round without a trace in its workspace."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from recursive_expand.cli import app
from recursive_expand.errors import InputError
from recursive_expand.expand.judging import Answer, judge
from recursive_expand.expand.recursion import Recursion
from recursive_expand.expand.registration import register_cases
from recursive_expand.expand.rounds import run_round
from recursive_expand.experiment.measure import measure_config, measure_study
from recursive_expand.experiment.results import load_results
from recursive_expand.experiment.tables import round_table
from recursive_expand.ledger import Actor


def _accept(recursion: Recursion, case_id: str) -> None:
    proposal = recursion.ledger.proposals.current(case_id)
    assert proposal is not None
    judge(recursion, Actor("ann", "review desk"), case_id, proposal.sha256, Answer("accept"))


@pytest.fixture(scope="module")
def two_rounds(after_round_0: Path, reopen, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A studies folder whose first review a person decided; round 1's is open."""
    studies = tmp_path_factory.mktemp("reviewed") / "studies"
    shutil.copytree(after_round_0, studies)
    recursion = reopen(studies)
    register_cases(recursion)
    for proposal, _ in recursion.ledger.queue.page(now=0):
        _accept(recursion, proposal.case_id)
    run_round(recursion)
    recursion.ledger.close()
    return studies


def _files(folder: Path) -> dict[Path, tuple[int, int]]:
    return {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in folder.rglob("*")}


def test_every_round_is_measured_and_the_workspace_is_only_read(two_rounds: Path, tmp_path: Path) -> None:
    before = _files(two_rounds)
    command = ["experiment", "measure", str(two_rounds), "--tests", "held out=test", "--output", str(tmp_path / "out")]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    assert _files(two_rounds) == before
    results = load_results(tmp_path / "out")
    assert set(zip(results.patients["stage"], results.patients["round"], strict=True)) == {("before", 0), ("after", 1)}
    assert results.rounds["verdicts"].iloc[0] == len(results.verdicts["case_id"].unique()) > 0
    assert set(results.verdicts["reviewer"]) == {"ann"}
    rows = round_table(results, "default").rows
    assert [(row[0], row[1], row[3]) for row in rows] == [
        ("held out", "0", "0"),
        ("", "1", str(results.rounds["verdicts"][0])),
    ]
    page = (tmp_path / "out" / "report.html").read_text()
    assert "A study that people reviewed" in page and "Round by round" in page
    patients = (tmp_path / "out" / "runs" / "default" / "seed-0" / "patients.csv").read_bytes()
    config = measure_config(two_rounds, {"held out": "test"}, tmp_path / "out")
    lines: list[str] = []
    measure_study(config, on_message=lines.append)
    assert lines == ["measured already: nothing was recorded since"]
    # A measurement that was broken off goes on: what was measured is not measured again.
    (tmp_path / "out" / "runs" / "default" / "seed-0" / "result.json").unlink()
    kept = sorted((tmp_path / "out" / "runs" / "default" / "seed-0" / "measured").iterdir())
    kept[0].unlink()
    lines.clear()
    measure_study(config, on_message=lines.append)
    assert [line.startswith("measuring round") for line in lines] == [True, False]
    assert (tmp_path / "out" / "runs" / "default" / "seed-0" / "patients.csv").read_bytes() == patients


def test_a_study_that_goes_on_is_measured_as_far_as_it_is(reviewing: Recursion, tmp_path: Path) -> None:
    config = measure_config(tmp_path / "studies" / ".recursive", {"held out": "test"}, tmp_path / "out")
    measure_study(config, on_message=lambda _: None)
    verdicts = tmp_path / "out" / "runs" / "default" / "seed-0" / "verdicts.csv"
    assert not len(pd.read_csv(verdicts))
    proposal, _ = next(iter(reviewing.ledger.queue.page(now=0)))
    _accept(reviewing, proposal.case_id)
    lines: list[str] = []
    measure_study(config, on_message=lines.append)
    assert lines == ["rounds measured: 1"]  # no new model: nothing is measured again
    assert set(pd.read_csv(verdicts)["case_id"]) == {proposal.case_id}


def test_what_f_learned_from_is_no_test_set(two_rounds: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    (other / "labels" / "final").mkdir(parents=True)
    shutil.copy(two_rounds / "p1.nii.gz", other / "x.nii.gz")
    shutil.copy(two_rounds / "labels" / "final" / "p1.nii.gz", other / "labels" / "final" / "x.nii.gz")
    with pytest.raises(InputError, match="holds the mask of case p1, from which f learned"):
        measure_study(measure_config(two_rounds, {"x": str(other)}, tmp_path / "out"), on_message=print)
    with pytest.raises(InputError, match="is the study itself, from which f learned"):
        measure_config(two_rounds, {"x": str(two_rounds)}, tmp_path / "out")


def test_a_workspace_elsewhere_needs_no_studies(two_rounds: Path, tmp_path: Path) -> None:
    shutil.copytree(two_rounds / ".recursive", tmp_path / "workspace")
    with pytest.raises(InputError, match="whose folder is not known; give --studies"):
        measure_study(measure_config(tmp_path / "workspace", {"x": "test"}, tmp_path / "out"), on_message=print)
    pair = f"{two_rounds},{tmp_path / 'masks'}"
    (tmp_path / "masks").mkdir()
    shutil.copy(two_rounds / "labels" / "final" / "t0.nii.gz", tmp_path / "masks")
    measure_study(measure_config(tmp_path / "workspace", {"x": pair}, tmp_path / "out"), on_message=lambda _: None)
    assert set(load_results(tmp_path / "out").patients["patient"]) == {"t0"}


def test_a_folder_without_a_ledger_is_named(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["experiment", "measure", str(tmp_path), "--tests", "a=test"])
    assert done.exit_code == 2 and "ledger.sqlite: is not there" in done.output
    done = CliRunner().invoke(app, ["experiment", "measure", str(tmp_path), "--tests", "nothing"])
    assert done.exit_code == 2 and "is not NAME=VALUE" in done.output
