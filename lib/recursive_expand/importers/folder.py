"""Import any folder of scans: NIfTI and NRRD volumes, DICOM series, with masks and a table where there are some.

    <SRC>/**/*.nii.gz, *.nii, *.nrrd     a file a case, named for its path: `site-a/head 3.nii.gz` is site-a-head-3
    <SRC>/**/<DICOM files>               a series a case, named for a hash of its UID: ct-0123456789ab
    <masks>/**/*.nii.gz, *.nii, *.nrrd   a mask has its scan's path, or its case's id, as its name
    <table>.csv                          case, and any of patient, role, slice and the task's classes (0 or 1)

In the table a case is named by its id, by its path with or without extension, or, a DICOM series, by the path of its
folder if no other series is in it. A row without slice is of the whole case. Patients of DICOM series are hashes of
their PatientID where the table does not name them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from recursive_expand.archives.identifiers import split_name
from recursive_expand.archives.images import read_volume
from recursive_expand.cases import ImageLabels, Role, Volume
from recursive_expand.errors import InputError
from recursive_expand.importers.dicom import case_of_series, find_series, read_series_case
from recursive_expand.importers.importer import CaseContent, ImportContext, Importer, PlannedCase, case_of_name
from recursive_expand.importers.label_csv import Row, read_table
from recursive_expand.importers.mask_files import check_values, map_values, present_types, read_mask_on
from recursive_expand.importers.report import ImportReport, LeftOut


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


@dataclass(frozen=True)
class _Scan:
    """A scan of the folder.

    Attributes:
        case_id: its case's id.
        source: its path, or its series' folder.
        paths: what else names it and nothing else can: its path with and without extension; its series' folder and that
            folder's name, where no other series has them.
        shared: names that it has in common with other series.
        files: its file, or its series' files.
    """

    case_id: str
    source: str
    paths: tuple[str, ...]
    shared: tuple[str, ...]
    files: tuple[Path, ...]


@dataclass(frozen=True)
class FolderImporter(Importer):
    """Every scan below a folder.

    Attributes:
        source: a folder.
        settings: roles, masks and table.
    """

    name = "folder"
    source: Path
    settings: FolderSettings

    @property
    def classes(self) -> Sequence[str]:  # type: ignore[override]
        """The task's class names."""
        return self.settings.classes

    def plan(self, context: ImportContext) -> Sequence[PlannedCase]:
        """One case a file or a DICOM series."""
        settings, report = self.settings, context.report
        for folder in (self.source, *([settings.masks] if settings.masks else [])):
            if not folder.is_dir():
                raise InputError(folder.name or str(folder), "is no folder")
        check_values(settings.values, settings.classes)
        said = _read_said(settings) if settings.table else {}
        masks = _by_key(settings.masks) if settings.masks else {}
        scans = [*self._files(context), *self._series(context)]
        rows, drawn = _belonging(scans, said.keys()), _belonging(scans, masks.keys())
        planned = []
        for scan in scans:
            row, mask = rows.get(scan), drawn.get(scan)
            in_doubt = next((name for name in scan.shared if name in said or name in masks), None)
            if in_doubt is not None and (row is None or mask is None):
                reason = f"the table or a mask names {in_doubt!r}, as several series are called; name {scan.case_id}"
                report.leave_out(scan.source, reason, case_id=scan.case_id)
                continue
            files = masks[mask] if mask else ()
            read = partial(_read_case, scan, said[row] if row else _Said(), files, settings, context)
            count = None if split_name(scan.files[0].name) else len(scan.files)
            planned.append(PlannedCase(scan.case_id, scan.source, read, files=count))
        shared = {name for scan in scans for name in scan.shared}
        for key in sorted(said.keys() - set(rows.values()) - shared):
            report.leave_out(said[key].line, f"names no scan of the folder: {key!r}")
        used = {path for key in {*drawn.values(), *(shared & masks.keys())} for path in masks[key]}
        for path in sorted({path for paths in masks.values() for path in paths} - used):
            report.leave_out(f"masks: {path.name}", "belongs to no scan of the folder")
        if not scans:
            reason = "holds no scans (.nii.gz, .nii, .nrrd or DICOM)"
            report.leave_out(self.source, reason, LeftOut.EMPTY_SOURCE)
        return planned

    def _files(self, context: ImportContext) -> Iterator[_Scan]:
        """NIfTI and NRRD files."""
        skipped = [folder.resolve() for folder in (self.settings.masks, context.studies) if folder is not None]
        skipped = [folder for folder in skipped if folder != self.source.resolve()]
        for path in sorted(self.source.rglob("*")):
            parts = split_name(path.name)
            if parts is None or not path.is_file() or any(path.resolve().is_relative_to(folder) for folder in skipped):
                continue
            relative = path.relative_to(self.source).as_posix()
            bare = relative.removesuffix(parts[1])
            try:
                yield _Scan(case_of_name(bare), relative, (relative, bare), (), (path,))
            except InputError as error:
                context.report.leave_out(relative, error.reason)

    def _series(self, context: ImportContext) -> Iterator[_Scan]:
        """DICOM series."""
        quiet = ImportReport()
        found = find_series(self.source, quiet, context.on_progress)
        folders = {uid: min(files).parent.relative_to(self.source) for uid, files in found.items()}
        names = {uid: tuple(dict.fromkeys((path.as_posix(), path.name))) for uid, path in folders.items()}
        counts = Counter(name for both in names.values() for name in both)
        for uid, files in sorted(found.items()):
            own = tuple(name for name in names[uid] if name and counts[name] == 1)
            shared = tuple(name for name in names[uid] if name and counts[name] > 1)
            yield _Scan(case_of_series(uid), folders[uid].as_posix(), own, shared, tuple(sorted(files)))
        for line in quiet.details:
            # NIfTI files and tables are no DICOM, and a folder without any is fine here.
            if line.code not in (LeftOut.NOT_DICOM, LeftOut.EMPTY_SOURCE):
                context.report.leave_out(line.source, line.reason, line.code, case_id=line.case_id)


