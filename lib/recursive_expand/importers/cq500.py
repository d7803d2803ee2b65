"""Import CQ500 (Chilamkurthy et al., 2018; Qure.ai's headctstudy): 491 head CT, read by three radiologists each.

    <SRC>/CQ500CT107 CQ500CT107/Unknown Study/CT Plain THIN/CT000000.dcm    a folder a series
    <SRC>/reads.csv      name,Category,R1:ICH,R1:IPH,R1:IVH,R1:SDH,R1:EDH,R1:SAH,...,R2:ICH,...,R3:SAH,...
                         with names CQ500-CT-107
    <masks>/CQ500-CT-107.nii.gz             where given: any name with the patient's number, NIfTI or NRRD

Patients' folders may be called CQ500-CT-107, CQ500CT107 or as above, at any depth. A patient is a case, `cq500-107`, of
role `test`. The series is chosen by rule: of those that are neither bone, nor contrast, nor scouts, the one with the
smallest distance between slices; of several, the one with most slices. With a mask, only series of the mask's size are
looked at. A type is present where two of the three readers saw it; it is a label of the whole case. Qure.ai gives no
masks: the paper's were drawn by a neuro-radiologist for 20 patients, which are the default.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
from pydicom.errors import InvalidDicomError

from recursive_expand.archives.identifiers import split_name
from recursive_expand.archives.images import read_geometry
from recursive_expand.cases import ImageLabels, Role
from recursive_expand.errors import InputError
from recursive_expand.importers.bleed_types import ABBREVIATIONS, check_types
from recursive_expand.importers.content import CaseContent, PlannedCase, import_cases
from recursive_expand.importers.label_csv import read_table
from recursive_expand.importers.mask_files import check_values, map_values, present_types, read_mask_on
from recursive_expand.importers.report import ImportReport, Progress, no_progress
from recursive_expand.importers.series import MIN_SLICES, read_dicom, read_series

PAPER_PATIENTS = (4, 35, 48, 90, 107, 129, 139, 149, 154, 181, 196, 248, 305, 404, 408, 417, 420, 429, 452, 456)
"""The paper's appendix A: those that a neuro-radiologist drew masks for."""

READS = "reads.csv"
READERS = ("R1", "R2", "R3")

_PATIENT = re.compile(r"(?:CQ500[-_ ]?)?CT[-_ ]?(\d+)\b.*", re.IGNORECASE)
_FOLDER = re.compile(r"CQ500[-_ ]?CT[-_ ]?(\d+)\b.*", re.IGNORECASE)
_NOT_PLAIN = re.compile(r"BONE|POST|CONTRAST|CECT|ANGIO|SCOUT|LOCALI[SZ]ER|TOPOGRAM|150CC", re.IGNORECASE)
_PLAIN = re.compile(r"(PRE|NON|WITHOUT)[-_ ]?CONTRAST", re.IGNORECASE)


@dataclass(frozen=True)
class _Candidate:
    """A series that could be a patient's case.

    Attributes:
        name: its folder.
        files: its files.
        step: median distance between slices, in mm.
        shape: (columns, rows).
        positions: number of different slice positions.
    """

    name: str
    files: tuple[Path, ...]
    step: float
    shape: tuple[int, int]
    positions: int


