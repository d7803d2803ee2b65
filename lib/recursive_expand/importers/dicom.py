"""Import DICOM CT series from a folder: one case per series."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from pydicom.errors import InvalidDicomError

from recursive_expand.cases import Role
from recursive_expand.errors import InputError
from recursive_expand.importers.content import CaseContent, PlannedCase, import_cases
from recursive_expand.importers.pseudonyms import patient_of
from recursive_expand.importers.report import ImportReport, Progress, no_progress
from recursive_expand.importers.series import read_dicom, read_series


def import_dicom(source: Path, studies: Path, *, report: Progress = no_progress) -> ImportReport:
    """Import every CT series below a folder; what is there already is skipped, so that a broken-off import goes on.

    Each series becomes `<studies>/<case>.nii.gz` (int16 HU, its own voxels, never resampled) and
    `<studies>/geometry/<case>.geometry.json` (where each slice is, and which DICOM instance it was).

    Args:
        source: a folder; all files below it are looked at, whatever their names.
        studies: where the cases go; made if missing.
        report: told of the progress.

    Raises:
        InputError: where `source` is no folder.
    """
    if not source.is_dir():
        raise InputError(source.name or str(source), "is no folder; give the folder that holds the DICOM files")
    done = ImportReport()
    series = find_series(source, done, report)
    planned = [_plan(uid, sorted(files)) for uid, files in sorted(series.items())]
    import_cases("dicom", planned, studies, done, report=report, stage="importing series")
    for plan in planned:
        if plan.case_id in done.skipped:
            _note_growth(plan.case_id, studies, len(series[plan.source]), done)
    done.save(studies / "import-dicom.csv")
    return done


def case_of_series(series_instance_uid: str) -> str:
    """The case id of a series: stable, and no identifier of a patient."""
    return f"ct-{hashlib.sha256(series_instance_uid.encode()).hexdigest()[:12]}"


def find_series(source: Path, done: ImportReport, report: Progress = no_progress) -> dict[str, list[Path]]:
    """Files of CT images below a folder, by SeriesInstanceUID; what else is there is left out with a line."""
    files = sorted(path for path in source.rglob("*") if path.is_file() and path.name.upper() != "DICOMDIR")
    series: dict[str, list[Path]] = {}
    other: Counter[str] = Counter()
    foreign = 0
    for number, path in enumerate(files):
        if number % 50 == 0:
            report("reading headers", number, len(files))
        try:
            header = read_dicom(path, stop_before_pixels=True, specific_tags=["Modality", "SeriesInstanceUID"])
        except InvalidDicomError:
            foreign += 1
            continue
        except InputError as error:
            done.leave_out(error.source, error.reason)
            continue
        uid, modality = str(header.get("SeriesInstanceUID") or ""), str(header.get("Modality") or "none")
        if modality != "CT":
            other[modality] += 1
        elif not uid:
            done.leave_out(path.name, "has no SeriesInstanceUID")
        else:
            series.setdefault(uid, []).append(path)
    report("reading headers", len(files), len(files))
    for modality, count in sorted(other.items()):
        done.leave_out(f"{count} files", f"their modality is {modality}; only CT is imported")
    if foreign:
        done.leave_out(f"{foreign} files", "are not DICOM")
    if not series:
        done.leave_out(source, f"holds no CT image ({len(files)} files were looked at)")
    return series


def read_series_case(files: Sequence[Path], *, role: Role | None = None) -> CaseContent:
    """Read the files of one series as a case of the patient that its header names.

    Raises:
        InputError: as `read_series` does.
    """
    series = read_series(files)
    tags = ["SeriesInstanceUID", "PatientID", "IssuerOfPatientID"]
    header = read_dicom(series.files[0], stop_before_pixels=True, specific_tags=tags)
    facts = {"series_instance_uid": str(header.SeriesInstanceUID)} | series.facts
    return CaseContent(
        series.volume, series.what, role=role, patient=patient_of(header), facts=facts, left_out=series.left_out
    )


def _plan(uid: str, files: Sequence[Path]) -> PlannedCase:
    named = f"{case_of_series(uid)} ({len(files)} files, {files[0].name} is one)"
    return PlannedCase(case_of_series(uid), uid, partial(read_series_case, files), named=named)


def _note_growth(case_id: str, studies: Path, files: int, done: ImportReport) -> None:
    """Say so where a series that was imported before has other files now: it may have been half copied then."""
    try:
        before = json.loads((studies / "geometry" / f"{case_id}.geometry.json").read_bytes())["files"]
    except (OSError, ValueError, KeyError):
        return
    if before != files:
        done.notes.append(
            f"{case_id}: was imported from {before} files and has {files} now; remove it to import it anew"
        )