def _belonging(scans: Sequence[_Scan], names: Collection[str]) -> dict[_Scan, str]:
    """The name of a row or mask that each scan goes by: its path before its case's id, and no name for two scans.

    `a/b.nii.gz` is case a-b; a mask `a-b.nii.gz` is its own only where there is no scan of that path.
    """
    found: dict[_Scan, str] = {}
    taken: set[str] = set()
    for scan in scans:
        path = next((path for path in scan.paths if path in names), None)
        if path is not None:
            found[scan] = path
        taken.update(scan.paths)
    ids = Counter(scan.case_id for scan in scans)
    for scan in scans:
        if scan not in found and scan.case_id in names and scan.case_id not in taken and ids[scan.case_id] == 1:
            found[scan] = scan.case_id
    return found


def _by_key(folder: Path) -> dict[str, tuple[Path, ...]]:
    """Mask files by path, with and without extension; without, several may have one name."""
    found: dict[str, tuple[Path, ...]] = {}
    for path in sorted(folder.rglob("*")):
        parts = split_name(path.name)
        if parts is None or not path.is_file():
            continue
        relative = path.relative_to(folder).as_posix()
        for key in (relative, relative.removesuffix(parts[1])):
            found[key] = (*found.get(key, ()), path)
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


def _read_case(
    scan: _Scan, said: _Said, masks: Sequence[Path], settings: FolderSettings, context: ImportContext
) -> CaseContent:
    if said.problem is not None:
        raise said.problem
    role = said.role or settings.role
    if role is Role.PIXEL and not masks:
        raise InputError(f"role {role}", "needs a mask, and there is none of this name")
    if len(masks) > 1:
        names = ", ".join(path.name for path in masks)
        raise InputError("masks", f"several have its name ({names}); keep one")
    if role is Role.IMAGE and not said.labels:
        raise InputError(f"role {role}", "needs image-level labels, and the table has none of it")
    if split_name(scan.files[0].name) is not None:
        volume = _in_hu(scan.files[0])
        size = " x ".join(map(str, volume.geometry.native_shape))
        content = CaseContent(volume, f"{size} voxels")
    else:
        content = read_series_case(scan.files, context.pseudonyms)
    shape = content.volume.geometry.shape
    beyond = [number for number in said.labels if number is not None and number >= shape[0]]
    if beyond:
        raise InputError(said.line, f"slice {beyond[0]} is out of range: slices are numbered 0 to {shape[0] - 1}")
    mask = None
    if masks and role in (Role.PIXEL, Role.TEST):
        values = settings.values or dict(enumerate(settings.classes, start=1))
        mask = map_values(read_mask_on(masks[0], content.volume), values, settings.classes, masks[0].name)
    return replace(
        content,
        what=f"{content.what}; {role}, {present_types(mask)}",
        role=role,
        patient=said.patient or content.patient,
        mask=mask,
        image_labels=said.labels,
    )


def _in_hu(path: Path) -> Volume:
    """A scan; a file's header does not tell what its values are, but HU have air and fat below 0."""
    volume = read_volume(path)
    low, high = int(volume.hu.min()), int(volume.hu.max())
    if low >= 0:
        kind = "grey values of a picture" if high <= 255 else "MR, or stored values of a CT without its rescale"
        raise InputError(path.name, f"holds {low} to {high} and nothing below 0: {kind}, not HU; convert it to HU")
    return volume
