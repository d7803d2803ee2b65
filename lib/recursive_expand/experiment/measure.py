"""Measure a study that people reviewed: every round's recorded model on the test sets, as a run of an experiment."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from recursive_expand.archives.atomic import write_atomic
from recursive_expand.archives.images import read_label
from recursive_expand.errors import InputError
from recursive_expand.expand.workspace import Workspace
from recursive_expand.experiment.config import APP, ExperimentConfig, parse_config
from recursive_expand.experiment.data import ExperimentData, prepare_data
from recursive_expand.experiment.distribution import distribution_rows
from recursive_expand.experiment.layout import CONFIG, DATA, RESULT, write_csv
from recursive_expand.experiment.ledger_reading import RunRecord, read_run
from recursive_expand.experiment.outcome import write_outcome
from recursive_expand.experiment.recursion import OnMessage
from recursive_expand.experiment.run import Run
from recursive_expand.settings import load_settings, preset_names

TITLE = "What people's verdicts taught"


def measure_config(
    workspace: Path,
    tests: Mapping[str, str],
    output: Path,
    *,
    studies: Path | None = None,
    app: Path = APP,
    title: str = TITLE,
) -> ExperimentConfig:
    """The configuration of a measurement.

    Args:
        workspace: the study's workspace, or the folder of studies that holds it.
        tests: by name `test` (the study's cases with that role), another folder of studies, or `IMAGES,MASKS`.
        output: where the results go.
        studies: the study's folder; None: the one that holds the workspace, if one does.
        app: the app whose task.yaml was used.
        title: the report's.

    Raises:
        InputError: there is no ledger, it records no model yet, or an argument does not fit.
    """
    root = workspace.resolve()
    if not Workspace(root).ledger.is_file() and Workspace.of(str(root)).ledger.is_file():
        root = Workspace.of(str(root)).root
    if studies is None and root == Workspace.of(str(root.parent)).root:
        studies = root.parent
    rounds = read_run(Workspace(root)).rounds
    if not rounds:
        raise InputError(workspace.name or str(workspace), "records no round with a model; measure it after round 0")
    method = rounds[0].record.config.get("method", rounds[0].record.config)
    raw: dict[str, Any] = {
        "title": title,
        "studies": {"workspace": str(root)} | ({} if studies is None else {"folder": str(studies.resolve())}),
        "tests": {name: _source(name, text, studies) for name, text in tests.items()},
        "presets": [method["preset"]],
        "seeds": [method["seed"]],
        "reviewers": "people",
        "app": str(app),
        "output": str(output),
    }
    return parse_config(raw, source="experiment measure", folder=Path.cwd())


def measure_study(config: ExperimentConfig, *, on_message: OnMessage) -> None:
    """Measure the rounds that are not measured yet. The workspace is only read; its server may be running.

    Args:
        config: from `measure_config`.
        on_message: called with each line of progress.

    Raises:
        InputError: a test set cannot be used, or f learned from it.
        RecursiveExpandError: the ledger is not as it was recorded, or a model's file is not the recorded one.
    """
    preset, seed = config.presets[0], config.seeds[0]
    assert config.studies.workspace is not None
    task_file = config.app / "task.yaml"
    # task.yaml may have lost the preset that the study began with; its settings are recorded either way.
    present = load_settings(task_file, {"preset": preset.preset} if preset.preset in preset_names(task_file) else {})
    recorded = read_run(Workspace(config.studies.workspace))
    # What the rounds share is the first one's; each is measured under its own settings.
    settings = present.under(recorded.rounds[0].record.config)
    classes = settings.task.classes
    data = prepare_data(config, classes, seed)
    _check_held_out(data, recorded)
    config.output.mkdir(parents=True, exist_ok=True)
    run = Run(config, preset, seed, data, settings)
    written = yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
    write_atomic(config.output / CONFIG, written.encode())
    if _done(run, recorded):
        on_message("measured already: nothing was recorded since")
        return
    rows = distribution_rows(data, classes)
    write_csv(config.output / DATA, [{"data_sha256": data.sha256, **row} for row in rows])
    write_outcome(run, recorded=recorded, on_message=on_message)
    on_message(f"rounds measured: {len(recorded.rounds)}")


def _source(name: str, text: str, studies: Path | None) -> Any:
    if text == "test":
        return text
    images, comma, masks = text.partition(",")
    if comma:
        return {"images": images, "masks": masks}
    if studies is not None and Path(text).expanduser().resolve() == studies.resolve():
        raise InputError(
            f"test set {name!r}", "is the study itself, from which f learned; name its test cases: --tests NAME=test"
        )
    return text


def _check_held_out(data: ExperimentData, recorded: RunRecord) -> None:
    """Refuse test sets that hold an expert mask from which f learned.

    Raises:
        InputError: names the case.
    """
    for name, found in data.tests.items():
        for case in found:
            label = read_label(case.mask)
            learned = recorded.learned_from.get(label.sha256)
            if learned is not None and label.filled:
                reason = f"holds the mask of case {learned}, from which f learned; leave it out"
                raise InputError(f"test set {name!r}", reason)


def _done(run: Run, recorded: RunRecord) -> bool:
    path = run.folder / RESULT
    if not path.is_file():
        return False
    before = json.loads(path.read_bytes())
    now = {
        "ledger_head": recorded.head,
        "data_sha256": run.data.sha256,
        "experiment_sha256": run.experiment.sha256(),
    }
    return {name: before.get(name) for name in now} == now
