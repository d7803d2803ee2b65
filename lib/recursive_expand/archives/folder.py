"""A folder of studies: images, labels and tables on a file system."""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import nibabel as nib

from recursive_expand.archives.archive import FINAL, TAGS
from recursive_expand.archives.atomic import atomic_path, leftovers, sweep, sweep_file, sync_folder, write_atomic
from recursive_expand.archives.bounded import read_bounded
from recursive_expand.archives.expert_masks import ExpertMasks, file_signature, info_file, inside
from recursive_expand.archives.identifiers import EXTENSIONS, SPELLINGS, check_id, check_new_id, split_name
from recursive_expand.archives.images import read_geometry, read_label, read_volume, write_label
from recursive_expand.archives.native import MAX_CASE_BYTES
from recursive_expand.archives.patients import in_two_roles
from recursive_expand.archives.scan import FoundCase, Scan, SetAside
from recursive_expand.archives.tables import (
    CASES,
    IMAGE_LABELS,
    MEND,
    ImageLabelTable,
    RoleTable,
    read_image_labels,
    read_roles,
)
from recursive_expand.cases import ImageLabels, LabelMap, Role, SeriesReference, Volume
from recursive_expand.errors import InputError

REFERENCE_FOLDER = "geometry"
"""Where `<case>.geometry.json` files are: the DICOM series that importers read the cases from."""

_MAX_REFERENCE = 2**24  # bytes; one of 1,000 slices has 200,000


