"""The command line: `recursive-expand ...`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from recursive_expand.cases import Role
from recursive_expand.errors import InputError, RecursiveExpandError
from recursive_expand.importers import report as importing
from recursive_expand.importers.dicom import import_dicom
from recursive_expand.importers.slices import SliceSettings, import_slices
from recursive_expand.study.cli import app as study_app
from recursive_expand.task import load_task

TASK = Path(__file__).resolve().parents[2] / "apps" / "recursive_ich" / "task.yaml"
"""The task whose classes are used where `--task` is not given."""

app = typer.Typer(
    help="Train, learn, expand, repeat: recursive training of a segmentation model from accepted proposals.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,
)
import_app = typer.Typer(help="Bring scans into a folder of studies.", no_args_is_help=True)
app.add_typer(import_app, name="import")
app.add_typer(study_app, name="study")

_output = Console(soft_wrap=True)
_errors = Console(stderr=True, soft_wrap=True)

Source = Annotated[Path, typer.Argument(metavar="SRC", help="The folder to import.", show_default=False)]
Studies = Annotated[
    Path, typer.Option("--studies", metavar="DIR", help="The folder of studies; made if missing.", show_default=False)
]


@app.callback()
def main() -> None:
    """Keep commands below their names, also while there is only one."""


@import_app.command("dicom")
def dicom_command(source: Source, studies: Studies) -> None:
    """Import DICOM CT series: one case per series, voxels as they are (tilt and uneven spacing kept)."""
    with _lines_for_errors(), _progress() as progress:
        done = import_dicom(source, studies, report=progress)
    _tell(done)


@import_app.command("slices")
def slices_command(
    source: Source,
    studies: Studies,
    level: Annotated[float, typer.Option(help="Centre of the CT window that the pictures show, in HU.")],
    width: Annotated[float, typer.Option(help="Width of that window, in HU.")],
    masks: Annotated[Path | None, typer.Option(metavar="DIR", help="Masks with the pictures' names.")] = None,
    mask_class: Annotated[
        str | None, typer.Option("--class", metavar="NAME", help="The class that binary masks mark.")
    ] = None,
    class_values: Annotated[
        str | None,
        typer.Option(metavar="1=NAME,2=NAME", help="Classes by value, for masks that hold several."),
    ] = None,
    mask_colour: Annotated[
        str | None,
        typer.Option(metavar="R,G,B", help="The colour that marks the class; else whatever is not background."),
    ] = None,
    role: Annotated[str, typer.Option(help="pixel (expert masks), image (only which classes) or test.")] = "pixel",
    spacing: Annotated[
        float, typer.Option(help="Millimetres between pixels, which pictures do not tell; 0.5 is usual for a head.")
    ] = 0.5,
    task: Annotated[Path, typer.Option(metavar="FILE", help="The task.yaml that names the classes.")] = TASK,
) -> None:
    """Import single slices from pictures (PNG, JPEG, TIFF, BMP): one case per picture."""
    with _lines_for_errors():
        settings = SliceSettings(
            classes=load_task(task).classes,
            level=level,
            width=width,
            role=_role(role),
            spacing=spacing,
            mask_class=mask_class,
            class_values=_class_values(class_values),
            mask_colour=_colour(mask_colour),
        )
        with _progress() as progress:
            done = import_slices(source, studies, settings, masks=masks, report=progress)
    _tell(done)


def _role(text: str) -> Role:
    try:
        return Role(text)
    except ValueError as error:
        raise InputError(f"--role {text!r}", "is not known; choose pixel, image or test") from error


def _class_values(text: str | None) -> dict[int, str]:
    """`1=epidural,2=subdural` as a dictionary."""
    values: dict[int, str] = {}
    for pair in (text or "").split(",") if text else []:
        value, _, name = (part.strip() for part in pair.partition("="))
        if not value.isdecimal() or int(value) == 0 or not name or int(value) in values:
            raise InputError(f"--class-values {pair!r}", "is not VALUE=NAME with a value from 1, each given once")
        values[int(value)] = name
    return values


def _colour(text: str | None) -> tuple[int, int, int] | None:
    if text is None:
        return None
    parts = [part.strip() for part in text.split(",")]
    if len(parts) != 3 or not all(part.isdecimal() and int(part) <= 255 for part in parts):
        raise InputError(f"--mask-colour {text!r}", "is not R,G,B with numbers from 0 to 255")
    red, green, blue = map(int, parts)
    return red, green, blue


@contextmanager
def _lines_for_errors() -> Iterator[None]:
    """Expected failures end the command with one line instead of a traceback."""
    try:
        yield
    except RecursiveExpandError as error:
        _errors.print(f"[red]{escape(str(error))}")
        raise typer.Exit(2) from error


@contextmanager
def _progress() -> Iterator[importing.Progress]:
    """A progress bar on standard error, where an importer reports."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=_errors, transient=True) as bar:
        bars = {}

        def advance(stage: str, done: int, total: int) -> None:
            if stage not in bars:
                bars[stage] = bar.add_task(stage, total=total)
            bar.update(bars[stage], completed=done, total=total)

        yield advance


def _tell(done: importing.ImportReport) -> None:
    for case_id, what in done.imported.items():
        _output.print(f"imported {escape(case_id)}: {escape(what)}", highlight=False)
    for case_id in done.skipped:
        _output.print(f"skipped {escape(case_id)}: it is there already", highlight=False)
    for line in done.left_out:
        _output.print(f"[yellow]left out[/] {escape(line)}", highlight=False)
    for line in done.notes:
        _output.print(f"note: {escape(line)}", highlight=False)
    counts = f"{len(done.imported)} imported, {len(done.skipped)} already there, {len(done.left_out)} lines left out"
    _output.print(counts, highlight=False)
    if not done.imported and not done.skipped:
        raise typer.Exit(1)
