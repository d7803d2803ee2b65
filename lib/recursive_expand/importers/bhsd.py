"""Import BHSD (Wu et al., 2023): volumes made of RSNA 2019, 192 of them with class masks.

    <SRC>/label_192/images/ID_b1d5d5e8_ID_4cfa36b63f.nii.gz           patient and study, as RSNA names them
    <SRC>/label_192/ground truths/ID_b1d5d5e8_ID_4cfa36b63f.nii.gz    0 background, 1 epidural, 2 intraparenchymal,
                                                                      3 intraventricular, 4 subarachnoid, 5 subdural
    <SRC>/unlabel_1980/ID_..._ID_....nii.gz                           without masks; only with role `unlabelled`

SRC may also be label_192 itself. A volume is a case, `bhsd-b1d5d5e8-4cfa36b63f`, of role `pixel` unless another one is
given. The order of the classes is the data set's paper's; `--class-values` gives another one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from recursive_expand.archives.identifiers import split_name
from recursive_expand.archives.images import read_volume
from recursive_expand.cases import ImageLabels, Role
from recursive_expand.errors import InputError
from recursive_expand.importers.bleed_types import ABBREVIATIONS, check_types
from recursive_expand.importers.importer import CaseContent, ImportContext, Importer, PlannedCase
from recursive_expand.importers.mask_files import check_values, labels_of, map_values, present_types, read_mask_on
from recursive_expand.importers.pseudonyms import rsna_patient
from recursive_expand.importers.report import LeftOut

LABELLED, IMAGES, MASKS = "label_192", "images", "ground truths"
UNLABELLED = "unlabel*"

VALUES = dict(enumerate((ABBREVIATIONS[name] for name in ("EDH", "IPH", "IVH", "SAH", "SDH")), start=1))
"""Class by mask value."""

_NAME = re.compile(r"(ID_[0-9a-f]+)_(ID_[0-9a-f]+)")


@dataclass(frozen=True)
class BhsdImporter(Importer):
    """The volumes with masks, or with role `unlabelled` those without.

    Attributes:
        source: the data set's folder.
        classes: the task's class names.
        role: `pixel`, `test`, `image` (of masks, only the types of each slice are kept) or `unlabelled`.
        values: class name by mask value; None or empty: the data set's own.
    """

    name = "bhsd"
    source: Path
    classes: Sequence[str]
    role: Role = Role.PIXEL
    values: Mapping[int, str] | None = None

    def plan(self, context: ImportContext) -> Sequence[PlannedCase]:
        """One case a volume."""
        check_types(self.classes)
        check_values(self.values or {}, self.classes)
        report = context.report
        images, masks = self._files()
        if self.role is not Role.UNLABELLED:
            for name in sorted(masks.keys() - {path.name for path in images}):
                report.leave_out(f"{MASKS}/{name}", "has no image of its name")
        planned = []
        for path in images:
            match = _NAME.fullmatch(path.name.split(".")[0])
            if match is None:
                report.leave_out(path.name, "is not called ID_<patient>_ID_<study>")
                continue
            patient, study = match.groups()
            case_id = f"bhsd-{patient.removeprefix('ID_')}-{study.removeprefix('ID_')}"
            read = partial(self._read, path, masks.get(path.name), patient)
            planned.append(PlannedCase(case_id, path.name, read))
        if not planned:
            report.leave_out(self.source, "holds no volume", LeftOut.EMPTY_SOURCE)
        return planned

    def _files(self) -> tuple[list[Path], dict[str, Path]]:
        """Images, and masks by name."""
        root = self.source / LABELLED if (self.source / LABELLED).is_dir() else self.source
        if self.role is Role.UNLABELLED:
            folders = [path for path in sorted(self.source.glob(UNLABELLED)) if path.is_dir()]
            if not folders and not (root / MASKS).is_dir():
                folders = [self.source]
            return [path for folder in folders for path in sorted(folder.rglob("*")) if split_name(path.name)], {}
        if not (root / IMAGES).is_dir() or not (root / MASKS).is_dir():
            name = self.source.name or str(self.source)
            raise InputError(name, f"does not hold {LABELLED}/{IMAGES} and {LABELLED}/{MASKS}")
        images = [path for path in sorted((root / IMAGES).iterdir()) if split_name(path.name)]
        return images, {path.name: path for path in sorted((root / MASKS).iterdir()) if split_name(path.name)}

    def _read(self, path: Path, mask_path: Path | None, patient: str) -> CaseContent:
        if mask_path is None and self.role is not Role.UNLABELLED:
            raise InputError(path.name, f"has no mask of its name in {MASKS}/")
        volume = read_volume(path)
        mask = None
        if mask_path is not None:
            found = read_mask_on(mask_path, volume)
            mask = map_values(found, self.values or VALUES, self.classes, f"{MASKS}/{mask_path.name}")
        labels: dict[int | None, ImageLabels] = {}
        if mask is not None and self.role is Role.IMAGE:
            labels = {number: labels_of(plane, self.classes) for number, plane in enumerate(mask.slices)}
        size = " x ".join(map(str, volume.geometry.native_shape))
        return CaseContent(
            volume,
            f"{size} voxels; {present_types(mask)}",
            role=self.role,
            patient=rsna_patient(patient),
            mask=None if self.role is Role.IMAGE else mask,
            image_labels=labels,
        )
