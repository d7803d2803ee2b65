"""The command line of the experiment: `recursive-expand experiment ...`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import rich.table
import typer
from rich.console import Console
from rich.markup import escape

from recursive_expand.errors import InputError, RecursiveExpandError

if TYPE_CHECKING:
    from recursive_expand.experiment.config import ExperimentConfig

DEMO = Path("demo/experiment")
"""Where the demo's results go, relative to the working directory."""

app = typer.Typer(help="The paper's experiment with a simulated expert.", no_args_is_help=True)

_output = Console(soft_wrap=True)
_errors = Console(stderr=True, soft_wrap=True)


@app.command("run")
def run_command(
    config: Annotated[
        Path,
        typer.Argument(
            metavar="CONFIG.yaml", help="The experiment; docs/experiment.md describes the file.", show_default=False
        ),
    ],
) -> None:
    """Run every preset with every seed, then write the report; an interrupted experiment continues."""
    from recursive_expand.experiment.config import load_config

    with _lines_for_errors():
        _run(load_config(config))


@app.command("compare")
def compare_command(
    config: Annotated[
        Path,
        typer.Argument(metavar="CONFIG.yaml", help="An experiment with two or more presets: see docs/compare.yaml."),
    ],
) -> None:
    """Run what is missing, then compare the presets: at the same number of verdicts, and each at its own end."""
    from recursive_expand.experiment.config import load_config

    with _lines_for_errors():
        experiment = load_config(config)
        if len(experiment.presets) < 2:
            raise InputError(config.name, "names one preset; a comparison takes two or more")
        _run(experiment)
        _print_comparison(experiment.output)


@app.command("report")
def report_command(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The experiment's output folder.", show_default=False)],
) -> None:
    """Write the report of the runs that are done so far."""
    with _lines_for_errors():
        _report(folder)


@app.command("measure")
def measure_command(
    workspace: Annotated[
        Path,
        typer.Argument(metavar="WORKSPACE", help="The study's workspace, or the folder of studies that holds it."),
    ],
    tests: Annotated[
        list[str],
        typer.Option(
            metavar="NAME=DIR",
            help="A test set: a folder of studies (every case with a mask in labels/final/), two folders "
            "IMAGES,MASKS, or `test`: the study's cases with that role. Repeatable.",
        ),
    ],
    output: Annotated[Path, typer.Option(metavar="DIR", help="Where the results go.")] = Path("measured"),
    studies: Annotated[
        Path | None, typer.Option(metavar="DIR", help="The study's folder, if it does not hold the workspace.")
    ] = None,
    task_app: Annotated[
        Path | None, typer.Option("--app", metavar="DIR", help="The app whose task.yaml it used.")
    ] = None,
) -> None:
    """Measure a study that people reviewed: every round's model on the test sets. The workspace is only read."""
    from recursive_expand.experiment.config import APP
    from recursive_expand.experiment.measure import measure_config, measure_study

    with _lines_for_errors():
        config = measure_config(workspace, _named("--tests", tests), output, studies=studies, app=task_app or APP)
        measure_study(config, on_message=_print)
        _report(config.output)


@app.command("nnunet")
def nnunet_command(
    config: Annotated[Path, typer.Argument(metavar="CONFIG.yaml", help="The experiment whose data it learns from.")],
    minutes: Annotated[float, typer.Option(min=0.01, help="CPU minutes of its training, for each seed.")] = 10.0,
    python: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Python of an environment with nnunetv2; else this one.")
    ] = None,
) -> None:
    """Train nnU-Net v2 (2-D) on the same pixel set for a budget of CPU time; its row joins the comparison."""
    import sys

    from recursive_expand.experiment.config import load_config
    from recursive_expand.experiment.peer import run_nnunet

    with _lines_for_errors():
        experiment = load_config(config)
        run_nnunet(experiment, minutes=minutes, python=python or Path(sys.executable), on_message=_print)
        _print_comparison(experiment.output)
        _report(experiment.output)


