"""Import masks that other tools made, as proposals for experts to judge: NIfTI or NRRD, one or more files a case.

    <DIR>/**/*.nii.gz, *.nii, *.nrrd     named for the case (`ct-1.nii.gz`), its folder (`ct-1/bleed.nii.gz`) or series
    <table>.csv                          or a table: case, mask (path below DIR), and class where a file marks one alone

`ct-1_prediction`, `ct-1_pred`, `ct-1_seg`, `ct-1_mask` and `ct-1_label` are masks of the case ct-1, and so is `ct-1` of
a case that is called ct-1_0000, as nnU-Net has it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from recursive_expand.archives.identifiers import split_name
from recursive_expand.cases import LabelMap, Role, Volume
from recursive_expand.errors import InputError
from recursive_expand.expand.imported import freeze_imported, imported_review
from recursive_expand.expand.recursion import Recursion
from recursive_expand.expand.registration import register_cases
from recursive_expand.importers.contact_sheet import ContactSheet
from recursive_expand.importers.importer import case_of_name
from recursive_expand.importers.label_csv import read_table
from recursive_expand.importers.mask_files import check_values, map_values, present_types, read_mask_on
from recursive_expand.importers.measures import Measures
from recursive_expand.importers.report import ImportReport, LeftOut, OnProgress, no_progress, read_earlier
from recursive_expand.ledger import CaseRecord, ProposalState

ENDINGS = ("_prediction", "_pred", "_seg", "_mask", "_label")
"""What tools put behind a scan's name."""
FIRST_CHANNEL = "_0000"
"""What nnU-Net puts behind the names of its scans, but not of its masks."""


@dataclass(frozen=True)
class MaskSettings:
    """How files become proposals.

    Attributes:
        tool: who made the masks, as it is recorded: name and version.
        values: class name by mask value, or `background`; empty: the task's own values.
        table: a CSV table that says which file is whose; None: names do.
    """

    tool: str
    values: Mapping[int, str] = field(default_factory=dict)
    table: Path | None = None

    def __post_init__(self) -> None:
        if not self.tool.strip() or len(self.tool) > 200 or not self.tool.isprintable():
            raise InputError(f"--tool {self.tool[:40]!a}", "must say who made the masks, in 1 to 200 characters")


@dataclass(frozen=True)
class _Mask:
    """A mask file; `class_name` is the class of all that it marks, None where its values say."""

    path: Path
    class_name: str | None = None


class _LeftOutError(InputError):
    """A case's mask is not imported; says why, also for programs."""

    def __init__(self, source: str, reason: str, code: LeftOut) -> None:
        super().__init__(source, reason)
        self.code = code


def import_proposals(
    recursion: Recursion, folder: Path, settings: MaskSettings, *, on_progress: OnProgress = no_progress
) -> ImportReport:
    """Freeze the masks below a folder as round 0's proposals; whatever goes wrong with one leaves that one out.

    Args:
        recursion: over the scans that the masks are of.
        folder: the masks; nothing is written into it.
        settings: how they are read.
        on_progress: told of the progress.

    Returns:
        What was done. It is also `import-proposals.csv` in `report_folder`, with a few slices in `.png`.

    Raises:
        InputError: the folder, the table or an option does not fit; nothing was imported then.
        RecursiveExpandError: a round has begun.
    """
    if not folder.is_dir():
        raise InputError(folder.name or str(folder), "is no folder")
    check_values(settings.values, recursion.settings.task.classes)
    register_cases(recursion, lambda done, total: on_progress("reading cases", done, total))
    report, measures, sheet = ImportReport(), Measures(), ContactSheet()
    table = report_folder(recursion) / "import-proposals.csv"
    earlier = read_earlier(table)
    with imported_review(recursion):
        planned = _by_case(recursion, folder, settings, report)
        try:
            for number, (case, masks) in enumerate(planned, start=1):
                report.sources[case.case_id] = ", ".join(mask.path.name for mask in masks)
                _one(recursion, case, masks, settings, report, measures, sheet)
                on_progress("importing masks", number, len(planned))
        finally:
            report.summary = measures.summary()
            report.save(table, earlier)
            sheet.save(table.with_suffix(".png"))
    return report


def report_folder(recursion: Recursion) -> Path:
    """Where the report goes: into the folder of studies, or, of a PACS, into the workspace."""
    studies = getattr(recursion.archive, "studies", None)
    return studies if isinstance(studies, Path) else recursion.workspace.root


def _one(
    recursion: Recursion,
    case: CaseRecord,
    masks: Sequence[_Mask],
    settings: MaskSettings,
    report: ImportReport,
    measures: Measures,
    sheet: ContactSheet,
) -> None:
    case_id, named = case.case_id, masks[0].path.name
    try:
        if case.role in (Role.PIXEL, Role.TEST):
            raise _LeftOutError(named, f"case {case_id} has an expert mask (role {case.role})", LeftOut.NOT_JUDGED)
        sha256 = _sha256([mask.path for mask in masks])
        before = recursion.ledger.proposals.of_round(case_id, 0)
        if before is not None:
            if (before.tool, before.model_sha256) == (settings.tool, sha256):
                report.skip(case_id)
                return
            reason = f"case {case_id} has the mask of {before.tool} already; a case has one proposal a round"
            raise _LeftOutError(named, reason, LeftOut.OTHER_PROPOSAL)
        volume = recursion.volume(case_id)
        label = _read(masks, volume, settings, recursion.settings.task.classes)
    except InputError as error:
        code = error.code if isinstance(error, _LeftOutError) else LeftOut.UNUSABLE
        report.leave_out(error.source, error.reason, code, case_id=case_id)
        return
    proposal = freeze_imported(recursion, case_id, label, tool=settings.tool, file_sha256=sha256)
    what = f"{settings.tool}, {present_types(label)}"
    report.take(case_id, f"{what}; not shown: it marks nothing" if proposal.state is ProposalState.EMPTY else what)
    report.measured[case_id] = measures.add(case_id, volume, label)
    sheet.add(case_id, volume, label)


