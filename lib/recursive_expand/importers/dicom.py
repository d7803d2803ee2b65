"""Import DICOM CT series from a folder: one case per series."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from recursive_expand.cases import Role
from recursive_expand.dicom.files import NotDicomError, read_dicom
from recursive_expand.dicom.series import read_series
from recursive_expand.errors import InputError
from recursive_expand.importers.importer import CaseContent, ImportContext, Importer, PlannedCase
from recursive_expand.importers.pseudonyms import Pseudonyms
from recursive_expand.importers.report import ImportReport, LeftOut, OnProgress, no_progress


@dataclass(frozen=True)
class DicomImporter(Importer):
    """Every CT series below a folder.

    Each series becomes `<studies>/<case>.nii.gz` (int16 HU, its own voxels, never resampled) and
    `<studies>/geometry/<case>.geometry.json` (where each slice is, and which DICOM instance it was).

    Attributes:
        source: a folder; all files below it are looked at, whatever their names.
    """

    name = "dicom"
    stage = "importing series"
    classes = ()
    source: Path

    def plan(self, context: ImportContext) -> Sequence[PlannedCase]:
        """One case a series."""
        if not self.source.is_dir():
            name = self.source.name or str(self.source)
            raise InputError(name, "is no folder; give the folder that holds the DICOM files")
        series = find_series(self.source, context.report, context.on_progress)
        return [plan_series(uid, sorted(files), context) for uid, files in sorted(series.items())]


def case_of_series(series_instance_uid: str) -> str:
    """The case id of a series: stable, and no identifier of a patient."""
    uid = series_instance_uid.encode("utf-8", "backslashreplace")
    return f"ct-{hashlib.sha256(uid).hexdigest()[:12]}"


def find_series(source: Path, report: ImportReport, on_progress: OnProgress = no_progress) -> dict[str, list[Path]]:
    """Files of CT images below a folder, by SeriesInstanceUID; what else is there is left out with a line."""
    files = sorted(path for path in source.rglob("*") if path.is_file() and path.name.upper() != "DICOMDIR")
    series: dict[str, list[Path]] = {}
    other: Counter[str] = Counter()
    foreign = 0
    for number, path in enumerate(files):
        if number % 50 == 0:
            on_progress("reading headers", number, len(files))
        try:
            header = read_dicom(path, stop_before_pixels=True, specific_tags=["Modality", "SeriesInstanceUID"])
        except NotDicomError:
            foreign += 1
            continue
        except InputError as error:
            report.leave_out(error.source, error.reason)
            continue
        try:
            uid, modality = str(header.get("SeriesInstanceUID") or ""), str(header.get("Modality") or "none")
        except Exception as error:  # malformed values raise only when they are looked at
            report.leave_out(path.name, f"has a malformed header ({type(error).__name__})")
            continue
        if modality != "CT":
            other[modality] += 1
        elif not uid:
            report.leave_out(path.name, "has no SeriesInstanceUID")
        else:
            series.setdefault(uid, []).append(path)
    on_progress("reading headers", len(files), len(files))
    for modality, count in sorted(other.items()):
        report.leave_out(f"{count} files", f"their modality is {modality}; only CT is imported", LeftOut.MODALITY)
    if foreign:
        report.leave_out(f"{foreign} files", "are not DICOM", LeftOut.NOT_DICOM)
    if not series:
        report.leave_out(source, f"holds no CT image ({len(files)} files were looked at)", LeftOut.EMPTY_SOURCE)
    return series


def read_series_case(files: Sequence[Path], pseudonyms: Pseudonyms, *, role: Role | None = None) -> CaseContent:
    """Read the files of one series as a case of the patient that its header names.

    Raises:
        InputError: as `read_series` does.
    """
    series = read_series(files)
    tags = ["PatientID", "IssuerOfPatientID"]
    header = read_dicom(series.files[0], stop_before_pixels=True, specific_tags=tags)
    return CaseContent(
        series.volume,
        series.what,
        role=role,
        patient=pseudonyms.of(header),
        facts=series.facts,
        left_out=series.left_out,
    )


def plan_series(uid: str, files: Sequence[Path], context: ImportContext) -> PlannedCase:
    """A series as a case."""
    case_id = case_of_series(uid)
    named = f"{case_id} ({len(files)} files, {files[0].name} is one)"
    read = partial(read_series_case, files, context.pseudonyms)
    return PlannedCase(case_id, uid, read, named=named, files=len(files))
