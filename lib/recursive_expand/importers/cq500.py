"""Import CQ500 (Chilamkurthy et al., 2018; Qure.ai's headctstudy): 491 head CT, read by three radiologists each.

    <SRC>/CQ500CT107 CQ500CT107/Unknown Study/CT Plain THIN/CT000000.dcm    a folder a series
    <SRC>/reads.csv      name,Category,R1:ICH,R1:IPH,R1:IVH,R1:SDH,R1:EDH,R1:SAH,...,R2:ICH,...,R3:SAH,...
                         with names CQ500-CT-107
    <masks>/CQ500-CT-107.nii.gz             where given: any name with the patient's number, NIfTI or NRRD

Patients' folders may be called CQ500-CT-107, CQ500CT107 or as above, at any depth. A patient is a case, `cq500-107`, of
role `test`. The series is chosen by rule: of those that are axial and neither bone (by name or kernel), nor contrast,
nor scouts, the one with the smallest distance between slices; of several, the one with most slices. With a mask, it is
the first of these on whose grid the mask lies: size, corners, spacing and direction. A type is present where two of the
three readers saw it; it is a label of the whole case. Qure.ai gives no masks: the paper's were drawn by a
neuro-radiologist for 20 patients, which are the default.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from recursive_expand.archives.identifiers import split_name
from recursive_expand.archives.images import read_geometry
from recursive_expand.cases import ImageLabels, LabelMap, Role
from recursive_expand.dicom.files import NotDicomError, read_dicom
from recursive_expand.dicom.series import MIN_SLICES, Series, read_series
from recursive_expand.errors import InputError
from recursive_expand.importers.bleed_types import ABBREVIATIONS, check_types
from recursive_expand.importers.importer import CaseContent, ImportContext, Importer, PlannedCase
from recursive_expand.importers.label_csv import read_table
from recursive_expand.importers.mask_files import check_values, map_values, present_types, read_mask_on
from recursive_expand.importers.report import ImportReport, LeftOut

PAPER_PATIENTS = (4, 35, 48, 90, 107, 129, 139, 149, 154, 181, 196, 248, 305, 404, 408, 417, 420, 429, 452, 456)
"""The paper's appendix A: those that a neuro-radiologist drew masks for."""

READS = "reads.csv"
READERS = ("R1", "R2", "R3")

_PATIENT = re.compile(r"(?:CQ500[-_ ]?)?CT[-_ ]?(\d+)\b.*", re.IGNORECASE)
_FOLDER = re.compile(r"CQ500[-_ ]?CT[-_ ]?(\d+)\b.*", re.IGNORECASE)
_NOT_PLAIN = re.compile(
    r"BONE|POST|CONTRAST|CECT|ANGIO|ARTERIAL|VENOUS|DELAYED|PERFUSION|\bMIP\b|SCOUT|LOCALI[SZ]ER|TOPOGRAM|150CC"
    # `CT C THIN`, `C+`, `CE`: how consoles write "with contrast".
    r"|(?<![A-Z0-9])(?:C\+?|\+C|CE|CTA|CTV|IVC)(?![A-Z0-9+])",
    re.IGNORECASE,
)
_PLAIN = re.compile(r"(PRE|NON|WITHOUT)[-_ ]?CONTRAST|(?<![A-Z0-9])C-(?![A-Z0-9])", re.IGNORECASE)

_BONE_KERNEL = re.compile(
    r"BONE.*|EDGE.*|LUNG.*"  # GE
    r"|[BH][67]\d.*|(?:HR|BR|BL|QR)[5-9]\d.*"  # Siemens
    r"|FC(?:3|5|8)\d.*"  # Canon, Toshiba
    r"|Y[B-E]|[DE]",  # Philips
    re.IGNORECASE,
)
"""Convolution kernels that sharpen bone, whatever the series is called."""

AXIAL = 0.8
"""Cosine of the largest angle, 37 degrees, between a slice's normal and the body's axis: more than any gantry tilts."""


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