def import_cq500(
    source: Path,
    studies: Path,
    classes: Sequence[str],
    *,
    patients: Sequence[int] | None = PAPER_PATIENTS,
    masks: Path | None = None,
    values: Mapping[int, str] | None = None,
    report: Progress = no_progress,
) -> ImportReport:
    """Import one series a patient; what is there already is skipped.

    Args:
        source: the data set's folder.
        studies: where the cases go; made if missing.
        classes: the task's class names.
        patients: their numbers; None: all.
        masks: a folder of masks; `<source>/masks` where it exists.
        values: class name by the masks' value; None or empty: the task's own values, and masks of one value, where the
            readers saw one type alone, are of that type.
        report: told of the progress.

    Raises:
        InputError: where a folder or the table is missing, or an option does not fit.
    """
    check_types(classes)
    check_values(values or {}, classes)
    if not source.is_dir():
        raise InputError(source.name or str(source), "is no folder; give the folder of CQ500")
    done = ImportReport()
    types, left_out = _majority(source / READS)
    folders = _patient_folders(source)
    mask_folder = masks or (source / "masks" if (source / "masks").is_dir() else None)
    drawn = _masks(mask_folder, done) if mask_folder else {}
    wanted = sorted(folders) if patients is None else patients
    for patient in wanted:
        if patient not in folders:
            done.leave_out(f"CQ500-CT-{patient}", "has no folder here")
    planned = [
        PlannedCase(
            f"cq500-{patient}",
            f"CQ500-CT-{patient}",
            partial(
                _read_case,
                folders[patient],
                types.get(patient),
                left_out.get(patient, ()),
                drawn.get(patient),
                classes,
                values,
            ),
        )
        for patient in wanted
        if patient in folders
    ]
    if not folders:
        done.leave_out(source, "holds no folder CQ500CT<number>")
    return import_cases("cq500", planned, studies, done, classes=classes, report=report)


def parse_patients(text: str) -> tuple[int, ...] | None:
    """`all`, or numbers with or without what stands before them: `4,35` or `CT_4,CQ500-CT-35`.

    Raises:
        InputError: for anything else.
    """
    if text.strip().lower() == "all":
        return None
    numbers = []
    for part in text.split(","):
        match = _PATIENT.fullmatch(part.strip()) or re.fullmatch(r"(\d+)", part.strip())
        if match is None:
            raise InputError(f"--patients {part!r}", "is no patient's number; give 4,35,48 or all")
        numbers.append(int(match.group(1)))
    return tuple(dict.fromkeys(numbers))


def _majority(table: Path) -> tuple[dict[int, frozenset[str]], dict[int, list[str]]]:
    """What two of three readers saw, by patient, and what is to be said of rows that leave that open."""
    types: dict[int, frozenset[str]] = {}
    said: dict[int, list[str]] = {}
    names = ("ICH", *ABBREVIATIONS)
    for row in read_table(table, ("name", *(f"{reader}:{name}" for reader in READERS for name in names))):
        match = _FOLDER.fullmatch(row.text("name"))
        if match is None:
            raise InputError(row.line, f"{row.text('name')!r} is no CQ500-CT-<number>")
        seen = {name for name in names if sum(row.flag(f"{reader}:{name}") for reader in READERS) >= 2}
        patient = int(match.group(1))
        if ("ICH" in seen) != bool(seen - {"ICH"}):
            saw = ", ".join(sorted(seen))
            said[patient] = [f"two of three readers saw {saw}, which leaves the types open: no image-level label"]
        else:
            types[patient] = frozenset(ABBREVIATIONS[name] for name in seen - {"ICH"})
    return types, said


def _patient_folders(source: Path) -> dict[int, list[Path]]:
    """The outermost folders of each patient."""
    found: dict[int, list[Path]] = {}
    open_folders = [source]
    while open_folders:
        for path in sorted(open_folders.pop().iterdir()):
            if not path.is_dir():
                continue
            match = _FOLDER.fullmatch(path.name)
            if match:
                found.setdefault(int(match.group(1)), []).append(path)
            else:
                open_folders.append(path)
    return found


def _masks(folder: Path, done: ImportReport) -> dict[int, Path]:
    """Mask files by patient number, which is the last number in their names."""
    if not folder.is_dir():
        raise InputError(folder.name or str(folder), "is no folder; give the folder of the masks")
    found: dict[int, Path] = {}
    for path in sorted(folder.iterdir()):
        parts = split_name(path.name)
        numbers = re.findall(r"\d+", parts[0].upper().replace("CQ500", "")) if parts else []
        if len(numbers) != 1:
            done.leave_out(f"{folder.name}/{path.name}", "is no mask with one patient's number in its name")
        elif int(numbers[0]) in found:
            done.leave_out(f"{folder.name}/{path.name}", f"is a second mask of patient {int(numbers[0])}")
        else:
            found[int(numbers[0])] = path
    return found


