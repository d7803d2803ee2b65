"""Import single slices from pictures: one case per picture, with its mask where there is one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recursive_expand.cases import MIN_SIDE, Geometry, LabelMap, Role, Volume
from recursive_expand.errors import InputError
from recursive_expand.importers.head_size import spacing_of_heads
from recursive_expand.importers.importer import CaseContent, ImportContext, Importer, PlannedCase, case_of_name
from recursive_expand.importers.mask_files import labels_of
from recursive_expand.importers.pictures import EXTENSIONS, read_binary_mask, read_class_mask, read_grey
from recursive_expand.importers.report import ImportReport, LeftOut

SLICE_THICKNESS = 5.0
"""Millimetres along the slice axis, which no single slice can tell; nothing is computed from it."""
SPACING_MM = 0.5
"""Where no head tells better: 250 mm over 512 pixels."""
SLICES_SEEN = 200
"""So many pictures of a folder are looked at for the size of their heads."""


@dataclass(frozen=True)
class SliceSettings:
    """How pictures become cases.

    Attributes:
        classes: the task's class names.
        level: centre of the CT window that the pictures show, in HU.
        width: width of that window: black is level - width / 2, white is level + width / 2.
        role: `pixel` (needs masks), `test` (with or without), or `image` (masks only tell which classes are present).
        spacing: mm between pixels, which pictures do not tell; None: the one at which the heads are as large as
            adults', and where none is seen `SPACING_MM`.
        mask_class: class that binary masks mark.
        class_values: class name by the masks' value, for masks that hold several.
        mask_colour: the colour that marks the class; None: whatever is not background.
    """

    classes: Sequence[str]
    level: float
    width: float
    role: Role = Role.PIXEL
    spacing: float | None = None
    mask_class: str | None = None
    class_values: Mapping[int, str] = field(default_factory=dict)
    mask_colour: tuple[int, int, int] | None = None


@dataclass(frozen=True)
class SlicesImporter(Importer):
    """Every picture of a folder.

    Each picture becomes `<studies>/<case>.nii.gz`, one axial slice of int16 HU with rows towards posterior and columns
    towards the patient's left, and its mask `labels/final/<case>.nii.gz`. The role `test` is noted in cases.csv;
    of masks of role `image` only the classes are kept, in image_labels.csv.

    Attributes:
        source: a folder of pictures.
        settings: how they are read.
        masks: a folder of masks with the pictures' names (extensions may differ).
    """

    name = "slices"
    stage = "importing slices"
    source: Path
    settings: SliceSettings
    masks: Path | None = None

    @property
    def classes(self) -> Sequence[str]:  # type: ignore[override]
        """The task's class names."""
        return self.settings.classes

    def plan(self, context: ImportContext) -> Sequence[PlannedCase]:
        """One case a picture."""
        values = _check(self.source, self.masks, self.settings)
        report = context.report
        pictures = _by_stem(self.source, report)
        masks = _by_stem(self.masks, report) if self.masks else None
        settings = replace(self.settings, spacing=_spacing(pictures, self.settings, report))
        planned: dict[str, PlannedCase] = {}
        for stem, path in sorted(pictures.items()):
            try:
                case_id = case_of_name(stem)
            except InputError as error:
                report.leave_out(path.name, f"{error.reason}; rename it")
                continue
            read = partial(_read_case, path, masks, settings, values)
            first = planned.setdefault(case_id.casefold(), PlannedCase(case_id, path.name, read))
            if first.source != path.name:
                reason = f"would be case {case_id}, as {first.source} is; rename one"
                report.leave_out(path.name, reason, LeftOut.SAME_CASE)
        if not pictures:
            report.leave_out(self.source, f"holds no pictures ({', '.join(EXTENSIONS)})", LeftOut.EMPTY_SOURCE)
        return list(planned.values())


def _check(source: Path, masks: Path | None, settings: SliceSettings) -> dict[int, int]:
    """The task's mask value by the masks' value; empty for binary masks."""
    for folder in (source, *([masks] if masks else [])):
        if not folder.is_dir():
            raise InputError(folder.name or str(folder), "is no folder; give a folder of pictures")
    if settings.width <= 0 or (settings.spacing is not None and settings.spacing <= 0):
        raise InputError("--width and --spacing", "must be above 0")
    if settings.role not in (Role.PIXEL, Role.IMAGE, Role.TEST):
        raise InputError(f"--role {settings.role}", "is not possible here; choose pixel, image or test")
    names = ", ".join(settings.classes)
    if masks is None:
        if settings.role is Role.PIXEL:
            raise InputError("--role pixel", "needs masks; give their folder with --masks, or choose --role image")
        return {}
    if settings.mask_class is None and not settings.class_values:
        raise InputError(
            "--class", f"is missing: say which class the masks mark (one of {names}), or give --class-values"
        )
    if settings.mask_class is not None and settings.class_values:
        raise InputError("--class and --class-values", "exclude each other; give one")
    for name in (*settings.class_values.values(), *([settings.mask_class] if settings.mask_class else [])):
        if name not in settings.classes:
            raise InputError(f"class {name!r}", f"is not in the task; choose one of {names}")
    return {value: settings.classes.index(name) + 1 for value, name in settings.class_values.items()}


