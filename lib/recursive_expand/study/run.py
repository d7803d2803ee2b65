"""The study: every preset with every seed, each in a workspace of its own, resumed where it was interrupted."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from recursive_expand.archives.atomic import atomic_path, write_atomic
from recursive_expand.cases import Role
from recursive_expand.errors import InputError, RecursiveExpandError
from recursive_expand.expand.workspace import Workspace
from recursive_expand.ledger import Ledger, RoundRecord
from recursive_expand.ledger.chain import canonical
from recursive_expand.study.config import PresetSettings, StudyConfig, slug
from recursive_expand.study.data import StudyData, prepare_data, write_view
from recursive_expand.study.distribution import distribution_rows
from recursive_expand.study.evaluation import VARIANTS, Rows, measure, predictor_of
from recursive_expand.study.expert import SimulatedExpert
from recursive_expand.study.provenance import code_version
from recursive_expand.study.recursion import Tell, recurse
from recursive_expand.study.server import ServerProcess
from recursive_expand.study.verdicts import COLUMNS, verdict_rows
from recursive_expand.task import Task, load_task

CONFIG = "study.yaml"
"""The resolved configuration, in the study's folder."""
DATA = "data.csv"
"""Slices by class and data set, in the study's folder."""
RESULT = "result.json"
"""In a run's folder; written last: where it is, the run is done."""
FILES = ("patients.csv", "slices.csv.gz", "rounds.csv", "verdicts.csv")


@dataclass(frozen=True)
class Run:
    """One preset with one seed.

    Attributes:
        preset: its settings.
        seed: of training, of the choice of validation cases and of the expert's errors.
        conf: `--conf` pairs of its server.
        folder: where everything that it makes is kept.
        settings: what the results depend on, as JSON.
    """

    preset: PresetSettings
    seed: int
    conf: dict[str, str]
    folder: Path
    settings: dict[str, Any]

    @classmethod
    def of(cls, config: StudyConfig, preset: PresetSettings, seed: int, data: StudyData, task: Task) -> Run:
        """A run of a study."""
        settings = {
            "task": task.model_dump(mode="json"),
            "data_sha256": data.sha256,
            "expert": config.expert.model_dump(mode="json"),
            "max_rounds": config.max_rounds,
            "max_verdicts": config.max_verdicts,
            "surface_tolerance": config.surface_tolerance,
            "tests": sorted(config.tests),
        }
        folder = config.output / "runs" / slug(preset.name) / f"seed-{seed}"
        return cls(preset, seed, config.conf_of(preset, seed), folder, settings)

    @property
    def name(self) -> str:
        """What it is called in progress lines and tables."""
        return f"{self.preset.name}, seed {self.seed}"

    @property
    def settings_sha256(self) -> str:
        """Hash of what the results depend on, code apart."""
        return hashlib.sha256(canonical(self.settings).encode()).hexdigest()

    @property
    def workspace(self) -> Workspace:
        """The workspace of its server."""
        return Workspace(self.folder / "workspace")


def run_study(config: StudyConfig, *, tell: Tell) -> None:
    """Run what is not done yet.

    Args:
        config: the study.
        tell: takes a line for the person who waits.

    Raises:
        InputError: the data cannot be used, or the output folder holds results of other settings.
        RecursiveExpandError: a run failed; what was done before stays, and the next call goes on from there.
    """
    config.output.mkdir(parents=True, exist_ok=True)
    written = yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
    write_atomic(config.output / CONFIG, written.encode())
    task_file = config.app / "task.yaml"
    tasks = {
        (preset.name, seed): load_task(task_file, config.conf_of(preset, seed))
        for preset in config.presets
        for seed in config.seeds
    }
    distribution: Rows = []
    described: set[str] = set()
    total, number = len(tasks), 0
    for seed in config.seeds:
        classes = tasks[config.presets[0].name, seed].classes
        data = prepare_data(config, classes, seed)
        if data.sha256 not in described:
            described.add(data.sha256)
            distribution += [{"data_sha256": data.sha256, **row} for row in distribution_rows(data, classes)]
            write_csv(config.output / DATA, distribution)
        for preset in config.presets:
            number += 1
            run = Run.of(config, preset, seed, data, tasks[preset.name, seed])
            prefix = f"[{number}/{total}] {run.name}: "
            _run_once(config, run, data, tasks[preset.name, seed], partial(_tell_of, tell, prefix))


