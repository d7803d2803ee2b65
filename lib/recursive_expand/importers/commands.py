"""The command line of the importers: `recursive-expand import ...`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.markup import escape

from recursive_expand.cases import Role
from recursive_expand.console import lines_for_errors, output, progress_bars
from recursive_expand.errors import InputError
from recursive_expand.importers.bhsd import BhsdImporter
from recursive_expand.importers.cq500 import PAPER_PATIENTS, Cq500Importer, parse_patients
from recursive_expand.importers.dicom import DicomImporter
from recursive_expand.importers.folder import FolderImporter, FolderSettings
from recursive_expand.importers.hemseg import HemsegImporter
from recursive_expand.importers.importer import Importer
from recursive_expand.importers.physionet import PAPER_CLEAN, PhysionetImporter
from recursive_expand.importers.report import ImportReport
from recursive_expand.importers.rsna import RsnaImporter, Sampling
from recursive_expand.importers.runner import run_import
from recursive_expand.importers.slices import SliceSettings, SlicesImporter
from recursive_expand.importers.typed_masks import Multi
from recursive_expand.settings import load_settings

TASK = Path(__file__).resolve().parents[3] / "apps" / "recursive_ich" / "task.yaml"
"""The task whose classes are used where `--task` is not given."""

MOST_LINES = 60
"""Lines of a kind that are shown; the report has them all."""

import_app = typer.Typer(help="Bring scans into a folder of studies.", no_args_is_help=True)

Source = Annotated[Path, typer.Argument(metavar="SRC", help="The folder to import.", show_default=False)]
Studies = Annotated[
    Path, typer.Option("--studies", metavar="DIR", help="The folder of studies; made if missing.", show_default=False)
]
TaskFile = Annotated[Path, typer.Option("--task", metavar="FILE", help="The task.yaml that names the classes.")]
MultiRule = Annotated[
    Multi,
    typer.Option(
        "--multi",
        help="Slices of several types: any tells marked regions apart, skip leaves them out, outermost names one.",
    ),
]
ClassValues = Annotated[
    str | None,
    typer.Option("--class-values", metavar="1=NAME,2=NAME", help="Classes by the masks' values, where they differ."),
]


@import_app.command("dicom")
def dicom_command(source: Source, studies: Studies) -> None:
    """Import DICOM CT series: one case per series, voxels as they are (tilt and uneven spacing kept)."""
    _run(studies, lambda: DicomImporter(source))


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
        float | None,
        typer.Option(
            help="Millimetres between pixels, which pictures do not tell.", show_default="from the heads' size"
        ),
    ] = None,
    task: TaskFile = TASK,
) -> None:
    """Import single slices from pictures (PNG, JPEG, TIFF, BMP): one case per picture."""

    def importer() -> Importer:
        settings = SliceSettings(
            classes=_classes(task),
            level=level,
            width=width,
            role=_role(role, "pixel, image or test"),
            spacing=spacing,
            mask_class=mask_class,
            class_values=_class_values(class_values),
            mask_colour=_colour(mask_colour),
        )
        return SlicesImporter(source, settings, masks)

    _run(studies, importer)


@import_app.command("physionet")
def physionet_command(
    source: Source,
    studies: Studies,
    multi: MultiRule = Multi.ANY,
    paper: Annotated[
        bool,
        typer.Option(
            "--paper", help="The paper's 393 slices: all with bleeding (--multi outermost), and 75 clean ones."
        ),
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="Of the choice of clean slices.")] = 0,
    task: TaskFile = TASK,
) -> None:
    """Import PhysioNet CT-ICH 1.3.1 or 1.0.0: one case per patient, expert masks, role pixel."""
    chosen, clean = (Multi.OUTERMOST, PAPER_CLEAN) if paper else (multi, None)
    _run(studies, lambda: PhysionetImporter(source, _classes(task), chosen, clean, seed))


@import_app.command("rsna")
def rsna_command(
    source: Source,
    studies: Studies,
    cases: Annotated[
        str, typer.Option("--as", help="slices: a case per image; series: put together again.")
    ] = "slices",
    single_class: Annotated[bool, typer.Option("--single-class", help="Only slices with one type, and clean ones.")] = (
        False
    ),
    per_class: Annotated[
        int | None, typer.Option(min=0, help="So many slices of each type; the paper: 1497. Default: all.")
    ] = None,
    none: Annotated[int | None, typer.Option(min=0, help="So many clean slices; the paper: 300. Default: all.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the choice of slices.")] = 0,
    task: TaskFile = TASK,
) -> None:
    """Import RSNA 2019: image-level labels, role image."""

    def importer() -> Importer:
        if cases not in ("slices", "series"):
            raise InputError(f"--as {cases!r}", "is not known; choose slices or series")
        sampling = Sampling(single_class, per_class, none, seed)
        # mypy does not narrow a str to the two literals.
        what: Literal["slices", "series"] = "series" if cases == "series" else "slices"
        return RsnaImporter(source, _classes(task), what, sampling)

    _run(studies, importer)


@import_app.command("cq500")
def cq500_command(
    source: Source,
    studies: Studies,
    patients: Annotated[
        str, typer.Option(metavar="4,35,...|all", help="Numbers of patients; the paper's 20 unless given.")
    ] = ",".join(map(str, PAPER_PATIENTS)),
    masks: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Masks named for the patients; SRC/masks unless given.")
    ] = None,
    class_values: ClassValues = None,
    task: TaskFile = TASK,
) -> None:
    """Import CQ500: the thinnest plain series of each patient, the readers' majority, masks where given, role test."""
    _run(
        studies,
        lambda: Cq500Importer(
            source,
            _classes(task),
            patients=parse_patients(patients),
            masks=masks,
            values=_class_values(class_values),
        ),
    )


