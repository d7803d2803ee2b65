"""Import PhysioNet's CT-ICH (Hssayeni et al., 2020): head CT with expert masks of all bleeding and types by slice.

Version 1.3.1, in HU (75 patients; 59 to 65 have no scan):

    <SRC>/ct_scans/049.nii                  slice n of the tables is index n - 1 along the third axis
    <SRC>/masks/049.nii                     0 or 255, the same grid
    <SRC>/hemorrhage_diagnosis_raw_ct.csv   PatientNumber,SliceNumber,Intraventricular,Intraparenchymal,Subarachnoid,
                                            Epidural,Subdural,No_Hemorrhage,Fracture_Yes_No

Version 1.0.0, as pictures (82 patients):

    <SRC>/Patients_CT/049/brain/14.jpg      window level 40, width 120
    <SRC>/Patients_CT/049/brain/14_HGE_Seg.jpg   where there is something to mark
    <SRC>/Patients_CT/049/bone/14.jpg       window level 700, width 3200
    <SRC>/hemorrhage_diagnosis.csv          the same columns

SRC may also be the folder above. A patient is a case, `physionet-049`, of role `pixel`; `typed_masks` says how masks
get their types and which slices are left out. Of pictures, HU are those of the brain window where it is neither black
nor white, else those of the bone window; pictures do not tell their spacing: a field of view of 250 mm is assumed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recursive_expand.archives.images import read_label, read_volume
from recursive_expand.cases import MIN_SIDE, Geometry, LabelMap, Role, Volume
from recursive_expand.errors import InputError
from recursive_expand.importers.bleed_types import OUTSIDE_IN, check_types
from recursive_expand.importers.importer import CaseContent, ImportContext, Importer, PlannedCase
from recursive_expand.importers.kept_slices import keep_slices
from recursive_expand.importers.label_csv import read_table
from recursive_expand.importers.pictures import read_binary_mask, read_grey
from recursive_expand.importers.typed_masks import Multi, type_mask

RAW_TABLE, PICTURE_TABLE = "hemorrhage_diagnosis_raw_ct.csv", "hemorrhage_diagnosis.csv"
BRAIN, BONE = (40.0, 120.0), (700.0, 3200.0)
"""Level and width of the windows of version 1.0.0, in HU."""

BLACK_WHITE = (BRAIN[0] - BRAIN[1] / 2, BRAIN[0] + BRAIN[1] / 2)
"""What black and white mean in the brain window, in HU."""

JPEG_GREY = 0.02
"""How far compression may take black and white from 0 and 1."""

FIELD_OF_VIEW = 250.0
"""Millimetres over the columns of a picture: usual for a head."""

SLICE_STEP = 5.0
"""Millimetres between slices (the data set's paper)."""

PAPER_CLEAN = 75
"""Slices without bleeding in the paper's Table 2."""

SliceTypes = dict[int, frozenset[str]]
"""Types by slice number, from 0; empty is clean."""


@dataclass(frozen=True)
class _Scan:
    """A patient's scan.

    Attributes:
        volume: in HU.
        marked: (slices, rows, columns): the binary mask.
        numbers: the tables' slice number, from 0, of each slice.
        said: what is to be said of it.
    """

    volume: Volume
    marked: NDArray[np.bool_]
    numbers: Sequence[int]
    said: Sequence[str] = ()


@dataclass(frozen=True)
class PhysionetImporter(Importer):
    """CT-ICH 1.3.1 or 1.0.0, whichever is there.

    Attributes:
        source: the data set's folder.
        classes: the task's class names.
        multi: what to do with slices of several types.
        clean: so many slices without bleeding, drawn at random; None: all. With it, a patient without any slice that is
            left is no case.
        seed: of the draw.
    """

    name = "physionet"
    source: Path
    classes: Sequence[str]
    multi: Multi = Multi.ANY
    clean: int | None = None
    seed: int = 0

    def plan(self, context: ImportContext) -> Sequence[PlannedCase]:
        """One case a patient."""
        check_types(self.classes)
        root, raw = _root(self.source)
        labels, contradictory = _labels(root / (RAW_TABLE if raw else PICTURE_TABLE))
        read = partial(_read_raw if raw else _read_pictures, root)
        scans = _numbers(root / "ct_scans", r"(\d+)\.nii(\.gz)?") if raw else _numbers(root / "Patients_CT", r"(\d+)")
        undrawn = self._undrawn({patient: labels[patient] for patient in sorted(labels.keys() & scans.keys())})
        for patient in sorted(labels.keys() - scans.keys()):
            context.report.leave_out(f"patient {patient}", "is in the table, but has no scan")
        if not raw:
            context.report.note(
                f"pixel spacing is not in a picture: {FIELD_OF_VIEW:g} mm over its columns and {SLICE_STEP:g} mm "
                "between slices are assumed"
            )
        if self.clean is not None:
            bleeds = [types for patient in scans for types in labels.get(patient, {}).values() if types]
            context.report.note(
                f"{len(bleeds)} slices are labelled with bleeding (version 1.0.0, the paper's: 318); of those labelled "
                f"clean {sum(map(len, undrawn.values()))} are not drawn (seed {self.seed})"
            )
        return [
            PlannedCase(
                f"physionet-{patient:03d}",
                name,
                partial(
                    self._read,
                    partial(read, name),
                    patient,
                    labels.get(patient),
                    contradictory.get(patient, {}),
                    undrawn.get(patient, frozenset()),
                ),
            )
            for patient, name in sorted(scans.items())
            if self.clean is None or labels.get(patient, {}).keys() - undrawn.get(patient, frozenset())
        ]

    def _undrawn(self, labels: Mapping[int, SliceTypes]) -> dict[int, frozenset[int]]:
        """Numbers of the slices labelled clean that are not among the `clean` that are drawn, by patient."""
        if self.clean is None:
            return {}
        found = [
            (patient, number) for patient, slices in labels.items() for number in sorted(slices) if not slices[number]
        ]
        order = np.random.default_rng(self.seed).permutation(len(found))
        rest: dict[int, set[int]] = {}
        for index in order[self.clean :]:
            patient, number = found[index]
            rest.setdefault(patient, set()).add(number)
        return {patient: frozenset(numbers) for patient, numbers in rest.items()}

    def _read(
        self,
        read: Callable[[], _Scan],
        patient: int,
        labels: SliceTypes | None,
        wrong: Mapping[int, str],
        undrawn: Collection[int],
    ) -> CaseContent:
        """A patient's scan with class masks, less the slices that cannot be used."""
        if labels is None:
            raise InputError(f"patient {patient}", "has no row in the table")
        scan = read()
        volume, slices = scan.volume, len(scan.numbers)
        known = {index: labels[number] for index, number in enumerate(scan.numbers) if number in labels}
        typed = type_mask(scan.marked, known, volume.hu, self.classes, multi=self.multi)
        # A slice without labels that is not marked either may hold blood that nobody was asked about.
        left_out = {index: "has no row in the table" for index in range(slices) if index not in known}
        left_out |= typed.left_out
        left_out |= {index: wrong[number] for index, number in enumerate(scan.numbers) if number in wrong}
        said = list(scan.said)
        beyond = sorted(number + 1 for number in labels.keys() - set(scan.numbers))
        if beyond:
            said.append(f"the table labels slices that the scan does not have: {', '.join(map(str, beyond))}")
        kept = [index for index in range(slices) if index not in left_out and scan.numbers[index] not in undrawn]
        if not kept:
            reason = f"none of its {slices} slices can be used; the first one {left_out[min(left_out)]}"
            raise InputError(f"patient {patient}", reason)
        split = [scan.numbers[index] + 1 for index in typed.split if index in kept]
        told = f", types told apart in slices {', '.join(map(str, split))}" if split else ""
        used = keep_slices(volume, kept)
        mask = LabelMap.from_slices(typed.mask[kept], used.geometry, self.classes)
        return CaseContent(
            volume=used,
            what=f"{len(kept)} of {slices} slices, {len(mask.filled)} of them with masks{told}",
            role=Role.PIXEL,
            patient=f"physionet-{patient:03d}",
            mask=mask,
            facts={"data_set": "PhysioNet CT-ICH", "source_slices": [scan.numbers[index] + 1 for index in kept]},
            left_out=[*said, *(f"slice {scan.numbers[i] + 1} {why}" for i, why in sorted(left_out.items()))],
        )


def _root(source: Path) -> tuple[Path, bool]:
    """The folder that holds the tables, and whether it is the version in HU."""
    if not source.is_dir():
        raise InputError(source.name or str(source), "is no folder; give the folder of CT-ICH")
    for root in (source, *sorted(path for path in source.iterdir() if path.is_dir())):
        if (root / RAW_TABLE).is_file() and (root / "ct_scans").is_dir():
            return root, True
        if (root / PICTURE_TABLE).is_file() and (root / "Patients_CT").is_dir():
            return root, False
    raise InputError(
        source.name or str(source),
        f"holds neither ct_scans and {RAW_TABLE} (1.3.1) nor Patients_CT and {PICTURE_TABLE} (1.0.0)",
    )


def _numbers(folder: Path, pattern: str) -> dict[int, str]:
    """Entry by patient number."""
    found = ((re.fullmatch(pattern, path.name), path.name) for path in sorted(folder.iterdir()))
    return {int(match.group(1)): name for match, name in found if match}


def _labels(table: Path) -> tuple[dict[int, SliceTypes], dict[int, dict[int, str]]]:
    """Types by patient and slice, and what is wrong with rows that cannot be used."""
    labels: dict[int, SliceTypes] = {}
    wrong: dict[int, dict[int, str]] = {}
    for row in read_table(table, ("PatientNumber", "SliceNumber", "No_Hemorrhage", *OUTSIDE_IN)):
        patient, number = row.whole("PatientNumber"), row.whole("SliceNumber") - 1
        present = frozenset(name for name in OUTSIDE_IN if row.flag(name))
        slices = labels.setdefault(patient, {})
        if row.flag("No_Hemorrhage") == bool(present):
            says = "No_Hemorrhage" if present else "neither a type nor No_Hemorrhage"
            wrong.setdefault(patient, {})[number] = f"is labelled {', '.join(sorted([*present, says]))}"
        elif slices.setdefault(number, present) != present:
            wrong.setdefault(patient, {})[number] = "has two rows that contradict each other"
    return labels, wrong


def _read_raw(root: Path, name: str) -> _Scan:
    """Version 1.3.1: a scan and its mask."""
    mask_path = root / "masks" / name
    if not mask_path.is_file():
        raise InputError(name, "has no mask of its name in masks/")
    volume = read_volume(root / "ct_scans" / name)
    # By index: the data set's own script never looks at the affines.
    native = read_label(mask_path).native
    if native.shape != volume.geometry.native_shape:
        raise InputError(f"masks/{name}", f"has {native.shape} voxels, its scan {volume.geometry.native_shape}")
    if volume.geometry.orientation.axes[0] != 2:
        raise InputError(name, "its slices do not lie along the third axis")
    marked = volume.geometry.orientation.to_slices(native != 0)
    return _Scan(volume, marked, range(volume.hu.shape[0]))


def _read_pictures(root: Path, name: str) -> _Scan:
    """Version 1.0.0: pictures stacked in the order of their numbers."""
    folder = root / "Patients_CT" / name
    brains = _numbers(folder / "brain", r"(\d+)\.jpe?g") if (folder / "brain").is_dir() else {}
    if not brains:
        raise InputError(name, "holds no pictures brain/<number>.jpg")
    numbers = sorted(brains)
    said = []
    missing = sorted(set(range(1, numbers[-1])) - set(numbers))
    if missing:
        said.append(f"there is no picture of slice {', '.join(map(str, missing))}")
    planes: list[NDArray[np.int16]] = []
    marks: list[NDArray[np.bool_]] = []
    for number in numbers:
        plane, boned = _hounsfield(folder / "brain" / brains[number], folder / "bone" / brains[number])
        if not boned:
            said.append(f"slice {number} has no usable bone picture: its bone reads as {BLACK_WHITE[1]:g} HU")
        if planes and plane.shape != planes[0].shape:
            raise InputError(name, f"its pictures differ in size ({plane.shape}, {planes[0].shape})")
        mask_path = folder / "brain" / f"{Path(brains[number]).stem}_HGE_Seg.jpg"
        mask = read_binary_mask(mask_path) if mask_path.is_file() else np.zeros(plane.shape, bool)
        if mask.shape != plane.shape:
            raise InputError(mask_path.name, f"has {mask.shape} pixels, its picture {plane.shape}")
        planes.append(plane)
        marks.append(mask)
    rows, columns = planes[0].shape
    if min(rows, columns) < MIN_SIDE:
        raise InputError(name, f"its pictures have {rows} x {columns} pixels: too few for a CT")
    spacing = FIELD_OF_VIEW / columns
    geometry = Geometry.of((columns, rows, len(planes)), np.diag([-spacing, -spacing, SLICE_STEP, 1.0]))
    # Pictures show what slices are: rows to posterior, columns to left.
    return _Scan(Volume(np.stack(planes), geometry), np.stack(marks), [number - 1 for number in numbers], said)


def _hounsfield(brain: Path, bone: Path) -> tuple[NDArray[np.int16], bool]:
    """(rows, columns) HU of a slice, and whether the bone window had a say."""
    grey = read_grey(brain)
    low, high = BLACK_WHITE
    hu = low + grey * (high - low)
    dense = read_grey(bone) if bone.is_file() else None
    if dense is None or dense.shape != grey.shape:
        return np.rint(hu).astype(np.int16), False
    wide = BONE[0] - BONE[1] / 2 + dense * BONE[1]
    hu = np.where(grey >= 1 - JPEG_GREY, np.maximum(wide, high), np.where(grey <= JPEG_GREY, np.minimum(wide, low), hu))
    return np.rint(hu).astype(np.int16), True