def _tell_of(tell: Tell, prefix: str, line: str) -> None:
    tell(prefix + line)


def _run_once(config: StudyConfig, run: Run, data: StudyData, task: Task, tell: Tell) -> None:
    begun = run.folder / "run.json"
    if begun.is_file():
        before = json.loads(begun.read_bytes())["settings_sha256"]
        if before != run.settings_sha256:
            raise InputError(
                str(run.folder),
                "holds a run of other settings or other data; remove that folder, or give the study another output",
            )
    if (run.folder / RESULT).is_file():
        tell("done already")
        return
    started = time.monotonic()
    run.folder.mkdir(parents=True, exist_ok=True)
    write_atomic(begun, _json({"settings_sha256": run.settings_sha256, "settings": run.settings}))
    studies = run.folder / "studies"
    write_view(data, studies)
    conf = {**run.conf, "workspace": str(run.workspace.root)}
    with (
        ServerProcess(
            studies, log=run.folder / "server.log", app=config.app, conf=conf, ends_with_caller=True
        ) as server,
        SimulatedExpert(server.url, task.name, data.true_mask, config.expert, seed=run.seed) as expert,
    ):
        recurse(server, expert, max_rounds=config.max_rounds, max_verdicts=config.max_verdicts, tell=tell)
        server.stop()
    tell(f"recursion done after {time.monotonic() - started:.0f} s; measuring")
    _conclude(config, run, data, task)
    tell(f"done after {time.monotonic() - started:.0f} s")