def _read(masks: Sequence[_Mask], volume: Volume, settings: MaskSettings, classes: tuple[str, ...]) -> LabelMap:
    """The files of a case as one mask; where two mark the same voxel the later one counts."""
    together = np.zeros(volume.geometry.native_shape, np.uint8)
    for mask in masks:
        try:
            found = read_mask_on(mask.path, volume)
        except InputError as error:
            raise _LeftOutError(error.source, error.reason, LeftOut.OTHER_GRID) from error
        values = settings.values or dict(enumerate(classes, start=1))
        if mask.class_name is not None:
            values = dict.fromkeys(found.values, mask.class_name)
        try:
            named = map_values(found, values, classes, mask.path.name).native
        except InputError as error:
            raise _LeftOutError(error.source, error.reason, LeftOut.OTHER_VALUES) from error
        together[named > 0] = named[named > 0]
    return LabelMap(together, volume.geometry, classes)


def _by_case(
    recursion: Recursion, folder: Path, settings: MaskSettings, report: ImportReport
) -> list[tuple[CaseRecord, list[_Mask]]]:
    """Each case's mask files, in the order of the cases; what belongs to no case, or to an unclear one, is left out."""
    cases = {case.case_id: case for case in recursion.ledger.cases.iterate()}
    names = {case.series_instance_uid: case_id for case_id, case in cases.items() if case.series_instance_uid}
    names |= {case_id: case_id for case_id in cases}
    found: dict[str, list[_Mask]] = {}
    if settings.table is None:
        pairs = _by_name(folder, names, report)
    else:
        pairs = _by_table(folder, settings.table, names, recursion.settings.task.classes, report)
    for case_id, mask in pairs:
        found.setdefault(case_id, []).append(mask)
    planned = []
    for case_id, masks in sorted(found.items()):
        if len(masks) > 1 and any(mask.class_name is None for mask in masks):
            several = ", ".join(mask.path.name for mask in masks)
            reason = f"several masks are case {case_id}'s ({several}); say by --table which, or which class each marks"
            report.leave_out(masks[0].path, reason, LeftOut.SEVERAL, case_id=case_id)
            continue
        planned.append((cases[case_id], masks))
    return planned


def _by_name(folder: Path, names: Mapping[str, str], report: ImportReport) -> Iterator[tuple[str, _Mask]]:
    paths = [path for path in sorted(folder.rglob("*")) if split_name(path.name) and path.is_file()]
    for path in paths:
        case_id = next((names[name] for name in _called(path.relative_to(folder)) if name in names), None)
        if case_id is None:
            report.leave_out(path, "is called as no case is; say by --table whose it is", LeftOut.NO_CASE)
        else:
            yield case_id, _Mask(path)
    if not paths:
        report.leave_out(folder, "holds no masks (.nii.gz, .nii or .nrrd)", LeftOut.EMPTY_SOURCE)


def _called(path: Path) -> Iterator[str]:
    """Names of cases whose mask a file may be, the likeliest first."""
    parts = split_name(path.name)
    assert parts is not None
    called = [path.with_name(parts[0]).as_posix(), parts[0]]
    with suppress(InputError):  # no case has such a name
        called.append(case_of_name(called[0]))
    for name in called:
        yield name
        yield name + FIRST_CHANNEL
        for ending in ENDINGS:
            if name.endswith(ending):
                yield name.removesuffix(ending)
    yield path.parent.name


def _by_table(
    folder: Path, table: Path, names: Mapping[str, str], classes: Sequence[str], report: ImportReport
) -> Iterator[tuple[str, _Mask]]:
    for row in read_table(table, ("case", "mask")):
        case, name, mask = row.text("case"), row.text("class") or None, folder / row.text("mask")
        if case not in names:
            report.leave_out(row.line, f"names {case!r}, which is no case", LeftOut.NO_CASE)
        elif not mask.resolve().is_relative_to(folder.resolve()) or not mask.is_file():
            report.leave_out(
                row.line, f"names {row.text('mask')!r}, which is no file of the folder", case_id=names[case]
            )
        elif name is not None and name not in classes:
            known = ", ".join(classes)
            reason = f"names the class {name!r}; known are {known}"
            report.leave_out(row.line, reason, LeftOut.OTHER_VALUES, case_id=names[case])
        else:
            yield names[case], _Mask(mask, name)


def _sha256(paths: Sequence[Path]) -> str:
    """SHA-256 of a file; of several that of their names and digests, a line each."""
    digests = []
    for path in paths:
        with path.open("rb") as file:
            digests.append(hashlib.file_digest(file, "sha256").hexdigest())
    if len(digests) == 1:
        return digests[0]
    lines = sorted(f"{digest}  {path.name}\n" for digest, path in zip(digests, paths, strict=True))
    return hashlib.sha256("".join(lines).encode()).hexdigest()
