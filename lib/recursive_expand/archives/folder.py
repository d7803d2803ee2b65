"""A folder of studies: images, labels and tables on a file system."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from recursive_expand.archives.atomic import atomic_path, sweep, sync_folder, write_atomic
from recursive_expand.archives.cache import signature
from recursive_expand.archives.identifiers import EXTENSIONS, check_id, check_new_id, split_name
from recursive_expand.archives.images import read_geometry, read_mask, read_volume, write_mask
from recursive_expand.archives.patients import in_two_roles
from recursive_expand.archives.scan import FoundCase, Scan, SetAside
from recursive_expand.archives.tables import (
    CASES,
    IMAGE_LABELS,
    ImageLabelTable,
    RoleTable,
    read_image_labels,
    read_roles,
)
from recursive_expand.cases import Geometry, ImageLabels, Role, Volume
from recursive_expand.errors import InputError

TAGS = ("final", "rejected")
"""Label tags that the folder holds; proposals are in the workspace."""


class FolderArchive:
    """Scans `<case>.nii.gz|.nii|.nrrd` in one folder, with their labels in `labels/<tag>` and two optional tables."""

    def __init__(self, studies: Path, classes: Sequence[str] = ()) -> None:
        """Use a folder that exists.

        Args:
            studies: the folder.
            classes: the task's class names, the columns of image_labels.csv; without them that table is not read.

        Raises:
            InputError: where there is no such folder.
        """
        if not studies.is_dir():
            raise InputError(studies.name or str(studies), "is no folder; give the folder that holds the scans")
        self.studies = studies.resolve()
        self._classes = tuple(classes)

    def scan(self) -> Scan:
        """Look at the folder: names, sizes, tables; no voxels. Whatever cannot be used is set aside with the reason."""
        images, set_aside = self._images()
        experts, label_lines = self._expert_masks(images)
        roles = read_roles(self.studies / CASES, images)
        table = ImageLabelTable()
        if self._classes:
            table = read_image_labels(
                self.studies / IMAGE_LABELS, images, self._classes, lambda case: read_geometry(images[case][0]).shape[0]
            )
        set_aside += [*label_lines, *roles.set_aside, *table.set_aside]
        broken = {line.case_id for line in (*label_lines, *roles.set_aside) if line.kind == "case"}
        cases: list[FoundCase] = []
        for case_id in sorted(images.keys() - broken):
            path, stamp = images[case_id]
            labels = table.labels.get(case_id, {})
            try:
                role = _role(case_id, roles, experts, labels)
            except InputError as error:
                set_aside.append(SetAside(case_id, error.source, error.reason))
                continue
            if role is Role.UNLABELLED and roles.roles.get(case_id) is Role.IMAGE:
                reason = f"case {case_id} has no usable row in {IMAGE_LABELS}; it counts as {Role.UNLABELLED}"
                set_aside.append(SetAside(case_id, roles.lines[case_id], reason, "row"))
            mask = experts.get(case_id) if role in (Role.PIXEL, Role.TEST) else None
            cases.append(FoundCase(case_id, path, role, mask, labels, stamp, roles.patients.get(case_id)))
        if not images and not set_aside:
            set_aside.append(SetAside(None, self.studies.name, self._nothing(), "folder"))
        # A mask that an expert drew while the study ran moves its case to the pixel set, and nobody else's.
        drawn = {case_id for case_id in experts.keys() - roles.roles.keys() if _sidecar(experts[case_id]).exists()}
        refused = in_two_roles({case.case_id: (case.role, case.patient) for case in cases if case.case_id not in drawn})
        set_aside += [SetAside(case_id, CASES, reason) for case_id, reason in refused.items()]
        return Scan([case for case in cases if case.case_id not in refused], set_aside)

    def image_path(self, case_id: str) -> Path | None:
        """The image of a case, or None if there is none.

        Raises:
            InputError: for a text that can be no case id.
        """
        check_id(case_id)
        for extension in EXTENSIONS:
            path = self.studies / f"{case_id}{extension}"
            if path.is_file():
                return path if self._inside(path) else None
        # Only folders with extensions in capitals get here, and clients that ask for what is not there.
        with os.scandir(self.studies) as entries:
            names = [entry.name for entry in entries if (split_name(entry.name) or ("",))[0] == case_id]
        paths = [self.studies / name for name in names]
        return next((path for path in paths if path.is_file() and self._inside(path)), None)

    def label_path(self, case_id: str, tag: str) -> Path:
        """Where the label of a case is or would be written.

        Raises:
            InputError: for a tag that is not in `TAGS`, an unknown case, and a label folder outside the studies.
        """
        if tag not in TAGS:
            raise InputError(f"label tag {tag[:40]!a}", f"is not known; choose one of {', '.join(TAGS)}")
        if self.image_path(case_id) is None:
            raise InputError(f"case id {case_id!a}", "names no case of this folder")
        folder = self.studies / "labels" / tag
        if not self._inside(folder):
            raise InputError(f"labels/{tag}", "is a link that leaves the studies folder; replace it by a folder")
        return folder / f"{case_id}.nii.gz"

    def write_label(
        self, case_id: str, tag: str, mask: NDArray[np.uint8], geometry: Geometry, info: Mapping[str, Any]
    ) -> Path:
        """Store a label and, beside it, what is known of it as JSON.

        Args:
            case_id: a case of this folder.
            tag: one of `TAGS`.
            mask: class values in the image's native axes.
            geometry: the image's.
            info: goes to `labels/<tag>/<case>.json`; with a key `verdict` the label does not count as an expert mask.

        Raises:
            InputError: as `label_path` does.
        """
        path = self.label_path(case_id, tag)
        path.parent.mkdir(parents=True, exist_ok=True)
        # First the sidecar: a mask without one would be taken for an expert's.
        write_atomic(_sidecar(path), json.dumps(dict(info), indent=1, ensure_ascii=False).encode())
        write_mask(path, mask, geometry)
        return path

    def remove_label(self, case_id: str, tag: str) -> None:
        """Remove a label and its JSON; a missing one is no error.

        Raises:
            InputError: as `label_path` does.
        """
        path = self.label_path(case_id, tag)
        if path.parent.is_dir():
            path.unlink(missing_ok=True)
            _sidecar(path).unlink(missing_ok=True)
            sync_folder(path.parent)

    def add_image(self, case_id: str, source: Path) -> Path:
        """Copy an image file in as a new case.

        Args:
            case_id: letters, digits, `.`, `_` and `-`.
            source: .nii.gz, .nii or .nrrd.

        Raises:
            InputError: for another id or file, and where the case exists, be it with other letter case or extension.
        """
        check_new_id(case_id)
        parts = split_name(source.name)
        if parts is None:
            raise InputError(source.name, f"is no image; only {', '.join(EXTENSIONS)} can be added")
        with os.scandir(self.studies) as entries:
            taken = [
                entry.name for entry in entries if (split_name(entry.name) or ("",))[0].casefold() == case_id.casefold()
            ]
        if taken:
            raise InputError(f"case id {case_id!r}", f"is taken by {taken[0]}; choose another id")
        path = self.studies / f"{case_id}{parts[1].lower()}"
        with atomic_path(path) as temporary:
            shutil.copyfile(source, temporary)
        return path

    def remove_image(self, case_id: str) -> None:
        """Remove the image of a case; its labels stay. A missing one is no error.

        Raises:
            InputError: for a text that can be no case id.
        """
        path = self.image_path(case_id)
        if path is not None:
            path.unlink()
            sync_folder(self.studies)

    def sweep(self) -> int:
        """Remove half-written files of a killed process; only while nobody writes. Returns how many there were."""
        return sum(sweep(folder) for folder in (self.studies, *(self.studies / "labels" / tag for tag in TAGS)))

    def _inside(self, path: Path) -> bool:
        try:
            return path.resolve().is_relative_to(self.studies)
        except (OSError, RuntimeError):  # a loop of links
            return False

    def _images(self) -> tuple[dict[str, tuple[Path, str]], list[SetAside]]:
        """(path, signature) by case id, and what looks like a case but can be none."""
        set_aside: list[SetAside] = []
        found: dict[str, list[tuple[str, Path, str]]] = {}
        with os.scandir(self.studies) as entries:
            ordered = sorted(entries, key=lambda entry: entry.name)
        for entry in ordered:
            parts = split_name(entry.name)
            if parts is None or entry.name.startswith("."):
                continue
            path = self.studies / entry.name
            try:
                check_id(parts[0])
                if entry.is_symlink() and not self._inside(path):
                    raise InputError(_shown(entry.name), "is a link that leaves the studies folder; copy the file here")
                if not entry.is_file():
                    raise InputError(_shown(entry.name), "is no file")
                stamp = signature(entry.stat())
            except InputError as error:
                set_aside.append(SetAside(None, _shown(entry.name), error.reason))
                continue
            except OSError as error:
                set_aside.append(SetAside(parts[0], entry.name, f"cannot be read ({error.strerror})"))
                continue
            found.setdefault(parts[0].casefold(), []).append((parts[0], path, stamp))
        images: dict[str, tuple[Path, str]] = {}
        for same in found.values():
            if len(same) == 1:
                case_id, path, stamp = same[0]
                images[case_id] = (path, stamp)
                continue
            for case_id, path, _ in same:
                others = ", ".join(other.name for _, other, _ in same if other != path)
                set_aside.append(
                    SetAside(case_id, path.name, f"has the same case id as {others}; rename or remove one")
                )
        return images, set_aside

    def _expert_masks(self, images: Mapping[str, Any]) -> tuple[dict[str, Path], list[SetAside]]:
        """Masks in labels/final that are not there because of a verdict, by case id, and labels of no use."""
        folder = self.studies / "labels" / "final"
        if not folder.is_dir():
            return {}, []
        if not self._inside(folder):
            return {}, [SetAside(None, "labels/final", "is a link that leaves the studies folder; not used", "row")]
        set_aside: list[SetAside] = []
        masks: dict[str, Path] = {}
        double: set[str] = set()
        with os.scandir(folder) as entries:
            ordered = sorted(entries, key=lambda entry: entry.name)
        sidecars = {entry.name for entry in ordered if entry.name.endswith(".json")}
        for entry in ordered:
            parts = split_name(entry.name)
            if parts is None or entry.name.startswith("."):
                continue
            case_id, file, path = parts[0], f"labels/final/{_shown(entry.name)}", folder / entry.name
            if case_id not in images:
                reason = "belongs to no case of this folder (case ids are compared letter by letter)"
                set_aside.append(SetAside(None, file, reason, "row"))
            elif (entry.is_symlink() and not self._inside(path)) or not entry.is_file():
                set_aside.append(SetAside(case_id, file, "is no file inside the studies folder; not used", "row"))
            elif case_id in masks:
                double.add(case_id)
                reason = f"case {case_id} has another mask, {masks[case_id].name}; remove one"
                set_aside.append(SetAside(case_id, file, reason))
            else:
                masks[case_id] = path
        for case_id in [case_id for case_id in masks if f"{case_id}.json" in sidecars]:
            try:
                info = json.loads((folder / f"{case_id}.json").read_bytes())
            except (OSError, ValueError):
                # Whether an expert drew the mask cannot be told: do not learn from it as if one had.
                reason = f"is not readable as JSON; the mask of case {case_id} is not used as an expert's"
                set_aside.append(SetAside(case_id, f"labels/final/{case_id}.json", reason, "row"))
                del masks[case_id]
                continue
            if isinstance(info, dict) and "verdict" in info:
                del masks[case_id]
        return {case_id: path for case_id, path in masks.items() if case_id not in double}, set_aside

    def _nothing(self) -> str:
        with os.scandir(self.studies) as entries:
            names = [entry.name.lower() for entry in entries if not entry.name.startswith(".")]
        reason = f"holds no scans ({', '.join('*' + extension for extension in EXTENSIONS)})"
        if any(name.endswith((".dcm", ".ima")) for name in names):
            return f"{reason}; bring its DICOM files in with: recursive-expand import dicom SRC --studies DIR"
        if any(name.endswith((".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")) for name in names):
            return f"{reason}; bring its pictures in with: recursive-expand import slices SRC --studies DIR"
        return reason


def check_case(
    found: FoundCase, classes: Sequence[str], *, read: Callable[[Path], Volume] = read_volume
) -> tuple[Volume, NDArray[np.uint8] | None]:
    """Read a case and its expert mask, and hold them against each other.

    Args:
        found: from `FolderArchive.scan`.
        classes: the task's class names; class k has mask value k + 1.
        read: how the image is read; the server reads through its cache.

    Returns:
        The volume, and the expert mask in native axes (i, j, k) if the case has one.

    Raises:
        InputError: for an image or mask that cannot be read, a mask of another shape or turned another way, and a value
            that is no class.
    """
    volume = read(found.path)
    if found.pixel_label is None:
        return volume, None
    mask = read_mask(found.pixel_label)
    source = f"labels/final/{found.pixel_label.name}"
    shape = volume.geometry.native_shape
    if mask.shape != shape:
        raise InputError(source, f"has {_by(mask.shape)} voxels, its image {_by(shape)}; a mask has its image's shape")
    unknown = [int(value) for value in np.flatnonzero(np.bincount(mask.ravel(order="K"), minlength=256))]
    unknown = [value for value in unknown if value > len(classes)]
    if unknown:
        known = ", ".join(f"{value} {name}" for value, name in enumerate(classes, start=1))
        raise InputError(source, f"holds the value {unknown[0]}, which is no class; classes are 0 background, {known}")
    _check_axes(found.pixel_label, volume.geometry, source)
    return volume, mask


def _check_axes(mask: Path, geometry: Geometry, source: str) -> None:
    """Refuse a mask whose axes run another way; small differences of affines are of no account (stock writers)."""
    own, image = (nib.aff2axcodes(affine) for affine in (read_geometry(mask).affine, geometry.affine))
    if own != image:
        raise InputError(
            source, f"its axes run {''.join(own)}, its image's {''.join(image)}; save it on its image's grid"
        )


def _role(
    case_id: str, roles: RoleTable, experts: Mapping[str, Path], labels: Mapping[int | None, ImageLabels]
) -> Role:
    given = roles.roles.get(case_id)
    if given is Role.PIXEL and case_id not in experts:
        raise InputError(roles.lines[case_id], f"case {case_id} is to be {given}, but labels/final has no expert mask")
    if given is not None and given is not Role.IMAGE:
        return given
    if given is None and case_id in experts:
        return Role.PIXEL
    return Role.IMAGE if labels else Role.UNLABELLED


def _sidecar(label: Path) -> Path:
    parts = split_name(label.name)
    return label.with_name(f"{parts[0] if parts else label.stem}.json")


def _by(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))


def _shown(name: str) -> str:
    """A file name for a log line: without control characters or undecodable bytes."""
    return name if name.isprintable() else ascii(name)
