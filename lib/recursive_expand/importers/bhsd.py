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
from functools import partial
from pathlib import Path

from recursive_expand.archives.identifiers import split_name
from recursive_expand.archives.images import read_volume
from recursive_expand.cases import ImageLabels, Role
from recursive_expand.errors import InputError
from recursive_expand.importers.bleed_types import ABBREVIATIONS, check_types
from recursive_expand.importers.content import CaseContent, PlannedCase, import_cases
from recursive_expand.importers.mask_files import check_values, labels_of, map_values, present_types, read_mask_on
from recursive_expand.importers.pseudonyms import rsna_patient
from recursive_expand.importers.report import ImportReport, Progress, no_progress

LABELLED, IMAGES, MASKS = "label_192", "images", "ground truths"
UNLABELLED = "unlabel*"

VALUES = dict(enumerate((ABBREVIATIONS[name] for name in ("EDH", "IPH", "IVH", "SAH", "SDH")), start=1))
"""Class by mask value."""

_NAME = re.compile(r"(ID_[0-9a-f]+)_(ID_[0-9a-f]+)")


def import_bhsd(
    source: Path,
    studies: Path,
    classes: Sequence[str],
    *,
    role: Role = Role.PIXEL,
    values: Mapping[int, str] | None = None,
    report: Progress = no_progress,
) -> ImportReport:
    """Import the volumes with masks, or with role `unlabelled` those without; what is there already is skipped.

    Args:
        source: the data set's folder.
        studies: where the cases go; made if missing.
        classes: the task's class names.
        role: `pixel`, `test`, `image` (of masks, only the types of each slice are kept) or `unlabelled`.
        values: class name by mask value; None or empty: the data set's own.
        report: told of the progress.

    Raises:
        InputError: where the folder is another one, or an option does not fit.
    """
    check_types(classes)
    check_values(values or {}, classes)
    done = ImportReport()
    root = source / LABELLED if (source / LABELLED).is_dir() else source
    if role is Role.UNLABELLED:
        folders = [path for path in sorted(source.glob(UNLABELLED)) if path.is_dir()]
        if not folders and not (root / MASKS).is_dir():
            folders = [source]
        images = [path for folder in folders for path in sorted(folder.rglob("*")) if split_name(path.name)]
        masks: dict[str, Path] = {}
    else:
        if not (root / IMAGES).is_dir() or not (root / MASKS).is_dir():
            raise InputError(source.name or str(source), f"does not hold {LABELLED}/{IMAGES} and {LABELLED}/{MASKS}")
        images = [path for path in sorted((root / IMAGES).iterdir()) if split_name(path.name)]
        masks = {path.name: path for path in sorted((root / MASKS).iterdir()) if split_name(path.name)}
        for name in sorted(masks.keys() - {path.name for path in images}):
            done.leave_out(f"{MASKS}/{name}", "has no image of its name")
    planned = []
    for path in images:
        match = _NAME.fullmatch(path.name.split(".")[0])
        if match is None:
            done.leave_out(path.name, "is not called ID_<patient>_ID_<study>")
            continue
        patient, study = match.groups()
        planned.append(
            PlannedCase(
                f"bhsd-{patient.removeprefix('ID_')}-{study.removeprefix('ID_')}",
                path.name,
                partial(_read_case, path, masks.get(path.name), patient, role, classes, values or VALUES),
            )
        )
    if not planned:
        done.leave_out(source, "holds no volume")
    return import_cases("bhsd", planned, studies, done, classes=classes, report=report)


def _read_case(
    path: Path,
    mask_path: Path | None,
    patient: str,
    role: Role,
    classes: Sequence[str],
    values: Mapping[int, str],
) -> CaseContent:
    if mask_path is None and role is not Role.UNLABELLED:
        raise InputError(path.name, f"has no mask of its name in {MASKS}/")
    volume = read_volume(path)
    mask = None
    if mask_path is not None:
        mask = map_values(read_mask_on(mask_path, volume.geometry), values, classes, f"{MASKS}/{mask_path.name}")
    labels: dict[int | None, ImageLabels] = {}
    if mask is not None and role is Role.IMAGE:
        labels = {number: labels_of(plane, classes) for number, plane in enumerate(mask)}
    size = " x ".join(map(str, volume.geometry.native_shape))
    return CaseContent(
        volume,
        f"{size} voxels; {present_types(mask, classes)}",
        role=role,
        patient=rsna_patient(patient),
        mask=None if role is Role.IMAGE else mask,
        image_labels=labels,
    )
