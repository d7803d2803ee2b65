"""The outcome of a run: its models measured, its rounds and verdicts, and where they come from."""

from __future__ import annotations

import hashlib
import json
import math
import shutil
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from recursive_expand.archives.atomic import write_atomic
from recursive_expand.cases import Role
from recursive_expand.experiment.config import slug
from recursive_expand.experiment.evaluation import VARIANTS, Measured, lead, measure, predictor_of
from recursive_expand.experiment.layout import (
    MEASURED,
    PATIENTS,
    RESULT,
    ROUNDS,
    SLICES,
    TABLES,
    VERDICTS,
    Rows,
    write_csv,
)
from recursive_expand.experiment.ledger_reading import RunRecord, RunRound, read_run
from recursive_expand.experiment.provenance import code_version
from recursive_expand.experiment.recursion import OnMessage
from recursive_expand.experiment.rounds import round_rows
from recursive_expand.experiment.run import Run
from recursive_expand.experiment.verdicts import COLUMNS, verdict_rows
from recursive_expand.ledger.chain import canonical


def write_outcome(run: Run, *, recorded: RunRecord | None = None, on_message: OnMessage = lambda _: None) -> None:
    """Measure a run's models and write its tables and `result.json`, that file last.

    Args:
        run: whose workspace is only read.
        recorded: what its ledger says; None: read here.
        on_message: called with each line of progress.

    Raises:
        RecursiveExpandError: the ledger's hash chain is broken, or a model's file is not what the ledger recorded.
    """
    task = run.settings.task
    classes = task.classes
    recorded = recorded or read_run(run.workspace, classes)
    # Where nobody is asked, the next round has begun before the run ends; of a study that people review all count.
    last = math.inf if run.experiment.studies.workspace else run.experiment.max_rounds
    rounds = [one for one in recorded.rounds if one.index <= last]
    patients, slices = _measure_all(run, rounds, on_message)
    (run.folder / RESULT).unlink(missing_ok=True)
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
        "pretrain": run.settings.method.pretrain,
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
                "proposes_at": one.record.proposes_at,
            }
            for one in rounds
        ],
        "ledger": "hash chain unbroken",
        "ledger_head": recorded.head,
        "files": {name: hashlib.sha256((run.folder / name).read_bytes()).hexdigest() for name in TABLES},
        "code": code_version(),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    write_atomic(run.folder / RESULT, json_bytes(result))


def json_bytes(value: Any) -> bytes:
    """A value as indented JSON."""
    return json.dumps(value, indent=1, ensure_ascii=False).encode()


def _measure_all(run: Run, rounds: Sequence[RunRound], on_message: OnMessage) -> tuple[Rows, Rows]:
    """Every round's model on every test set; slices, masks and the other variant only before and after it."""
    last = rounds[-1].index
    ends = {_key(rounds[0]), _key(rounds[-1])}
    patients: Rows = []
    slices: Rows = []
    for variant in VARIANTS:
        for one in rounds:
            if variant != lead(run.settings) and _key(one) not in ends:
                continue
            # The gate may have kept the model of the round before: then it was measured as that round's.
            first = next(earlier for earlier in rounds if _key(earlier) == _key(one))
            for test_set in run.data.tests:
                found = _measured(run, first, variant, test_set, keep=_key(one) in ends, on_message=on_message)
                for stage in _stages(one.index, last):
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


def _key(round_: RunRound) -> tuple[str, str, str]:
    """What decides a round's masks: its weights, its settings and those that it chose."""
    return round_.model, round_.record.config_sha256, canonical(round_.record.proposes_at)


def _measured(
    run: Run, round_: RunRound, variant: str, test_set: str, *, keep: bool, on_message: OnMessage
) -> Measured:
    """A round's model on a test set, from the file of an earlier call where it is there: an interrupted one goes on.

    Its masks are kept where `keep` asks for them, of the variant that leads.
    """
    predictions = None
    if keep and variant == lead(run.settings):
        predictions = run.folder / "predictions" / f"round_{round_.index:04d}" / slug(test_set)
    identity = {
        "model": round_.model,
        "settings": round_.record.config_sha256,
        "proposes_at": round_.record.proposes_at,
        "variant": variant,
        "patients": run.data.patients[test_set],
        "tolerance": run.experiment.surface_tolerance,
        "classes": list(run.settings.task.classes),
    }
    name = hashlib.sha256(canonical(identity).encode()).hexdigest()
    path = run.folder / MEASURED / f"{name[:32]}.json"
    # Masks may be missing of a round that was not the last one when it was measured.
    if path.is_file() and (predictions is None or predictions.is_dir()):
        return Measured(**json.loads(path.read_bytes()))
    on_message(f"measuring round {round_.index} on {test_set} ({variant})")
    unfinished = None if predictions is None else predictions.with_name(f".{predictions.name}.tmp")
    if unfinished is not None:
        shutil.rmtree(unfinished, ignore_errors=True)
    found = measure(
        predictor_of(run.settings, round_, variant),
        run.data.tests[test_set],
        run.settings.task.classes,
        tolerance=run.experiment.surface_tolerance,
        predictions=unfinished,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, json.dumps({"patients": found.patients, "slices": found.slices}, default=_number).encode())
    if predictions is not None and unfinished is not None:
        shutil.rmtree(predictions, ignore_errors=True)
        unfinished.rename(predictions)
    return found


def _number(value: Any) -> Any:
    """numpy's numbers as JSON has them."""
    return value.item()


def _stages(round_index: int, last: int) -> Iterable[str]:
    """The stages of a round's model; a recursion that ended in round 0 is both its own before and after."""
    if round_index == 0:
        yield "before"
    if round_index == last:
        yield "after"
    if 0 < round_index < last:
        yield "between"
