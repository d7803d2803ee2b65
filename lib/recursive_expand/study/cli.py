"""The command line of the study: `recursive-expand study ...`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import rich.table
import typer
from rich.console import Console
from rich.markup import escape

from recursive_expand.errors import InputError, RecursiveExpandError

DEMO = Path("demo/study")
"""Where the demo's results go: in the folder that it is run from."""

app = typer.Typer(help="The paper's experiment with a simulated expert.", no_args_is_help=True)

_output = Console(soft_wrap=True)
_errors = Console(stderr=True, soft_wrap=True)


@app.command("run")
def run_command(
    config: Annotated[
        Path, typer.Argument(metavar="CONFIG.yaml", help="The study; docs/study.md explains it.", show_default=False)
    ],
) -> None:
    """Run every preset with every seed, then write the report; goes on where it was interrupted."""
    from recursive_expand.study.config import load_config

    with _lines_for_errors():
        _run(load_config(config))


@app.command("compare")
def compare_command(
    config: Annotated[
        Path,
        typer.Argument(metavar="CONFIG.yaml", help="A study with two presets or more: see docs/compare.yaml."),
    ],
) -> None:
    """Run what is missing, then print and report the presets: at the same number of verdicts, and at their own ends."""
    from recursive_expand.study.config import load_config

    with _lines_for_errors():
        study = load_config(config)
        if len(study.presets) < 2:
            raise InputError(config.name, "names one preset; a comparison takes two or more")
        _run(study)
        _print_comparison(study.output)


@app.command("report")
def report_command(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The study's output folder.", show_default=False)],
) -> None:
    """Write the report of the runs that are done so far."""
    with _lines_for_errors():
        _report(folder)


@app.command("demo")
def demo_command(
    output: Annotated[Path, typer.Option(metavar="DIR", help="Where the results go.")] = DEMO,
) -> None:
    """The study in small, on synthetic head CTs: at most 15 minutes on 2 cores."""
    from recursive_expand.study.demo import demo_config

    with _lines_for_errors():
        _run(demo_config(output))


def _run(config: object) -> None:
    from recursive_expand.study.config import StudyConfig
    from recursive_expand.study.run import run_study

    assert isinstance(config, StudyConfig)
    run_study(config, tell=_say)
    _report(config.output)


def _report(folder: Path) -> None:
    # Only here: it takes seconds to import what draws, and other commands need none of it.
    from recursive_expand.study.report import write_report

    _say(f"report: {write_report(folder)}")


def _print_comparison(folder: Path) -> None:
    from recursive_expand.study.compare import comparison_tables
    from recursive_expand.study.results import load_results

    for table in comparison_tables(load_results(folder)):
        # A column a preset: two or three of them fit any terminal, the dozen measures would not.
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
        _say(f"table: {folder / 'tables' / table.name}.csv, .tex")


def _say(line: str) -> None:
    _output.print(escape(line), highlight=False)


@contextmanager
def _lines_for_errors() -> Iterator[None]:
    """Expected failures end the command with one line instead of a traceback."""
    try:
        yield
    except RecursiveExpandError as error:
        _errors.print(f"[red]{escape(str(error))}")
        raise typer.Exit(2) from error