@dataclass(frozen=True)
class Cq500Importer(Importer):
    """One series a patient.

    Attributes:
        source: the data set's folder.
        classes: the task's class names.
        patients: their numbers; None: all.
        masks: a folder of masks; `<source>/masks` where it exists.
        values: class name by the masks' value; None or empty: the task's own values, and masks of one value, where the
            readers saw one type alone, are of that type.
    """

    name = "cq500"
    source: Path
    classes: Sequence[str]
    patients: Sequence[int] | None = PAPER_PATIENTS
    masks: Path | None = None
    values: Mapping[int, str] | None = None

    def plan(self, context: ImportContext) -> Sequence[PlannedCase]:
        """One case a patient."""
        check_types(self.classes)
        check_values(self.values or {}, self.classes)
        if not self.source.is_dir():
            raise InputError(self.source.name or str(self.source), "is no folder; give the folder of CQ500")
        types, said = _majority(self.source / READS)
        folders = _patient_folders(self.source)
        masks = self.masks or (self.source / "masks" if (self.source / "masks").is_dir() else None)
        drawn = _masks(masks, context.report) if masks else {}
        wanted = sorted(folders) if self.patients is None else self.patients
        planned = []
        for patient in wanted:
            if patient not in folders:
                context.report.leave_out(f"CQ500-CT-{patient}", "has no folder here")
                continue
            reads = _Reads(types.get(patient), tuple(said.get(patient, ())))
            read = partial(self._read, patient, folders[patient], reads, drawn.get(patient))
            planned.append(PlannedCase(f"cq500-{patient}", f"CQ500-CT-{patient}", read))
        if not folders:
            context.report.leave_out(self.source, "holds no folder CQ500CT<number>", LeftOut.EMPTY_SOURCE)
        return planned

    def _read(self, patient: int, folders: Sequence[Path], reads: _Reads, mask_path: Path | None) -> CaseContent:
        candidates, passed_over = _candidates(folders)
        candidates.sort(key=lambda c: (round(c.step, 2), -c.positions, c.name))
        if not candidates:
            why = "; ".join(passed_over)
            raise InputError("series", f"none is a plain axial scan of {MIN_SLICES} slices or more ({why})")
        mask = None
        if mask_path is None:
            best = candidates[0]
            series = read_series(best.files)
        else:
            best, series, found = _series_of_mask(mask_path, candidates)
            mask = map_values(found, self._values(found, reads.types), self.classes, mask_path.name)
        unread = [] if reads.types is not None or reads.said else [f"{READS} has no row: no image-level label"]
        others = [f"series {candidate.name} is not as thin" for candidate in candidates if candidate != best]
        return CaseContent(
            series.volume,
            f"{best.name}: {series.what}; {present_types(mask)}",
            role=Role.TEST,
            patient=f"cq500-{patient}",
            mask=mask,
            image_labels={} if reads.types is None else {None: ImageLabels(reads.types)},
            facts={"data_set": "CQ500", "series": best.name} | series.facts,
            left_out=[*reads.said, *unread, *series.left_out, *passed_over, *others],
        )

    def _values(self, mask: LabelMap, types: frozenset[str] | None) -> Mapping[int, str]:
        """What a mask's values stand for."""
        if self.values:
            return self.values
        if types is not None and len(types) == 1 and len(mask.values) == 1:
            return {mask.values[0]: next(iter(types))}
        return dict(enumerate(self.classes, start=1))


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


@dataclass(frozen=True)
class _Reads:
    """What the readers saw of a patient.

    Attributes:
        types: what two of three saw; None where that is open.
        said: why it is open.
    """

    types: frozenset[str] | None
    said: tuple[str, ...]


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


