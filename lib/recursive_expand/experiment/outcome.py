"""The outcome of a run: its models measured, its rounds and verdicts, and where they come from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from recursive_expand.archives.atomic import write_atomic
from recursive_expand.cases import Role
from recursive_expand.experiment.config import slug
from recursive_expand.experiment.evaluation import VARIANTS, Measured, lead, measure, predictor_of
from recursive_expand.experiment.layout import PATIENTS, RESULT, ROUNDS, SLICES, TABLES, VERDICTS, Rows, write_csv
from recursive_expand.experiment.ledger_reading import RunRound, read_run
from recursive_expand.experiment.provenance import code_version
from recursive_expand.experiment.rounds import round_rows
from recursive_expand.experiment.run import Run
from recursive_expand.experiment.verdicts import COLUMNS, verdict_rows


def write_outcome(run: Run) -> None:
    """Measure a run's models and write its tables and `result.json`, that file last.

    Raises:
        RecursiveExpandError: the ledger's hash chain is broken, or a model's file is not what the ledger recorded.
    """
    task = run.settings.task
    classes = task.classes
    recorded = read_run(run.workspace, classes)
    # Where nobody is asked, the next round has begun before the run ends.
    rounds = [one for one in recorded.rounds if one.index <= run.experiment.max_rounds]
    patients, slices = _measure_all(run, rounds)
    write_csv(run.folder / PATIENTS, patients)
    write_csv(run.folder / SLICES, slices)
    write_csv(run.folder / ROUNDS, round_rows(rounds))
    write_csv(run.folder / VERDICTS, verdict_rows(recorded.reviewed, classes), COLUMNS)
    result = {
        "preset": run.preset.name,
        "seed": run.seed,
        "settings_sha256": run.settings_sha256,
        "experiment_sha256": run.experiment.sha256(),
        "data_sha256": run.data.sha256,
        "lead": lead(run.settings),
        "classes": list(classes),
        "view": {"region": task.region, **task.windows[0].model_dump()},
        "cases": {role: recorded.roles[role] for role in Role},
        "rounds": [
            {
                "round": one.index,
                "state": one.record.state,
                "model_sha256": one.model,
                "promoted": one.record.promoted,
                "training_set_sha256": one.record.training_set_sha256,
                "config_sha256": one.record.config_sha256,
            }
            for one in rounds
        ],
        "ledger": "hash chain unbroken",
        "files": {name: hashlib.sha256((run.folder / name).read_bytes()).hexdigest() for name in TABLES},
        "code": code_version(),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    write_atomic(run.folder / RESULT, json_bytes(result))


def json_bytes(value: Any) -> bytes:
    """A value as indented JSON."""
    return json.dumps(value, indent=1, ensure_ascii=False).encode()


def _measure_all(run: Run, rounds: Sequence[RunRound]) -> tuple[Rows, Rows]:
    """Every round's model on every test set; slices, masks and the other variant only before and after it."""
    last = rounds[-1].index
    ends = (rounds[0].model, rounds[-1].model)
    patients: Rows = []
    slices: Rows = []
    for variant in VARIANTS:
        # By model and test set: the gate may have kept the model of the round before.
        measured: dict[str, dict[str, Measured]] = {}
        for one in rounds:
            if variant != lead(run.settings) and one.model not in ends:
                continue
            if one.model not in measured:
                measured[one.model] = _measure_model(run, one, variant, keep=one.model in ends)
            for stage in _stages(one.index, last):
                for test_set, found in measured[one.model].items():
                    keys = {
                        "test_set": test_set,
                        "variant": variant,
                        "stage": stage,
                        "round": one.index,
                        "model_sha256": one.model,
                    }
                    hashes = run.data.patients[test_set]
                    patients += [{**keys, "patient_sha256": hashes[row["patient"]], **row} for row in found.patients]
                    if stage != "between":
                        slices += [{**keys, **row} for row in found.slices]
    return patients, slices


def _measure_model(run: Run, round_: RunRound, variant: str, *, keep: bool) -> dict[str, Measured]:
    """A round's model on every test set; proposals are kept as files if asked for."""
    predictor = predictor_of(run.settings, round_, variant)
    keep = keep and variant == lead(run.settings)
    folder = run.folder / "predictions" / f"round_{round_.index:04d}" if keep else None
    return {
        name: measure(
            predictor,
            cases,
            run.settings.task.classes,
            tolerance=run.experiment.surface_tolerance,
            predictions=folder / slug(name) if folder is not None else None,
        )
        for name, cases in run.data.tests.items()
    }


def _stages(round_index: int, last: int) -> Iterable[str]:
    """The stages of a round's model; a recursion that ended in round 0 is both its own before and after."""
    if round_index == 0:
        yield "before"
    if round_index == last:
        yield "after"
    if 0 < round_index < last:
        yield "between"