def _read_case(
    folders: Sequence[Path],
    types: frozenset[str] | None,
    said: Sequence[str],
    mask_path: Path | None,
    classes: Sequence[str],
    values: Mapping[int, str] | None,
) -> CaseContent:
    candidates, passed_over = _candidates(folders)
    if mask_path is not None:
        shape = read_geometry(mask_path).native_shape
        fitting = [c for c in candidates if sorted((*c.shape, c.positions)) == sorted(shape)]
        if not fitting:
            sizes = "; ".join(f"{c.name} {c.shape[0]} x {c.shape[1]} x {c.positions}" for c in candidates)
            raise InputError(mask_path.name, f"has the size {shape}; no series has it ({sizes or 'there are none'})")
        candidates = fitting
    if not candidates:
        raise InputError("series", f"none is a plain scan of {MIN_SLICES} slices or more ({'; '.join(passed_over)})")
    best = min(candidates, key=lambda c: (round(c.step, 2), -c.positions, c.name))
    series = read_series(best.files)
    mask = None
    if mask_path is not None:
        found = read_mask_on(mask_path, series.volume.geometry)
        if not values:
            values = dict(enumerate(classes, start=1))
            if types is not None and len(types) == 1 and len(np.unique(found[found > 0])) == 1:
                values = {int(found.max()): next(iter(types))}
        mask = map_values(found, values, classes, mask_path.name)
    number = next(match for match in (_FOLDER.fullmatch(path.name) for path in folders) if match).group(1)
    others = [candidate.name for candidate in candidates if candidate != best]
    return CaseContent(
        series.volume,
        f"{best.name}: {series.what}; {present_types(mask, classes)}",
        role=Role.TEST,
        patient=f"cq500-{int(number)}",
        mask=mask,
        image_labels={} if types is None else {None: ImageLabels(types)},
        facts={"data_set": "CQ500", "series": best.name} | series.facts,
        left_out=[
            *said,
            *([] if types is not None or said else [f"{READS} has no row: no image-level label"]),
            *series.left_out,
            *passed_over,
            *(f"series {name} is not as thin" for name in others),
        ],
    )


def _candidates(folders: Sequence[Path]) -> tuple[list[_Candidate], list[str]]:
    """Plain series of a patient, and why others are none."""
    groups: dict[tuple[str, str], list[tuple[Path, float, tuple[int, int]]]] = {}
    kinds: dict[tuple[str, str], str] = {}
    passed_over: list[str] = []
    for path in sorted(path for folder in folders for path in folder.rglob("*") if path.is_file()):
        try:
            header = read_dicom(path, stop_before_pixels=True)
        except InvalidDicomError:
            continue
        except InputError as error:
            passed_over.append(str(error))
            continue
        position, orientation = header.get("ImagePositionPatient"), header.get("ImageOrientationPatient")
        if header.get("Modality") != "CT" or not position or not orientation:
            continue
        normal = np.cross(np.array(orientation[:3], float), np.array(orientation[3:], float))
        key = (path.parent.name, str(header.get("SeriesInstanceUID")))
        place = float(normal @ np.array(position, float))
        # Of a file that is cut short, `read_series` says so.
        shape = int(header.get("Columns") or 0), int(header.get("Rows") or 0)
        groups.setdefault(key, []).append((path, place, shape))
        described = f"{path.parent.name} {header.get('SeriesDescription', '')}"
        reason = _NOT_PLAIN.search(_PLAIN.sub("", described))
        if reason:
            kinds[key] = f"series {path.parent.name} is not plain ({reason.group()})"
        elif header.get("ContrastBolusAgent"):
            kinds[key] = f"series {path.parent.name} is not plain (ContrastBolusAgent)"
    candidates = []
    for key, found in sorted(groups.items()):
        places = np.unique(np.round([place for _, place, _ in found], 2))
        if key in kinds:
            passed_over.append(kinds[key])
        elif len(places) < MIN_SLICES:
            passed_over.append(f"series {key[0]} has {len(places)} slices")
        else:
            files = tuple(path for path, _, _ in found)
            candidates.append(_Candidate(key[0], files, float(median(np.diff(places))), found[0][2], len(places)))
    return candidates, passed_over
