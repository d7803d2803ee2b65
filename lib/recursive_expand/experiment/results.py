"""An experiment's results as data frames: what reports start from."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from recursive_expand.errors import InputError
from recursive_expand.experiment.config import ExperimentConfig, load_config
from recursive_expand.experiment.layout import CONFIG, DATA, PATIENTS, PEER, PEERS, RESULT, TABLES, config_file


@dataclass(frozen=True)
class Results:
    """Everything that an experiment's runs measured.

    Every frame except `data` starts with the columns `preset`, `seed` and `data_sha256`, followed by its file's.

    Attributes:
        folder: the experiment's output folder.
        config: the experiment's.
        runs: `result.json` of every run that is done, and its `folder`.
        patients: one row per run, test set, variant, stage, round, patient and region, with the metrics; `leads` says
            whether the variant is the one that leads its run's tables (`evaluation.lead`).
        slices: the same by slice, before and after only.
        rounds: one row per run and round.
        verdicts: one row per slice that was accepted or rejected at first look.
        second_looks: the same of rejected masks that came once more, stricter.
        data: one row per data set and kind of slice: their number.
        peers: one row per peer, seed, test set, patient and region, with the columns `peer` (its name and budget),
            `seed` and the metrics; empty without a peer.
    """

    folder: Path
    config: ExperimentConfig
    runs: list[dict[str, Any]]
    patients: pd.DataFrame
    slices: pd.DataFrame
    rounds: pd.DataFrame
    verdicts: pd.DataFrame
    data: pd.DataFrame
    peers: pd.DataFrame = field(default_factory=pd.DataFrame)
    second_looks: pd.DataFrame = field(default_factory=pd.DataFrame)

    @property
    def presets(self) -> list[str]:
        """Names of the presets that have a run, in the configuration's order."""
        done = {run["preset"] for run in self.runs}
        return [preset.name for preset in self.config.presets if preset.name in done]

    @property
    def classes(self) -> list[str]:
        """Class names."""
        return self.runs[0]["classes"]

    def lead(self, preset: str) -> str:
        """The variant that leads the preset's tables and figures."""
        return next(run["lead"] for run in self.runs if run["preset"] == preset)


def load_results(folder: Path) -> Results:
    """Read the runs of an experiment that are done, also those of version 0.1.0.

    Args:
        folder: the experiment's output folder.

    Raises:
        InputError: there is no experiment, none of its runs is done, or a table has changed since its run.
    """
    file = config_file(folder)
    if file is None:
        raise InputError(str(folder), f"holds no experiment (no {CONFIG}); give the output folder of `experiment run`")
    runs: list[dict[str, Any]] = []
    frames: dict[str, list[pd.DataFrame]] = {name: [] for name in TABLES}
    for path in sorted((folder / "runs").glob(f"*/*/{RESULT}")):
        run = _read_run(path)
        runs.append(run)
        for name in TABLES:
            table = path.with_name(name)
            if hashlib.sha256(table.read_bytes()).hexdigest() != run["files"][name]:
                raise InputError(str(table), f"has changed since its run; remove {path} and run the experiment again")
            frames[name].append(_read_table(table, run))
    if not runs:
        raise InputError(str(folder), "holds no run that is done; `experiment run` continues those that are not")
    whole = {name: pd.concat([f for f in found if len(f)] or found[:1]) for name, found in frames.items()}
    patients, slices, rounds, verdicts = (whole[name].reset_index(drop=True) for name in TABLES)
    data = pd.read_csv(folder / DATA)
    again = verdicts["second_look"].eq(True) if "second_look" in verdicts else pd.Series(False, verdicts.index)
    first, second = (verdicts[which].reset_index(drop=True) for which in (~again, again))
    peers = _read_peers(folder)
    return Results(folder, load_config(file), runs, patients, slices, rounds, first, data, peers, second)


def _read_peers(folder: Path) -> pd.DataFrame:
    frames = []
    for path in sorted((folder / PEERS).glob(f"*/*/{PEER}")):
        peer = json.loads(path.read_bytes())
        table = path.with_name(PATIENTS)
        if hashlib.sha256(table.read_bytes()).hexdigest() != peer["files"][PATIENTS]:
            raise InputError(str(table), f"has changed since it was measured; remove {path} and run the peer again")
        frame = pd.read_csv(table, dtype={"patient": str})
        frame.insert(0, "seed", peer["seed"])
        frame.insert(0, "peer", f"{peer['name']}, {peer['minutes']:g} CPU minutes")
        frames.append(frame)
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()


def _read_run(path: Path) -> dict[str, Any]:
    run = json.loads(path.read_bytes())
    if "study_sha256" in run:  # its name in 0.1.0
        run["experiment_sha256"] = run.pop("study_sha256")
    run.setdefault("lead", "f+g")  # until version 0.2, of every preset
    run.setdefault("view", {"region": "head", "level": 40, "width": 80})  # 0.1.0 knew heads alone
    return {**run, "folder": path.parent}


def _read_table(path: Path, run: dict[str, Any]) -> pd.DataFrame:
    frame = pd.read_csv(path, dtype={"patient": str, "case_id": str})
    if path.name == PATIENTS and "patient_sha256" not in frame:
        raise InputError(
            str(path), "was written by an earlier version; remove its run's folder and run the experiment again"
        )
    if "variant" in frame:
        frame["leads"] = frame["variant"] == run["lead"]
    for column in ("data_sha256", "seed", "preset"):
        frame.insert(0, column, run[column])
    return frame
