"""A study's results as data frames: the seam between running and reporting."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from recursive_expand.errors import InputError
from recursive_expand.study.config import StudyConfig, load_config
from recursive_expand.study.run import CONFIG, DATA, FILES, RESULT


@dataclass(frozen=True)
class Results:
    """Everything that a study's runs measured.

    Every frame but `data` has the columns `preset`, `seed` and `data_sha256` before those of its file.

    Attributes:
        folder: the study's.
        config: the study's.
        runs: `result.json` of every run that is done, and its `folder`.
        patients: a row a run, test set, variant, stage, round, patient and region, with the metrics.
        slices: the same by slice, before and after only.
        rounds: a row a run and round.
        verdicts: a row a slice that was accepted or rejected.
        data: a row a data set and kind of slice: how many there are.
    """

    folder: Path
    config: StudyConfig
    runs: list[dict[str, Any]]
    patients: pd.DataFrame
    slices: pd.DataFrame
    rounds: pd.DataFrame
    verdicts: pd.DataFrame
    data: pd.DataFrame

    @property
    def presets(self) -> list[str]:
        """Names of the presets that have a run, in the configuration's order."""
        done = {run["preset"] for run in self.runs}
        return [preset.name for preset in self.config.presets if preset.name in done]

    @property
    def classes(self) -> list[str]:
        """Class names."""
        return self.runs[0]["classes"]


def load_results(folder: Path) -> Results:
    """Read the runs of a study that are done.

    Args:
        folder: the study's output folder.

    Raises:
        InputError: there is no study, none of its runs is done, or a table is not the one that its run wrote.
    """
    if not (folder / CONFIG).is_file():
        raise InputError(str(folder), f"holds no study (no {CONFIG}); give the output folder of `study run`")
    runs: list[dict[str, Any]] = []
    frames: dict[str, list[pd.DataFrame]] = {name: [] for name in FILES}
    for path in sorted((folder / "runs").glob(f"*/*/{RESULT}")):
        run = json.loads(path.read_bytes())
        runs.append({**run, "folder": path.parent})
        for name in FILES:
            table = path.with_name(name)
            if hashlib.sha256(table.read_bytes()).hexdigest() != run["files"][name]:
                raise InputError(str(table), f"was changed after its run; remove {path} and run the study again")
            frames[name].append(_read(table, run))
    if not runs:
        raise InputError(str(folder), "holds no run that is done; `study run` goes on with those that are not")
    whole = {name: pd.concat([f for f in found if len(f)] or found[:1]) for name, found in frames.items()}
    patients, slices, rounds, verdicts = (whole[name].reset_index(drop=True) for name in FILES)
    config = load_config(folder / CONFIG)
    return Results(folder, config, runs, patients, slices, rounds, verdicts, pd.read_csv(folder / DATA))


def _read(path: Path, run: dict[str, Any]) -> pd.DataFrame:
    frame = pd.read_csv(path, dtype={"patient": str, "case_id": str})
    if path.name == FILES[0] and "patient_sha256" not in frame:
        raise InputError(
            str(path), "was written by an earlier version; remove its run's folder and run the study again"
        )
    for column in ("data_sha256", "seed", "preset"):
        frame.insert(0, column, run[column])
    return frame