class FolderArchive:
    """Scans `<case>.nii.gz|.nii|.nrrd` in one folder, with their labels in `labels/<tag>` and two optional tables.

    It is an `Archive`; methods that say nothing here do what that says.
    """

    immediate = True

    def __init__(self, studies: Path, classes: Sequence[str] = (), *, max_case_bytes: int = MAX_CASE_BYTES) -> None:
        """Use a folder that exists.

        Args:
            studies: the folder.
            classes: the task's class names, the columns of image_labels.csv and the values of expert masks; without
                them that table is not read, and any value will do.
            max_case_bytes: of a case's voxels, as stored and as HU; larger ones are refused.

        Raises:
            InputError: where there is no such folder.
        """
        if not studies.is_dir():
            raise InputError(studies.name or str(studies), "is no folder; give the folder that holds the scans")
        self.studies = studies.resolve()
        self._classes = tuple(classes)
        self._max_bytes = max_case_bytes
        self._masks = ExpertMasks()
        # A label and the file beside it are written as one; a lock a case would grow with the cases.
        self._locks = tuple(threading.Lock() for _ in range(64))
        self._leftovers: dict[Path, list[Path]] = {}  # by label folder, as found before the first write there

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.studies.name

    def scan(self, on_found: Callable[[list[FoundCase]], None] | None = None) -> Scan:
        """Look at the folder: names, sizes, tables; no voxels. Whatever cannot be used is set aside with the reason."""
        images, set_aside, misnamed = self._images()
        experts, label_lines, unreadable = self._expert_masks(images)
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
            try:
                expert = None if mask is None else file_signature(mask)
            except OSError as error:
                set_aside.append(SetAside(case_id, f"labels/final/{case_id}", f"cannot be read ({error.strerror})"))
                continue
            cases.append(FoundCase(case_id, role, labels, images[case_id][1], expert, roles.patients.get(case_id)))
        if not images and not set_aside:
            set_aside.append(SetAside(None, self.studies.name, self._nothing(), "folder"))
        # A mask that an expert drew while the study ran moves its case to the pixel set, and nobody else's.
        drawn = {case_id for case_id in experts.keys() - roles.roles.keys() if info_file(experts[case_id]).exists()}
        refused = in_two_roles({case.case_id: (case.role, case.patient) for case in cases if case.case_id not in drawn})
        set_aside += [SetAside(case_id, CASES, reason) for case_id, reason in refused.items()]
        usable = [case for case in cases if case.case_id not in refused]
        return Scan(usable, set_aside, roles.unusable or table.unusable or misnamed or unreadable)

    def signature(self, case_id: str) -> str:
        """The image file's size and time of modification."""
        path = self.image_file(case_id)
        try:
            return file_signature(path)
        except OSError as error:
            raise InputError(path.name, f"cannot be read ({error.strerror})") from error

    def read_volume(self, case_id: str) -> Volume:
        """Read the case's voxels; its series is not among them (`reference` has it)."""
        return read_volume(self.image_file(case_id), max_bytes=self._max_bytes)

    def image_file(self, case_id: str) -> Path:
        """The image itself."""
        path = self._file(self.studies, check_id(case_id))
        if path is None:
            raise InputError(f"case id {case_id!a}", "names no case of this folder")
        return path

    def read_expert_label(self, case_id: str) -> LabelMap:
        """Read the case's expert mask, held against its image: its shape before its voxels are decoded."""
        path = self.label_file(case_id, FINAL)
        source = f"labels/{FINAL}/{path.name}"
        if self._masks.left_by_verdict(path):
            raise InputError(source, "is what a verdict left, no expert's mask")
        geometry = read_geometry(self.image_file(case_id))
        try:
            label = read_label(path, self._classes, shape=geometry.native_shape, max_bytes=self._max_bytes)
        except InputError as error:
            raise InputError(source, error.reason) from error
        unknown = [value for value in label.values if value > len(self._classes)] if self._classes else []
        if unknown:
            known = ", ".join(f"{value} {name}" for value, name in enumerate(self._classes, start=1))
            raise InputError(
                source, f"holds the value {unknown[0]}, which is no class; classes are 0 background, {known}"
            )
        # Small differences of affines are ignored: stock writers make them.
        own, image = ("".join(nib.aff2axcodes(affine)) for affine in (label.geometry.affine, geometry.affine))
        if own != image:
            raise InputError(source, f"its axes run {own}, its image's {image}; save it on its image's grid")
        return LabelMap(label.native, geometry, self._classes)

    def reference(self, case_id: str) -> SeriesReference | None:
        """Read `geometry/<case>.geometry.json`, which an importer wrote."""
        self.image_file(case_id)
        path = self.studies / REFERENCE_FOLDER / f"{case_id}.geometry.json"
        source = f"{REFERENCE_FOLDER}/{path.name}"
        if not path.exists() or not inside(path, self.studies):
            return None
        try:
            content = json.loads(read_bounded(path, _MAX_REFERENCE))
            if not isinstance(content, dict):
                raise ValueError("holds no object")
            return SeriesReference.from_json(content)
        except InputError as error:
            raise InputError(source, error.reason) from error
        except Exception as error:  # whatever is in the file concerns this case alone
            reason = f"does not place a series ({type(error).__name__}: {error}); import the series anew"
            raise InputError(source, reason) from error

    def label_file(self, case_id: str, tag: str) -> Path:
        """The label's own file."""
        path = self._file(self._label_folder(case_id, tag), case_id)
        if path is None:
            raise InputError(f"case id {case_id!a}", f"has no label {tag}")
        return path

    def put_label(self, case_id: str, tag: str, label: LabelMap, info: Mapping[str, Any]) -> None:
        """Write `labels/<tag>/<case>.nii.gz` and, beside it, `info` as JSON."""
        folder = self._label_folder(case_id, tag)
        path = folder / f"{case_id}.nii.gz"
        content = json.dumps(dict(info), indent=1, ensure_ascii=False).encode("utf-8", "backslashreplace")
        with self._locks[hash(case_id) % len(self._locks)]:
            folder.mkdir(parents=True, exist_ok=True)
            there = self._file(folder, case_id)
            if there is not None and there != path:
                raise InputError(f"labels/{tag}/{there.name}", "is in the place of a new label; move it away")
            if "verdict" in info and there is not None and self._of_expert(there, tag):
                raise InputError(
                    f"labels/{tag}/{there.name}",
                    f"is an expert's mask, which no verdict replaces; move it away, or make {case_id} a pixel case",
                )
            self._sweep_label(path)
            # First the file beside it: of a mask of 0.1.0 nothing else tells that it is not an expert's.
            # Both entries are on disk once the mask's is: one wait less at every verdict.
            write_atomic(info_file(path), content, sync_entry=False)
            write_label(path, label, info=info)

    def remove_label(self, case_id: str, tag: str) -> None:
        """Remove a label and its JSON."""
        folder = self._label_folder(case_id, tag)
        with self._locks[hash(case_id) % len(self._locks)]:
            path = folder / f"{case_id}.nii.gz"
            self._sweep_label(path)
            if folder.is_dir() and not self._of_expert(path, tag):
                path.unlink(missing_ok=True)
                info_file(path).unlink(missing_ok=True)
                sync_folder(folder)

    def labelled(self, tag: str) -> set[str]:
        """Names of the files in labels/<tag>."""
        try:
            with os.scandir(self.studies / "labels" / tag) as entries:
                parts = [split_name(entry.name) for entry in entries if not entry.name.startswith(".")]
        except FileNotFoundError:
            return set()
        return {found[0] for found in parts if found is not None}

    def add_image(self, case_id: str, source: Path) -> None:
        """Copy an image file in as a new case: another letter case or extension does not make another id."""
        check_new_id(case_id)
        parts = split_name(source.name)
        if parts is None:
            raise InputError(source.name, f"is no image; only {', '.join(EXTENSIONS)} can be added")
        size = source.stat().st_size if source.is_file() else 0
        if size > self._max_bytes:
            raise InputError(
                source.name, f"has {size} bytes; no more than {self._max_bytes} are taken (max_case_bytes)"
            )
        with os.scandir(self.studies) as entries:
            taken = [
                entry.name for entry in entries if (split_name(entry.name) or ("",))[0].casefold() == case_id.casefold()
            ]
        if taken:
            raise InputError(f"case id {case_id!r}", f"is taken by {taken[0]}; choose another id")
        path = self.studies / f"{case_id}{parts[1].lower()}"
        with atomic_path(path) as temporary:
            shutil.copyfile(source, temporary)

    def remarks(self, case_id: str) -> list[str]:
        """Of a case that an importer read from a series."""
        try:
            series = self.reference(case_id)
        except InputError:
            return []
        return [] if series is None else series.remarks

    def remarked(self) -> dict[str, list[str]]:
        """None: an import's report names them."""
        return {}

    def fetching(self) -> dict[str, tuple[int, int]]:
        """None: everything is here."""
        return {}

    def remove_image(self, case_id: str) -> None:
        """Remove the image's file."""
        path = self._file(self.studies, check_id(case_id))
        if path is not None:
            path.unlink()
            sync_folder(self.studies)

    def sweep(self) -> int:
        """Remove half-written files, of importers too."""
        folders = (self.studies, self.studies / REFERENCE_FOLDER, *(self.studies / "labels" / tag for tag in TAGS))
        return sum(sweep(folder) for folder in folders if inside(folder, self.studies))

    def _file(self, folder: Path, case_id: str) -> Path | None:
        """The image file of this case in a folder, if it is there and inside the studies."""
        for extension in SPELLINGS:
            path = os.path.join(folder, f"{case_id}{extension}")  # noqa: PTH118 (some sixty, at every new label)
            if os.path.isfile(path):  # noqa: PTH113
                return Path(path) if inside(Path(path), self.studies) else None
        return None

    def _label_folder(self, case_id: str, tag: str) -> Path:
        """Where labels of this tag are, for a case that is there."""
        if tag not in TAGS:
            raise InputError(f"label tag {tag[:40]!a}", f"is not known; choose one of {', '.join(TAGS)}")
        self.image_file(case_id)
        folder = self.studies / "labels" / tag
        if not inside(folder, self.studies):
            raise InputError(f"labels/{tag}", "is a link that leaves the studies folder; replace it by a folder")
        return folder

    def _sweep_label(self, path: Path) -> None:
        """Remove what a killed process left of this label: whoever writes it next is the one who finishes its work.

        A folder is listed once: among ten thousand labels, a listing takes longer than the verdict that asks for it.
        """
        left = self._leftovers.get(path.parent)
        if left is None:
            left = self._leftovers.setdefault(path.parent, leftovers(path.parent))
        for file in (path, info_file(path)):
            sweep_file(file, left)

    def _of_expert(self, label: Path, tag: str) -> bool:
        if tag != FINAL or not label.is_file():
            return False
        try:
            return not self._masks.left_by_verdict(label)
        except InputError:  # nobody knows
            return True

    def _expert_masks(self, images: Mapping[str, Any]) -> tuple[dict[str, Path], list[SetAside], str | None]:
        """Expert masks by case id, labels of no use, and why nobody can tell (`Scan.unusable`)."""
        folder = self.studies / "labels" / FINAL
        if folder.is_dir() and not inside(folder, self.studies):
            return (
                {},
                [SetAside(None, "labels/final", "is a link that leaves the studies folder; not used", "row")],
                None,
            )
        try:
            return *self._masks.find(folder, images), None
        except OSError as error:
            line = SetAside(None, "labels/final", f"cannot be read ({error.strerror}); {MEND}", "row")
            return {}, [line], str(line)

    def _images(self) -> tuple[dict[str, tuple[Path, str]], list[SetAside], str | None]:
        """(path, signature) by case id, what looks like a case but can be none, and a table of the wrong name."""
        set_aside: list[SetAside] = []
        misnamed: SetAside | None = None
        found: dict[str, list[tuple[str, Path, str]]] = {}
        with os.scandir(self.studies) as entries:
            ordered = sorted(entries, key=lambda entry: entry.name)
        for entry in ordered:
            table = entry.name.lower()
            if table in (CASES, IMAGE_LABELS) and table != entry.name and not (self.studies / table).exists():
                misnamed = SetAside(None, entry.name, f"is not read under this name; call it {table}. {MEND}", "row")
                set_aside.append(misnamed)
            parts = split_name(entry.name)
            if parts is None or entry.name.startswith("."):
                continue
            path = self.studies / entry.name
            try:
                check_id(parts[0])
                if entry.is_symlink() and not inside(path, self.studies):
                    raise InputError(entry.name, "is a link that leaves the studies folder; copy the file here")
                if not entry.is_file():
                    raise InputError(entry.name, "is no file")
                stamp = file_signature(path)
            except InputError as error:
                set_aside.append(SetAside(None, entry.name, error.reason))
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
        return images, set_aside, None if misnamed is None else str(misnamed)

    def _nothing(self) -> str:
        with os.scandir(self.studies) as entries:
            names = [entry.name.lower() for entry in entries if not entry.name.startswith(".")]
        reason = f"holds no scans ({', '.join('*' + extension for extension in EXTENSIONS)})"
        if any(name.endswith((".dcm", ".ima")) for name in names):
            return f"{reason}; bring its DICOM files in with: recursive-expand import dicom SRC --studies DIR"
        if any(name.endswith((".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")) for name in names):
            return f"{reason}; bring its pictures in with: recursive-expand import slices SRC --studies DIR"
        return reason


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