def _masks(folder: Path, report: ImportReport) -> dict[int, Path]:
    """Mask files by patient number, which is the last number in their names."""
    if not folder.is_dir():
        raise InputError(folder.name or str(folder), "is no folder; give the folder of the masks")
    found: dict[int, Path] = {}
    for path in sorted(folder.iterdir()):
        parts = split_name(path.name)
        numbers = re.findall(r"\d+", parts[0].upper().replace("CQ500", "")) if parts else []
        if len(numbers) != 1:
            report.leave_out(f"{folder.name}/{path.name}", "is no mask with one patient's number in its name")
        elif int(numbers[0]) in found:
            report.leave_out(f"{folder.name}/{path.name}", f"is a second mask of patient {int(numbers[0])}")
        else:
            found[int(numbers[0])] = path
    return found


def _series_of_mask(path: Path, candidates: Sequence[_Candidate]) -> tuple[_Candidate, Series, LabelMap]:
    """The first series on whose grid a mask lies, and the mask on it.

    Raises:
        InputError: where there is none.
    """
    shape = read_geometry(path).native_shape
    fitting = [c for c in candidates if sorted((*c.shape, c.positions)) == sorted(shape)]
    if not fitting:
        sizes = "; ".join(f"{c.name} {c.shape[0]} x {c.shape[1]} x {c.positions}" for c in candidates)
        raise InputError(path.name, f"has the size {shape}; no series has it ({sizes})")
    problems = []
    for candidate in fitting:
        try:
            series = read_series(candidate.files)
            return candidate, series, read_mask_on(path, series.volume)
        except InputError as error:
            problems.append(f"{candidate.name}: {error.reason}")
    raise InputError(path.name, f"is on no series' grid ({'; '.join(problems)})")


def _candidates(folders: Sequence[Path]) -> tuple[list[_Candidate], list[str]]:
    """Plain series of a patient, and why others are none."""
    groups: dict[tuple[str, str], list[tuple[Path, float, tuple[int, int]]]] = {}
    kinds: dict[tuple[str, str], str] = {}
    passed_over: list[str] = []
    for path in sorted(path for folder in folders for path in folder.rglob("*") if path.is_file()):
        try:
            header = read_dicom(path, stop_before_pixels=True)
            position, orientation = header.get("ImagePositionPatient"), header.get("ImageOrientationPatient")
            if header.get("Modality") != "CT" or not position or not orientation:
                continue
            normal = np.cross(np.array(orientation[:3], float), np.array(orientation[3:], float))
            place = float(normal @ np.array(position, float))
            # Of a file that is cut short, `read_series` says so.
            shape = int(header.get("Columns") or 0), int(header.get("Rows") or 0)
        except NotDicomError:
            continue
        except InputError as error:
            passed_over.append(str(error))
            continue
        except Exception as error:  # malformed values raise only when they are looked at
            passed_over.append(f"{path.name}: has a malformed header ({type(error).__name__})")
            continue
        key = (path.parent.name, str(header.get("SeriesInstanceUID")))
        groups.setdefault(key, []).append((path, place, shape))
        reason = _why_not_plain(header, path.parent.name, normal)
        if reason:
            kinds[key] = f"series {path.parent.name} is not {reason}"
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


def _why_not_plain(header: Dataset, folder: str, normal: NDArray[np.float64]) -> str:
    """What a plain axial series is that this one is not, and by what; empty where it is one."""
    found = _NOT_PLAIN.search(_PLAIN.sub("", f"{folder} {header.get('SeriesDescription', '')}"))
    if found:
        return f"plain ({found.group()})"
    if header.get("ContrastBolusAgent"):
        return "plain (ContrastBolusAgent)"
    kernel = header.get("ConvolutionKernel") or ""
    names = [kernel] if isinstance(kernel, str) else list(kernel)
    if any(_BONE_KERNEL.fullmatch(str(name).strip()) for name in names):
        return f"plain (ConvolutionKernel {', '.join(map(str, names))})"
    if abs(normal[2]) < AXIAL:
        return "axial"
    return ""
