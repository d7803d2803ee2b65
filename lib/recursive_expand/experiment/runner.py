"""Run an experiment: every preset with every seed, each in its own workspace; interrupted runs continue."""

from __future__ import annotations

import json
import time
from contextlib import ExitStack
from functools import partial

import yaml

from recursive_expand.archives.atomic import write_atomic
from recursive_expand.errors import InputError
from recursive_expand.experiment.config import ExperimentConfig
from recursive_expand.experiment.data import prepare_data, write_view
from recursive_expand.experiment.distribution import distribution_rows
from recursive_expand.experiment.expert import SimulatedExpert
from recursive_expand.experiment.layout import CONFIG, DATA, RESULT, Rows, write_csv
from recursive_expand.experiment.outcome import json_bytes, write_outcome
from recursive_expand.experiment.recursion import Expert, OnMessage, People, recurse
from recursive_expand.experiment.run import Run
from recursive_expand.experiment.server import ServerProcess
from recursive_expand.experiment.steps import decide
from recursive_expand.settings import load_settings


def run_experiment(config: ExperimentConfig, *, on_message: OnMessage) -> None:
    """Run everything that is not done yet.

    Args:
        config: the experiment.
        on_message: called with each line of progress.

    Raises:
        InputError: the data cannot be used, or the output folder holds results of other settings.
        RecursiveExpandError: a run failed; finished work is kept, and the next call continues from there.
    """
    if config.studies.workspace is not None:
        raise InputError("studies.workspace", "is a study that people review: `experiment measure` measures it")
    config.output.mkdir(parents=True, exist_ok=True)
    written = yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
    write_atomic(config.output / CONFIG, written.encode())
    task_file = config.app / "task.yaml"
    # All at once, so that a wrong setting of the last preset is found before the first run.
    settings = {
        (preset.name, seed): load_settings(task_file, config.conf_of(preset, seed))
        for seed in config.seeds
        for preset in config.presets
    }
    distribution: Rows = []
    described: set[str] = set()
    number = 0
    for seed in config.seeds:
        classes = settings[config.presets[0].name, seed].task.classes
        data = prepare_data(config, classes, seed)
        if data.sha256 not in described:
            described.add(data.sha256)
            distribution += [{"data_sha256": data.sha256, **row} for row in distribution_rows(data, classes)]
            write_csv(config.output / DATA, distribution)
        for preset in config.presets:
            number += 1
            run = Run(config, preset, seed, data, settings[preset.name, seed])
            _run_once(run, partial(_prefixed, on_message, f"[{number}/{len(settings)}] {run.name}: "))


def _prefixed(on_message: OnMessage, prefix: str, line: str) -> None:
    on_message(prefix + line)


def _run_once(run: Run, on_message: OnMessage) -> None:
    started_file = run.folder / "run.json"
    if started_file.is_file():
        before = json.loads(started_file.read_bytes())["settings"]
        if not run.is_run_of(before):
            raise InputError(
                str(run.folder),
                "holds a run of other settings or other data; remove that folder, or give the experiment another "
                "output",
            )
    if (run.folder / RESULT).is_file():
        on_message("done already")
        return
    started = time.monotonic()
    run.folder.mkdir(parents=True, exist_ok=True)
    write_atomic(started_file, json_bytes({"settings_sha256": run.settings_sha256, "settings": run.identity}))
    studies = run.folder / "studies"
    write_view(run.data, studies)
    config = run.experiment
    conf = {**config.conf_of(run.preset, run.seed), "workspace": str(run.workspace.root)}
    if run.data.unjudged:
        on_message(f"{len(run.data.unjudged)} cases without a true mask are left out: nobody could judge them")
    log = run.folder / "server.log"
    with (
        ServerProcess(studies, log=log, app=config.app, conf=conf, ends_with_caller=True) as server,
        ExitStack() as ends,
    ):
        expert: Expert = People()
        if config.reviewers == "people":
            on_message(f"review its proposals at {server.url}/review/")
        else:
            name = run.settings.task.name
            simulated = SimulatedExpert(server.url, name, run.data.true_mask, config.expert, seed=run.seed)
            expert = ends.enter_context(simulated)
        limited = partial(decide, max_rounds=config.max_rounds, max_verdicts=config.max_verdicts)
        recurse(server, expert, decide=limited, on_message=on_message)
        server.stop()
    on_message(f"recursion done after {time.monotonic() - started:.0f} s; measuring")
    write_outcome(run, on_message=on_message)
    on_message(f"done after {time.monotonic() - started:.0f} s")
