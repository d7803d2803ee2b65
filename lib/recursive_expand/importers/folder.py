"""Import any folder of scans: NIfTI and NRRD volumes, DICOM series, with masks and a table where there are some.

    <SRC>/**/*.nii.gz, *.nii, *.nrrd     a file a case, named for its path: `site-a/head 3.nii.gz` is site-a-head-3
    <SRC>/**/<DICOM files>               a series a case, named for a hash of its UID: ct-0123456789ab
    <masks>/**/*.nii.gz, *.nii, *.nrrd   a mask has its scan's path, or its case's id, as its name
    <table>.csv                          case, and any of patient, role, slice and the task's classes (0 or 1)

In the table a case is named by its id, by its path with or without extension, or, a DICOM series, by the path of its
folder. A row without slice is of the whole case. Patients of DICOM series are hashes of their PatientID where the table
does not name them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from recursive_expand.archives.identifiers import split_name
from recursive_expand.archives.images import read_volume
from recursive_expand.cases import ImageLabels, Role
from recursive_expand.errors import InputError
from recursive_expand.importers.content import CaseContent, PlannedCase, case_of_name, import_cases
from recursive_expand.importers.dicom import case_of_series, find_series, read_series_case
from recursive_expand.importers.label_csv import Row, read_table
from recursive_expand.importers.mask_files import check_values, map_values, present_types, read_mask_on
from recursive_expand.importers.report import ImportReport, Progress, no_progress


@dataclass(frozen=True)
class FolderSettings:
    """How a folder becomes cases.

    Attributes:
        classes: the task's class names.
        role: of every case whose row in the table gives none.
        masks: a folder of masks.
        table: a CSV table.
        values: class name by mask value; empty: the task's own values.
    """

    classes: Sequence[str]
    role: Role
    masks: Path | None = None
    table: Path | None = None
    values: Mapping[int, str] = field(default_factory=dict)


@dataclass
class _Said:
    """What the table says of a case."""

    line: str = ""
    patient: str | None = None
    role: Role | None = None
    labels: dict[int | None, ImageLabels] = field(default_factory=dict)
    problem: InputError | None = None


def import_folder(
    source: Path, studies: Path, settings: FolderSettings, *, report: Progress = no_progress
) -> ImportReport:
    """Import every scan below a folder; what is there already is skipped.

    Args:
        source: a folder.
        studies: where the cases go; made if missing.
        settings: roles, masks and table.
        report: told of the progress.

    Raises:
        InputError: where a folder or table is missing, or an option does not fit.
    """
    for folder in (source, *([settings.masks] if settings.masks else [])):
        if not folder.is_dir():
            raise InputError(folder.name or str(folder), "is no folder")
    check_values(settings.values, settings.classes)
    done = ImportReport()
    said = _read_said(settings) if settings.table else {}
    masks = _by_key(settings.masks) if settings.masks else {}
    planned, used_rows, used_masks = [], set(), set()
    for case_id, path_keys, files in _scans(source, settings.masks, studies, done, report):
        keys = [key for key in (case_id, *path_keys) if key]
        row = next((key for key in keys if key in said), None)
        mask = next((key for key in keys if key in masks), None)
        used_rows.add(row)
        used_masks.add(mask)
        read = partial(_read_case, files, said[row] if row else _Said(), masks[mask] if mask else None, settings)
        planned.append(PlannedCase(case_id, path_keys[0], read))
    for key in sorted(said.keys() - used_rows):
        done.leave_out(said[key].line, f"names no scan of the folder: {key!r}")
    for path in sorted(set(masks.values()) - {masks[key] for key in used_masks if key is not None}):
        done.leave_out(f"masks: {path.name}", "belongs to no scan of the folder")
    if not planned:
        done.leave_out(source, "holds no scans (.nii.gz, .nii, .nrrd or DICOM)")
    return import_cases("folder", planned, studies, done, classes=settings.classes, report=report)


def _scans(
    source: Path, masks: Path | None, studies: Path, done: ImportReport, report: Progress
) -> Iterator[tuple[str, list[str], list[Path]]]:
    """(case id, what else the table and the masks may call it, its files) of each scan."""
    skipped = [folder.resolve() for folder in (masks, studies) if folder is not None]
    skipped = [folder for folder in skipped if folder != source.resolve()]
    for path in sorted(source.rglob("*")):
        parts = split_name(path.name)
        if parts is None or not path.is_file() or any(path.resolve().is_relative_to(folder) for folder in skipped):
            continue
        relative = path.relative_to(source).as_posix()
        bare = relative.removesuffix(parts[1])
        try:
            case_id = case_of_name(bare)
        except InputError as error:
            done.leave_out(relative, error.reason)
            continue
        yield case_id, [relative, bare], [path]
    quiet = ImportReport()
    for uid, files in sorted(find_series(source, quiet, report).items()):
        folder = min(files).parent.relative_to(source).as_posix()
        yield case_of_series(uid), [folder, Path(folder).name], sorted(files)
    for case_id, what, reason in quiet.details:
        # NIfTI files and tables are no DICOM, and a folder without any is fine here.
        if reason != "are not DICOM" and not reason.startswith("holds no CT image"):
            done.leave_out(what, reason, case_id=case_id)


def _by_key(folder: Path) -> dict[str, Path]:
    """Mask files by path and by name, each with and without extension."""
    found: dict[str, Path] = {}
    for path in sorted(folder.rglob("*")):
        parts = split_name(path.name)
        if parts is None or not path.is_file():
            continue
        relative = path.relative_to(folder).as_posix()
        for key in (relative, relative.removesuffix(parts[1])):
            found[key] = path
    return found


def _read_said(settings: FolderSettings) -> dict[str, _Said]:
    """What the table says, by what it calls a case."""
    assert settings.table is not None
    found: dict[str, _Said] = {}
    for row in read_table(settings.table, ("case",)):
        said = found.setdefault(row.text("case"), _Said(row.line))
        try:
            _add_row(said, row, settings.classes)
        except InputError as error:
            # The case is left out: half of what was said of it might be the wrong half.
            said.problem = said.problem or error
    return found


def _add_row(said: _Said, row: Row, classes: Sequence[str]) -> None:
    for column, known in (("patient", said.patient), ("role", said.role)):
        if row.text(column) and known is not None and row.text(column) != known:
            raise InputError(row.line, f"gives {row.text('case')} another {column} than an earlier row ({known})")
    said.patient = row.text("patient") or said.patient
    if row.text("role"):
        try:
            said.role = Role(row.text("role").lower())
        except ValueError as error:
            raise InputError(row.line, f"role {row.text('role')!r} is not known ({', '.join(Role)})") from error
    given = [name for name in classes if row.text(name)]
    if not given:
        return
    if len(given) < len(classes):
        missing = ", ".join(name for name in classes if name not in given)
        raise InputError(row.line, f"says nothing of {missing}; give each class a 0 or a 1")
    number = row.whole("slice") if row.text("slice") else None
    if number in said.labels or (number is not None and number < 0):
        raise InputError(row.line, f"slice {row.text('slice') or 'of the whole case'} has a row already or is below 0")
    said.labels[number] = ImageLabels(frozenset(name for name in classes if row.flag(name)))


def _read_case(files: Sequence[Path], said: _Said, mask_path: Path | None, settings: FolderSettings) -> CaseContent:
    if said.problem is not None:
        raise said.problem
    role = said.role or settings.role
    if role is Role.PIXEL and mask_path is None:
        raise InputError(f"role {role}", "needs a mask, and there is none of this name")
    if role is Role.IMAGE and not said.labels:
        raise InputError(f"role {role}", "needs image-level labels, and the table has none of it")
    if split_name(files[0].name) is not None:
        volume = read_volume(files[0])
        size = " x ".join(map(str, volume.geometry.native_shape))
        content = CaseContent(volume, f"{size} voxels")
    else:
        content = read_series_case(files)
    shape = content.volume.geometry.shape
    beyond = [number for number in said.labels if number is not None and number >= shape[0]]
    if beyond:
        raise InputError(said.line, f"slice {beyond[0]} is out of range: slices are numbered 0 to {shape[0] - 1}")
    mask = None
    if mask_path is not None and role in (Role.PIXEL, Role.TEST):
        values = settings.values or dict(enumerate(settings.classes, start=1))
        mask = map_values(read_mask_on(mask_path, content.volume.geometry), values, settings.classes, mask_path.name)
    return replace(
        content,
        what=f"{content.what}; {role}, {present_types(mask, settings.classes)}",
        role=role,
        patient=said.patient or content.patient,
        mask=mask,
        image_labels=said.labels,
    )