@app.command("paper")
def paper_command(
    physionet: Annotated[Path, typer.Option(metavar="DIR", help="PhysioNet CT-ICH, 1.3.1 or 1.0.0.")],
    rsna: Annotated[Path, typer.Option(metavar="DIR", help="RSNA 2019.")],
    cq500: Annotated[Path, typer.Option(metavar="DIR", help="CQ500.")],
    masks: Annotated[Path, typer.Option(metavar="DIR", help="Masks of CQ500, named for the patients.")],
    output: Annotated[Path, typer.Option(metavar="DIR", help="Where scans and results go.")] = Path("paper"),
    presets: Annotated[str, typer.Option(metavar="NAME,NAME", help="Of task.yaml; else the paper's and default.")] = "",
    seeds: Annotated[str, typer.Option(metavar="0,1,2", help="Seeds of the runs.")] = "0,1,2",
    truth: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="True masks of RSNA's slices for a simulated expert; else people review."),
    ] = None,
    tests: Annotated[
        list[str] | None, typer.Option(metavar="NAME=DIR", help="A further test set: a folder of studies. Repeatable.")
    ] = None,
    conf: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="A setting for all presets. Repeatable.")
    ] = None,
    per_class: Annotated[int, typer.Option(min=1, help="Slices of RSNA of each class.")] = 1497,
    none: Annotated[int, typer.Option(min=0, help="Slices of RSNA without blood.")] = 300,
    tau: Annotated[float, typer.Option(help="The simulated expert's largest share of wrong voxels.")] = 0.2,
    max_rounds: Annotated[int, typer.Option(min=0, help="Recursions after round 0.")] = 6,
) -> None:
    """The paper's experiment on its data sets: import, run, report. Interrupted, the same command goes on."""
    from recursive_expand.console import progress_bars
    from recursive_expand.experiment.paper import PaperSources, import_sources, paper_config

    with _lines_for_errors():
        sources = PaperSources(physionet, rsna, cq500, masks, per_class=per_class, none=none)
        data = output / "data"
        config = paper_config(
            data,
            output,
            presets=[name.strip() for name in presets.split(",") if name.strip()],
            seeds=_whole_numbers("--seeds", seeds),
            truth=truth,
            tests={name: Path(folder) for name, folder in _named("--tests", tests or []).items()},
            conf=_named("--conf", conf or []),
            tau=tau,
            max_rounds=max_rounds,
        )
        with progress_bars() as on_progress:
            import_sources(sources, data, on_message=_print, on_progress=on_progress)
        _run(config)


@app.command("demo")
def demo_command(
    output: Annotated[Path, typer.Option(metavar="DIR", help="Where the results go.")] = DEMO,
) -> None:
    """A small experiment on synthetic head CTs: at most 15 minutes on 2 cores."""
    from recursive_expand.experiment.demo import demo_config

    with _lines_for_errors():
        _run(demo_config(output))


def _named(option: str, texts: list[str]) -> dict[str, str]:
    """NAME=VALUE as a dictionary."""
    named: dict[str, str] = {}
    for text in texts:
        name, _, value = (part.strip() for part in text.partition("="))
        if not name or not value or name in named:
            raise InputError(f"{option} {text!r}", "is not NAME=VALUE with a name of its own")
        named[name] = value
    return named


def _whole_numbers(option: str, text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError as error:
        raise InputError(f"{option} {text!r}", "is no list of numbers; give it like 0,1,2") from error


def _run(config: ExperimentConfig) -> None:
    from recursive_expand.experiment.runner import run_experiment

    run_experiment(config, on_message=_print)
    _report(config.output)


def _report(folder: Path) -> None:
    # Imported here because drawing takes seconds to import, and no other command needs it.
    from recursive_expand.experiment.report import write_report

    _print(f"report: {write_report(folder)}")


def _print_comparison(folder: Path) -> None:
    from recursive_expand.experiment.compare import comparison_tables
    from recursive_expand.experiment.results import load_results

    for table in comparison_tables(load_results(folder)):
        # One column per preset: two or three of them fit any terminal, the dozen measures would not.
        shown = rich.table.Table(title=table.caption, caption=table.note, caption_justify="left")
        for cells in zip(table.header, *table.rows, strict=True):
            if cells[0] == table.header[0]:
                test_sets = cells
            elif cells[0] == table.header[1]:
                shown.add_column("")
                for name in cells[1:]:
                    shown.add_column(escape(name), justify="right")
                shown.add_row(*map(escape, test_sets), end_section=True)
            else:
                shown.add_row(*map(escape, cells))
        _output.print(shown)
        _print(f"table: {folder / 'tables' / table.name}.csv, .tex")


def _print(line: str) -> None:
    _output.print(escape(line), highlight=False)


@contextmanager
def _lines_for_errors() -> Iterator[None]:
    """Expected failures end the command with one line instead of a traceback."""
    try:
        yield
    except RecursiveExpandError as error:
        _errors.print(f"[red]{escape(str(error))}")
        raise typer.Exit(2) from error
