"""Import HemSeg-200 and HemSeg-500 (Song et al., 2024): masks for exams of RSNA 2019, which come without the scans.

    <SRC>/annotion_file_info.jsonl       {"patient": "ID_00e394df", "scan_": "bf7891541c", "slice_list": ["fd503db37"]}
    <SRC>/annotion_file_info_500.jsonl   {"patient_name": ..., "scan_name": ..., "slice_list": {"0": "7624b0593"}}
    <SRC>/**/{train,val,test}/label/bf7891541c.nii.gz    of IPH_IVH_label.zip and HemSeg-500.zip, unpacked; 0 and 1
    <RSNA>/stage_2_train/ID_fd503db37.dcm and <RSNA>/stage_2_train.csv    the scans' slices and their types

An exam is a case, `hemseg-bf7891541c`, of role `pixel` unless another one is given. The masks mark intraparenchymal and
intraventricular bleeding alike, so RSNA's labels tell which it is, slice by slice (`typed_masks`), and slices that hold
another type, which HemSeg does not mark, are left out. An exam that is in both sets is taken from HemSeg-500.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from recursive_expand.cases import ImageLabels, LabelMap, Role
from recursive_expand.dicom.series import read_series
from recursive_expand.errors import InputError
from recursive_expand.importers.bleed_types import check_types
from recursive_expand.importers.importer import CaseContent, ImportContext, Importer, PlannedCase
from recursive_expand.importers.kept_slices import keep_slices
from recursive_expand.importers.mask_files import present_types, read_mask_on
from recursive_expand.importers.pseudonyms import rsna_patient
from recursive_expand.importers.rsna import IMAGES, rsna_root
from recursive_expand.importers.rsna_labels import TABLE, RsnaLabels, read_rsna_labels
from recursive_expand.importers.typed_masks import Multi, type_mask

EXAMS = "annotion_file_info*.jsonl"
"""Spelt as distributed."""

MARKED = frozenset({"intraparenchymal", "intraventricular"})
"""What HemSeg marks."""


@dataclass(frozen=True)
class _Exam:
    """An exam of the lists: its patient, and its slices' image ids (`ID_fd503db37`)."""

    patient: str
    images: tuple[str, ...]


@dataclass(frozen=True)
class HemsegImporter(Importer):
    """The exams that have a mask.

    Attributes:
        source: HemSeg's folder, archives unpacked.
        classes: the task's class names.
        rsna: RSNA 2019's folder.
        role: `pixel`, `test` or `image` (the masks are not kept, RSNA's labels are).
        multi: what to do with slices of both types.
    """

    name = "hemseg"
    source: Path
    classes: Sequence[str]
    rsna: Path
    role: Role = Role.PIXEL
    multi: Multi = Multi.SKIP

    def plan(self, context: ImportContext) -> Sequence[PlannedCase]:
        """One case an exam."""
        check_types(self.classes)
        if self.role is Role.UNLABELLED:
            raise InputError("--role unlabelled", "is not possible here; choose pixel, test or image")
        exams = _exams(self.source)
        root = rsna_root(self.rsna)
        labels = read_rsna_labels(root / TABLE, context.on_progress)
        # The larger set last: it counts where an exam is in both.
        files = sorted(self.source.rglob("label/*.nii.gz"), key=lambda path: ("HemSeg-500" in path.parts, path))
        masks = {path.name.removesuffix(".nii.gz"): path for path in files}
        for name in sorted(masks.keys() - exams.keys()):
            context.report.leave_out(f"{name}.nii.gz", f"is in no list {EXAMS}")
        for name in sorted(exams.keys() - masks.keys()):
            context.report.leave_out(name, "has no mask <...>/label/<exam>.nii.gz; unpack the archive of masks")
        return [
            PlannedCase(f"hemseg-{name}", name, partial(self._read, exams[name], masks[name], root / IMAGES, labels))
            for name in sorted(exams.keys() & masks.keys())
        ]

    def _read(self, exam: _Exam, mask_path: Path, images: Path, labels: RsnaLabels) -> CaseContent:
        missing = [image for image in exam.images if not (images / f"{image}.dcm").is_file()]
        if missing:
            reason = f"is not in {IMAGES}/ ({len(missing)} of {len(exam.images)} are not)"
            raise InputError(f"{missing[0]}.dcm", reason)
        series = read_series([images / f"{image}.dcm" for image in exam.images])
        if len(series.files) != len(exam.images):
            reason = f"has slices that cannot be used, so its mask fits no more: {series.left_out[0]}"
            raise InputError("exam", reason)
        types = {n: labels.types[path.stem] for n, path in enumerate(series.files) if path.stem in labels.types}
        volume, patient = series.volume, rsna_patient(exam.patient)
        if self.role is Role.IMAGE:
            found: dict[int | None, ImageLabels] = {number: ImageLabels(names) for number, names in types.items()}
            return CaseContent(volume, series.what, role=self.role, patient=patient, image_labels=found)
        marked = read_mask_on(mask_path, volume).slices > 0
        known = {number: names for number, names in types.items() if names <= MARKED}
        typed = type_mask(marked, known, volume.hu, self.classes, multi=self.multi)
        left_out = typed.left_out | _unusable(types, len(marked))
        kept = [number for number in range(len(marked)) if number not in left_out]
        if not kept:
            raise InputError("exam", f"none of its {len(marked)} slices can be used; the first one {left_out[0]}")
        used = keep_slices(volume, kept)
        mask = LabelMap.from_slices(typed.mask[kept], used.geometry, self.classes)
        return CaseContent(
            used,
            f"{len(kept)} of {len(marked)} slices; {present_types(mask)}",
            role=self.role,
            patient=patient,
            mask=mask,
            facts={"data_set": "HemSeg", "images": [series.files[number].stem for number in kept]},
            left_out=[f"slice {number} {why}" for number, why in sorted(left_out.items())],
        )


def _unusable(types: Mapping[int, frozenset[str]], slices: int) -> dict[int, str]:
    """Why HemSeg's mask says nothing of a slice, by slice number."""
    left_out = {number: "has no usable label in RSNA's table" for number in range(slices) if number not in types}
    for number, names in types.items():
        if not names <= MARKED:
            left_out[number] = f"holds {', '.join(sorted(names - MARKED))} too, which HemSeg does not mark"
    return left_out


def _exams(source: Path) -> dict[str, _Exam]:
    """Exams by name."""
    lists = sorted(source.glob(EXAMS)) if source.is_dir() else []
    if not lists:
        raise InputError(source.name or str(source), f"holds no {EXAMS}; give HemSeg's folder")
    exams: dict[str, _Exam] = {}
    for path in lists:
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            if not line.strip():
                continue
            try:
                item = json.loads(line)
                name = str(item["scan_name"] if "scan_name" in item else item["scan_"])
                patient = str(item["patient_name"] if "patient_name" in item else item["patient"])
                slices = item["slice_list"]
                images = slices.values() if isinstance(slices, Mapping) else slices
                # Some lists name a slice twice; the scan and its mask have it once.
                exams[name] = _Exam(patient, tuple(dict.fromkeys(f"ID_{image}" for image in images)))
            except (ValueError, KeyError, TypeError) as error:
                raise InputError(f"{path.name} line {number}", "is no exam with patient, scan and slices") from error
    return exams
