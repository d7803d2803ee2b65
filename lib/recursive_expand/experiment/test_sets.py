"""Test sets: the cases on which models are measured, with their reference masks."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from recursive_expand.archives.archive import FINAL, Archive
from recursive_expand.archives.folder import FolderArchive
from recursive_expand.archives.identifiers import split_name
from recursive_expand.archives.scan import FoundCase
from recursive_expand.cases import Role
from recursive_expand.errors import InputError
from recursive_expand.experiment.config import ImagesAndMasks
from recursive_expand.experiment.folds import patient_of
from recursive_expand.ledger.chain import canonical


@dataclass(frozen=True)
class TestCase:
    """A case on which models are measured.

    Attributes:
        case_id: its name within the test set.
        patient: the patient's name; the case's own name if the patient is unknown.
        image, mask: files.
    """

    __test__ = False  # not a test of pytest's

    case_id: str
    patient: str
    image: Path
    mask: Path


def find_test_set(
    name: str,
    source: str | Path | ImagesAndMasks,
    archive: Archive | None,
    cases: Sequence[FoundCase],
    truth: dict[str, Path],
    classes: Sequence[str],
) -> tuple[TestCase, ...]:
    """The cases of a test set, all of which have a mask.

    Args:
        name: its name, for messages.
        source: `test`, another studies folder, or two folders, as in the configuration.
        archive: the studies' own.
        cases: the studies' own, with this run's roles.
        truth: true masks of theirs.
        classes: class names.

    Raises:
        InputError: a folder is missing, or there is no such case.
    """
    if isinstance(source, ImagesAndMasks):
        images, masks = mask_files(source.images), mask_files(source.masks)
        found = tuple(TestCase(i, i, images[i], masks[i]) for i in sorted(images.keys() & masks.keys()))
    elif isinstance(source, Path):
        other = FolderArchive(source, classes)
        found = _with_masks(other, other.scan().cases, mask_files(source / "labels" / "final"))
    elif archive is None:
        raise InputError(f"test set {name!r}", "is cases of the study, whose folder is not known; give --studies DIR")
    else:
        held_out = [case for case in cases if case.role is Role.TEST]
        drawn = [case.case_id for case in held_out if case.expert_label is not None]
        own = {case_id: archive.label_file(case_id, FINAL) for case_id in drawn}
        found = _with_masks(archive, held_out, truth | own)
    if not found:
        raise InputError(f"test set {name!r}", "holds no case with a mask; docs/experiment.md describes the layout")
    return found


def mask_files(folder: Path) -> dict[str, Path]:
    """Files of images or masks, by case id."""
    if not folder.is_dir():
        raise InputError(str(folder), "is not a folder")
    parts = ((split_name(path.name), path) for path in sorted(folder.iterdir()))
    return {name[0]: path for name, path in parts if name is not None and not path.name.startswith(".")}


def patient_hashes(found: Iterable[TestCase], hashes: Mapping[Path, str]) -> dict[str, str]:
    """Hash of every patient of a test set, over their images' files and their masks' voxels.

    Args:
        found: the test set.
        hashes: those of the masks' voxels, by file.
    """
    parts: dict[str, list[object]] = {}
    for test in found:
        with test.image.open("rb") as file:
            image = hashlib.file_digest(file, "sha256").hexdigest()
        parts.setdefault(test.patient, []).append([image, hashes[test.mask]])
    return {patient: hashlib.sha256(canonical(body).encode()).hexdigest() for patient, body in parts.items()}


def _with_masks(archive: Archive, cases: Iterable[FoundCase], masks: dict[str, Path]) -> tuple[TestCase, ...]:
    return tuple(
        TestCase(case.case_id, patient_of(case), archive.image_file(case.case_id), masks[case.case_id])
        for case in cases
        if case.case_id in masks
    )
