"""Import DICOM CT series from a folder: one case per series."""

from __future__ import annotations

import hashlib
import json
import struct
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.errors import InvalidDicomError

from recursive_expand.archives.atomic import write_atomic
from recursive_expand.archives.images import MIN_SIDE, write_volume
from recursive_expand.cases import Geometry, Volume
from recursive_expand.errors import InputError
from recursive_expand.importers.ct_geometry import SliceHeader, Stack
from recursive_expand.importers.ct_pixels import read_hu
from recursive_expand.importers.report import ImportReport, Progress, no_progress

MIN_SLICES = 3
"""Shorter series are scouts and test shots, not scans."""


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
    (studies / "geometry").mkdir(parents=True, exist_ok=True)
    done = ImportReport()
    series = _series(source, done, report)
    for number, (uid, files) in enumerate(sorted(series.items())):
        report("importing series", number, len(series))
        case_id = case_of_series(uid)
        try:
            _import_series(case_id, uid, sorted(files), studies, done)
        except InputError as error:
            done.leave_out(f"{case_id} ({len(files)} files, {min(files).name} is one)", str(error))
    report("importing series", len(series), len(series))
    return done


def case_of_series(series_instance_uid: str) -> str:
    """The case id of a series: stable, and no identifier of a patient."""
    return f"ct-{hashlib.sha256(series_instance_uid.encode()).hexdigest()[:12]}"


def _series(source: Path, done: ImportReport, report: Progress) -> dict[str, list[Path]]:
    """Files of CT images by SeriesInstanceUID."""
    files = sorted(path for path in source.rglob("*") if path.is_file() and path.name.upper() != "DICOMDIR")
    series: dict[str, list[Path]] = {}
    other: Counter[str] = Counter()
    foreign = 0
    for number, path in enumerate(files):
        if number % 50 == 0:
            report("reading headers", number, len(files))
        try:
            header = _read(path, stop_before_pixels=True, specific_tags=["Modality", "SeriesInstanceUID"])
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
        done.leave_out(source.name, f"holds no CT image ({len(files)} files were looked at)")
    return series


def _import_series(case_id: str, uid: str, files: Sequence[Path], studies: Path, done: ImportReport) -> None:
    target = studies / f"{case_id}.nii.gz"
    facts = studies / "geometry" / f"{case_id}.geometry.json"
    if target.exists():
        done.skipped.append(case_id)
        _note_growth(case_id, facts, len(files), done)
        return
    headers = _headers(case_id, files, done)
    stack = Stack.of(headers)
    for duplicate in stack.duplicates:
        done.leave_out(case_id, f"{files[duplicate.file].name} is at the position of another slice; left out")
    if len(stack.slices) < MIN_SLICES:
        raise InputError("series", f"has {len(stack.slices)} positions; a scan has {MIN_SLICES} or more")
    rows, columns = stack.slices[0].shape
    if min(rows, columns) < MIN_SIDE:
        raise InputError("series", f"its slices have {rows} x {columns} pixels")
    hu = np.empty((len(stack.slices), rows, columns), np.int16)
    for index, header in enumerate(stack.slices):
        path = files[header.file]
        hu[index] = read_hu(_read(path), path.name)
    geometry = Geometry.of((columns, rows, len(stack.slices)), stack.affine)
    # DICOM's (slice, row, column) is the native array (column, row, slice) reversed.
    volume = Volume(geometry.orientation.to_slices(hu.transpose(2, 1, 0)), geometry)
    content = {
        "series_instance_uid": uid,
        "files": len(files),
        "sop_instance_uids": [header.sop_instance_uid for header in stack.slices],
        "image_position_patient": [header.position.tolist() for header in stack.slices],
        "image_orientation_patient": stack.slices[0].orientation.tolist(),
        "pixel_spacing_mm": stack.slices[0].pixel_spacing.tolist(),
        "tilt_degrees": round(stack.tilt, 4),
        "gantry_detector_tilt_degrees": stack.slices[0].gantry_tilt,
        "slice_spacings_mm": [round(float(spacing), 4) for spacing in stack.spacings],
    }
    # The image last: it is what says that the case is there.
    write_atomic(facts, json.dumps(content, indent=1).encode())
    write_volume(target, volume)
    low, high = stack.spacings.min(), stack.spacings.max()
    step = f"{low:.2f} mm" if high - low < 0.05 else f"{low:.2f} to {high:.2f} mm (uneven)"
    tilt = f", tilt {stack.tilt:.1f} degrees" if stack.tilt > 0.1 else ""
    done.imported[case_id] = f"{columns} x {rows} x {len(stack.slices)} voxels, slices {step} apart{tilt}"


def _headers(case_id: str, files: Sequence[Path], done: ImportReport) -> list[SliceHeader]:
    """Headers of the slices of one series; scouts are left out."""
    headers: dict[str, SliceHeader] = {}
    scouts = 0
    for number, path in enumerate(files):
        dataset = _read(path, stop_before_pixels=True)
        kinds = [str(kind).upper() for kind in dataset.get("ImageType") or []]
        if "LOCALIZER" in kinds:
            scouts += 1
            continue
        frames, samples = int(dataset.get("NumberOfFrames") or 1), int(dataset.get("SamplesPerPixel") or 1)
        if frames > 1:
            raise InputError(path.name, f"is a multi-frame image ({frames} frames); convert it to single-frame CT")
        if samples > 1:
            raise InputError(path.name, f"is a colour image ({samples} samples per pixel); a CT has one")
        if int(dataset.get("HighBit", 0)) != int(dataset.get("BitsStored", 1)) - 1:
            raise InputError(path.name, f"its HighBit {dataset.get('HighBit')} is not BitsStored - 1")
        try:
            header = SliceHeader.of(dataset, number)
        except InputError as error:
            raise InputError(path.name, error.reason) from error
        if headers.setdefault(header.sop_instance_uid, header) is not header:
            done.leave_out(case_id, f"{path.name} repeats an instance that is there already; left out")
    if scouts:
        done.leave_out(case_id, f"{scouts} scout images (ImageType LOCALIZER); left out")
    if not headers:
        raise InputError("series", "holds scouts only")
    if len(headers) < MIN_SLICES:
        raise InputError("series", f"has {len(headers)} slices; a scan has {MIN_SLICES} or more")
    return list(headers.values())


def _note_growth(case_id: str, facts: Path, files: int, done: ImportReport) -> None:
    """Say so where a series that was imported before has other files now: it may have been half copied then."""
    try:
        before = json.loads(facts.read_bytes())["files"]
    except (OSError, ValueError, KeyError):
        return
    if before != files:
        done.notes.append(
            f"{case_id}: was imported from {before} files and has {files} now; remove it to import it anew"
        )


def _read(path: Path, **options: Any) -> pydicom.Dataset:
    """`pydicom.dcmread` with what damaged files raise as InputError; InvalidDicomError where it is no DICOM at all."""
    try:
        return pydicom.dcmread(path, **options)
    except InvalidDicomError:
        raise
    except (OSError, ValueError, EOFError, KeyError, AttributeError, NotImplementedError, struct.error) as error:
        raise InputError(path.name, f"cannot be read as DICOM ({type(error).__name__}); copy it again") from error