def _by_stem(folder: Path, report: ImportReport) -> dict[str, Path]:
    """Pictures by name without extension; several of one name are left out."""
    found: dict[str, list[Path]] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in EXTENSIONS and not path.name.startswith(".") and path.is_file():
            found.setdefault(path.stem, []).append(path)
    for paths in found.values():
        if len(paths) > 1:
            report.leave_out(", ".join(path.name for path in paths), "have the same name; keep one")
    return {stem: paths[0] for stem, paths in found.items() if len(paths) == 1}


def _spacing(pictures: Mapping[str, Path], settings: SliceSettings, report: ImportReport) -> float:
    """mm between pixels, as it is given or as the heads' size tells, which the report says."""
    if settings.spacing is not None:
        report.note(f"pixel spacing is not in a picture: {settings.spacing:g} mm is assumed (--spacing)")
        return settings.spacing
    paths = list(pictures.values())
    spacing = spacing_of_heads(_readable(paths[:: -(-len(paths) // SLICES_SEEN) or 1], settings))
    if spacing is None:
        report.note(
            f"pixel spacing is not in a picture, and no skull tells it: {SPACING_MM:g} mm is assumed (--spacing)"
        )
        return SPACING_MM
    report.note(f"pixel spacing is not in a picture: {spacing:g} mm fits the size of the heads (--spacing)")
    return spacing


def _readable(paths: Sequence[Path], settings: SliceSettings) -> Iterator[NDArray[np.int16]]:
    """The pictures that can be read; the import tells of the others."""
    for path in paths:
        with suppress(InputError):
            yield _hounsfield(path, settings)


def _read_case(
    path: Path, masks: Mapping[str, Path] | None, settings: SliceSettings, values: Mapping[int, int]
) -> CaseContent:
    hu = _hounsfield(path, settings)
    mask = None if masks is None else _mask(path, masks.get(path.stem), hu.shape, settings, values)
    content = CaseContent(
        Volume(hu[None], _geometry(hu.shape, settings.spacing or SPACING_MM)),
        f"{hu.shape[1]} x {hu.shape[0]} pixels, {settings.role}",
        # The other roles follow from the labels.
        role=Role.TEST if settings.role is Role.TEST else None,
    )
    if mask is None:
        return content
    if settings.role is Role.IMAGE:
        return replace(content, image_labels={None: labels_of(mask, settings.classes)})
    return replace(content, mask=LabelMap.from_slices(mask[None], content.volume.geometry, settings.classes))


def _hounsfield(path: Path, settings: SliceSettings) -> NDArray[np.int16]:
    """(rows, columns) HU of a picture."""
    grey = read_grey(path)
    if min(grey.shape) < MIN_SIDE:
        raise InputError(path.name, f"has {grey.shape[0]} x {grey.shape[1]} pixels: too few for a CT")
    hu = settings.level - settings.width / 2 + grey * settings.width
    return np.clip(np.rint(hu), -32768, 32767).astype(np.int16)


def _mask(
    picture: Path, path: Path | None, shape: tuple[int, ...], settings: SliceSettings, values: Mapping[int, int]
) -> NDArray[np.uint8] | None:
    """(rows, columns) of the task's mask values, or None for a test slice without a mask."""
    if path is None:
        if settings.role is Role.TEST:
            return None
        raise InputError(picture.name, "has no mask of its name; give an all-black one if there is nothing to mark")
    if values:
        mask = read_class_mask(path, values)
    else:
        marked = read_binary_mask(path, settings.mask_colour)
        mask = marked.astype(np.uint8) * np.uint8(settings.classes.index(settings.mask_class or "") + 1)
    if mask.shape != shape:
        sizes = [f"{columns} x {rows}" for rows, columns in (mask.shape, shape)]
        raise InputError(path.name, f"the mask has {sizes[0]} pixels, its picture {sizes[1]}; they must match")
    return mask


def _geometry(shape: tuple[int, ...], spacing: float) -> Geometry:
    """One axial slice as radiologists look at it: columns towards left, rows towards posterior."""
    rows, columns = shape
    return Geometry.of((columns, rows, 1), np.diag([-spacing, -spacing, SLICE_THICKNESS, 1.0]))