def _conclude(config: StudyConfig, run: Run, data: StudyData, task: Task) -> None:
    """Measure the models and write the results, `result.json` last."""
    ledger = Ledger(run.workspace.ledger)
    try:
        broken = ledger.first_broken_event()
        if broken is not None:
            raise RecursiveExpandError(f"{run.name}: the ledger's hash chain is broken at event {broken}")
        rounds = [round_ for round_ in ledger.list_rounds() if round_.model is not None]
        tables = {
            "rounds.csv": [_round_row(ledger, round_) for round_ in rounds],
            "verdicts.csv": verdict_rows(ledger, run.workspace, task.classes),
        }
        roles = ledger.count_by_role()
    finally:
        ledger.close()
    tables["patients.csv"], tables["slices.csv.gz"] = _measure_all(config, run, data, task, rounds)
    for name in FILES:
        write_csv(run.folder / name, tables[name], COLUMNS if name == "verdicts.csv" else None)
    result = {
        "preset": run.preset.name,
        "seed": run.seed,
        "settings_sha256": run.settings_sha256,
        "study_sha256": config.sha256(),
        "data_sha256": data.sha256,
        "classes": list(task.classes),
        "cases": {role: roles[role] for role in Role},
        "rounds": [
            {
                "round": round_.round,
                "state": round_.state,
                "model_sha256": round_.model,
                "promoted": round_.promoted,
                "training_set_sha256": round_.training_set_sha256,
                "config_sha256": round_.config_sha256,
            }
            for round_ in rounds
        ],
        "ledger": "hash chain unbroken",
        "files": {name: hashlib.sha256((run.folder / name).read_bytes()).hexdigest() for name in FILES},
        "code": code_version(),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    write_atomic(run.folder / RESULT, _json(result))


def _measure_all(
    config: StudyConfig, run: Run, data: StudyData, task: Task, rounds: list[RoundRecord]
) -> tuple[Rows, Rows]:
    """Every round's model on every test set; slices, masks and f alone only before and after the recursion."""
    last = rounds[-1].round
    ends = (rounds[0].model, rounds[-1].model)
    patients: Rows = []
    slices: Rows = []
    for variant in VARIANTS:
        known: dict[str, dict[str, tuple[Rows, Rows]]] = {}
        for round_ in rounds:
            if variant != VARIANTS[0] and round_.model not in ends:
                continue
            assert round_.model is not None
            if round_.model not in known:  # a gate may have kept the model of the round before
                keep = run.folder / "predictions" / f"round_{round_.round:04d}" if variant == VARIANTS[0] else None
                predictor = predictor_of(round_, run.workspace.model(round_.model), variant)
                known[round_.model] = {}
                for name, cases in data.tests.items():
                    found = measure(
                        predictor,
                        cases,
                        task.classes,
                        tolerance=config.surface_tolerance,
                        predictions=keep / slug(name) if keep is not None and round_.model in ends else None,
                    )
                    known[round_.model][name] = (found.patients, found.slices)
            for stage in _stages(round_.round, last):
                for name, (by_patient, by_slice) in known[round_.model].items():
                    keys = {
                        "test_set": name,
                        "variant": variant,
                        "stage": stage,
                        "round": round_.round,
                        "model_sha256": round_.model,
                    }
                    known_as = data.patients[name]
                    patients += [{**keys, "patient_sha256": known_as[row["patient"]], **row} for row in by_patient]
                    if stage != "between":
                        slices += [{**keys, **row} for row in by_slice]
    return patients, slices


def _stages(round_index: int, last: int) -> Iterable[str]:
    """What a round's model stands for: a recursion that ended in round 0 is both its own before and after."""
    if round_index == 0:
        yield "before"
    if round_index == last:
        yield "after"
    if 0 < round_index < last:
        yield "between"


def _round_row(ledger: Ledger, round_: RoundRecord) -> dict[str, Any]:
    """A round as a row: what it trained on, how it validated, what the expert said of its proposals."""
    counts = ledger.count_verdicts(round_.round)
    earlier = [ledger.count_verdicts(index) for index in range(round_.round)]
    validation = round_.report.get("validation") or {}
    training = round_.report.get("training_slices") or {}
    proposals = ledger.count_proposals(round_.round)
    return {
        "round": round_.round,
        "state": round_.state,
        "promoted": round_.promoted,
        "averaged": round_.report.get("averaged", False),
        **{f"trained_{source}": training.get(source, 0) for source in ("pixel", "accepted", "clean", "new")},
        **{f"validation_{name}": validation.get(name) for name in ("dice", "iou", "precision", "recall")},
        "validation_held_out": validation.get("held_out"),
        "proposed_cases": sum(proposals.values()),
        "verdicts_before": sum(c["accept"] + c["reject"] for c in earlier),
        "verdicts": counts["accept"] + counts["reject"],
        "accepted_slices": counts["accepted_slices"],
        "rejected_slices": counts["rejected_slices"],
        "train_seconds": round_.report.get("train_seconds"),
        "propose_seconds": round_.report.get("propose_seconds"),
        "model_sha256": round_.model,
        "trained_model_sha256": round_.trained_model,
        "training_set_sha256": round_.training_set_sha256,
        "config_sha256": round_.config_sha256,
    }


def write_csv(path: Path, rows: Rows, columns: Sequence[str] | None = None) -> None:
    """Write rows as CSV, compressed where the name ends in .gz; equal rows give equal files.

    Args:
        path: the file.
        rows: one dictionary a row.
        columns: the columns, where there may be no row to tell them.
    """
    # The time stamp in a gzip header would give equal tables different hashes.
    compression: Any = {"method": "gzip", "mtime": 0} if path.suffix == ".gz" else None
    with atomic_path(path) as temporary:
        pd.DataFrame(rows, columns=columns).to_csv(temporary, index=False, compression=compression, float_format="%.6g")


def _json(value: Any) -> bytes:
    return json.dumps(value, indent=1, ensure_ascii=False).encode()