@import_app.command("bhsd")
def bhsd_command(
    source: Source,
    studies: Studies,
    role: Annotated[str, typer.Option(help="pixel, test, image, or unlabelled (the volumes without masks).")] = "pixel",
    class_values: ClassValues = None,
    task: TaskFile = TASK,
) -> None:
    """Import BHSD: volumes with class masks."""
    _run(
        studies,
        lambda: BhsdImporter(
            source,
            _classes(task),
            role=_role(role),
            values=_class_values(class_values),
        ),
    )


@import_app.command("hemseg")
def hemseg_command(
    source: Source,
    studies: Studies,
    rsna: Annotated[Path, typer.Option(metavar="DIR", help="RSNA 2019's folder, which holds the scans.")],
    role: Annotated[str, typer.Option(help="pixel, test or image.")] = "pixel",
    multi: MultiRule = Multi.SKIP,
    task: TaskFile = TASK,
) -> None:
    """Import HemSeg-200 and -500: masks for exams of RSNA 2019."""
    _run(
        studies,
        lambda: HemsegImporter(source, _classes(task), rsna, role=_role(role), multi=multi),
    )


@import_app.command("folder")
def folder_command(
    source: Source,
    studies: Studies,
    role: Annotated[str, typer.Option(help="pixel, image, test or unlabelled; the table may say otherwise.")],
    masks: Annotated[Path | None, typer.Option(metavar="DIR", help="Masks with the scans' names.")] = None,
    table: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="CSV: case, and any of patient, role, slice and the classes (0 or 1)."),
    ] = None,
    class_values: ClassValues = None,
    task: TaskFile = TASK,
) -> None:
    """Import any folder of NIfTI, NRRD and DICOM, with masks and a table where there are some."""
    _run(
        studies,
        lambda: FolderImporter(
            source,
            FolderSettings(_classes(task), _role(role), masks, table, _class_values(class_values)),
        ),
    )


@import_app.command("proposals")
def proposals_command(
    source: Annotated[Path, typer.Argument(metavar="DIR", help="Masks: NIfTI or NRRD.", show_default=False)],
    studies: Annotated[
        str, typer.Option("--studies", metavar="DIR|URL", help="The scans, as the server has them.", show_default=False)
    ],
    tool: Annotated[
        str, typer.Option("--tool", metavar="NAME", help='Who made them: "TotalSegmentator 2.4".', show_default=False)
    ],
    table: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="CSV: case, mask (path below DIR), class where a file marks one alone."),
    ] = None,
    class_values: ClassValues = None,
    workspace: Annotated[
        str | None, typer.Option(metavar="DIR", help="The server's --conf workspace, where it has one.")
    ] = None,
    task: TaskFile = TASK,
) -> None:
    """Import masks of another tool (TotalSegmentator, nnU-Net, BLAST-CT ...) as proposals that wait for a verdict."""
    from recursive_expand.expand.recursion import open_recursion
    from recursive_expand.importers.proposals import MaskSettings, import_proposals, report_folder

    with lines_for_errors(), progress_bars() as on_progress:
        settings = MaskSettings(tool, _class_values(class_values) or {}, table)
        recursion = open_recursion(studies, task, {"workspace": workspace} if workspace else {})
        report = import_proposals(recursion, source, settings, on_progress=on_progress)
        folder = report_folder(recursion)
        recursion.ledger.close()
    _tell(folder, report)


def _run(studies: Path, importer: Callable[[], Importer]) -> None:
    with lines_for_errors(), progress_bars() as on_progress:
        report = run_import(importer(), studies, on_progress=on_progress)
    _tell(studies, report)


def _classes(task: Path) -> tuple[str, ...]:
    return load_settings(task).task.classes


def _role(text: str, choices: str = "pixel, image, test or unlabelled") -> Role:
    try:
        return Role(text)
    except ValueError as error:
        raise InputError(f"--role {text!r}", f"is not known; choose {choices}") from error


def _class_values(text: str | None) -> dict[int, str]:
    """`1=epidural,2=subdural` as a dictionary."""
    values: dict[int, str] = {}
    for pair in text.split(",") if text else []:
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


def _tell(studies: Path, report: ImportReport) -> None:
    groups = (
        [f"imported {escape(case_id)}: {escape(what)}" for case_id, what in report.imported.items()],
        [f"skipped {escape(case_id)}: it is there already" for case_id in report.skipped],
        [f"[yellow]left out[/] {escape(line)}" for line in report.left_out],
        [f"note: {escape(line)}" for line in (*report.notes, *report.summary)],
    )
    for lines in groups:
        for line in lines[:MOST_LINES]:
            output.print(line, highlight=False)
        if len(lines) > MOST_LINES:
            more = f"... and {len(lines) - MOST_LINES} more like the last one: see import-<name>.csv in {studies}"
            output.print(escape(more), highlight=False)
    counts = (
        f"{len(report.imported)} imported, {len(report.skipped)} already there, {len(report.left_out)} lines left out"
    )
    output.print(counts, highlight=False)
    if not report.imported and not report.skipped:
        raise typer.Exit(1)
