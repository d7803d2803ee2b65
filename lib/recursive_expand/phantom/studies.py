"""Folder studies of phantoms: scans, expert masks, roles and image-level labels, with the truth kept elsewhere."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from recursive_expand.cases import Geometry, Role
from recursive_expand.errors import InputError
from recursive_expand.phantom.bleeds import CLASSES
from recursive_expand.phantom.head import Phantom, make_head
from recursive_expand.phantom.scanner import Domain
from recursive_expand.phantom.streams import stream


class Imaged(Protocol):
    """What a phantom must have to be written as a case; as in `Phantom`."""

    @property
    def hu(self) -> NDArray[np.int16]:
        """(S, R, C) Hounsfield units."""

    @property
    def mask(self) -> NDArray[np.uint8]:
        """(S, R, C) class values."""

    @property
    def affine(self) -> NDArray[np.float64]:
        """(4, 4), native indices (column, row, slice) to RAS millimetres."""

    @property
    def classes(self) -> tuple[frozenset[str], ...]:
        """Per slice, the classes in the mask."""


@dataclass(frozen=True)
class StudyTruth:
    """The true masks of a study's cases: what a scripted expert judges by. Never served.

    Attributes:
        masks: case id to (i, j, k) uint8 class values in the image's native axes.
        affines: case id to the image's (4, 4) affine.
    """

    masks: Mapping[str, NDArray[np.uint8]]
    affines: Mapping[str, NDArray[np.float64]]

    def save(self, folder: Path) -> None:
        """Write `<case>.nii.gz` for every case; keep the folder outside the studies."""
        for case_id, mask in self.masks.items():
            write_nifti(folder / f"{case_id}.nii.gz", mask, self.affines[case_id])

    @classmethod
    def load(cls, folder: Path) -> StudyTruth:
        """Read what `save` wrote.

        Raises:
            InputError: if the folder holds no mask.
        """
        masks, affines = {}, {}
        for path in sorted(folder.glob("*.nii.gz")):
            image = nib.Nifti1Image.from_filename(path)
            case_id = path.name.removesuffix(".nii.gz")
            masks[case_id] = np.asarray(image.dataobj).astype(np.uint8)
            affines[case_id] = np.asarray(image.affine, np.float64)
        if not masks:
            raise InputError(folder.name, "holds no <case>.nii.gz; write it with StudyTruth.save")
        return cls(masks, affines)


def write_study(
    folder: Path,
    *,
    pixel: int = 6,
    image: int = 10,
    unlabelled: int = 2,
    test: int = 2,
    size: int = 128,
    slices: int = 8,
    seed: int = 0,
    single_slices: bool = False,
    shifted: bool = True,
) -> StudyTruth:
    """Write a folder study.

    `<case>.nii.gz` for all cases, `labels/final/<case>.nii.gz` for the pixel cases alone, `cases.csv` with all roles
    and `image_labels.csv` with a row per slice of the image cases. Bleed types take turns, so that five cases of a
    role hold them all; every sixth case is free of blood, and some have a second bleed.

    Args:
        folder: made if missing; files of the same names are replaced.
        pixel: cases with expert masks.
        image: cases with image-level labels.
        unlabelled: cases with no labels.
        test: held-out cases.
        size: rows and columns.
        slices: per case.
        seed: 0 or more.
        single_slices: cases are single slices instead of volumes.
        shifted: all cases but the pixel ones come from the other scanner ("sharp").

    Returns:
        The true masks of all cases.
    """
    counts = {Role.PIXEL: pixel, Role.IMAGE: image, Role.UNLABELLED: unlabelled, Role.TEST: test}
    cases: dict[str, tuple[Role, Phantom]] = {}
    for role, count in counts.items():
        domain: Domain = "sharp" if shifted and role is not Role.PIXEL else "thick"
        for number in range(count):
            rng = stream(seed, f"case {role}", number)
            phantom = make_head(
                int(rng.integers(2**31)),
                size=size,
                slices=1 if single_slices else slices,
                bleeds=_turn(rng, number),
                domain=domain,
            )
            cases[f"{role}-{number + 1:03d}"] = role, phantom
    return write_cases(folder, cases, CLASSES)


def write_demo(folder: Path) -> StudyTruth:
    """Write the demo study: small enough that two CPU cores train and propose it in a few minutes."""
    return write_study(folder, pixel=10, image=16, unlabelled=3, test=2, size=128, slices=6, seed=2020)


def write_cases(folder: Path, cases: Mapping[str, tuple[Role, Imaged]], classes: Sequence[str]) -> StudyTruth:
    """Write phantoms as a folder study.

    Args:
        folder: made if missing.
        cases: case id to role and phantom.
        classes: the class names, in the order of mask values.

    Returns:
        The true masks of all cases.
    """
    truth: dict[str, NDArray[np.uint8]] = {}
    for case_id, (role, phantom) in cases.items():
        truth[case_id] = to_native(phantom.mask, phantom)
        write_nifti(folder / f"{case_id}.nii.gz", to_native(phantom.hu, phantom), phantom.affine)
        if role is Role.PIXEL:
            write_nifti(folder / "labels" / "final" / f"{case_id}.nii.gz", truth[case_id], phantom.affine)
    _write_csv(folder / "cases.csv", ("case_id", "role"), [(case_id, role) for case_id, (role, _) in cases.items()])
    labelled = [
        (case_id, index, *(int(name in present) for name in classes))
        for case_id, (role, phantom) in cases.items()
        if role is Role.IMAGE
        for index, present in enumerate(phantom.classes)
    ]
    _write_csv(folder / "image_labels.csv", ("case_id", "slice", *classes), labelled)
    return StudyTruth(truth, {case_id: phantom.affine for case_id, (_, phantom) in cases.items()})


def to_native(slices: NDArray, phantom: Imaged) -> NDArray:
    """A phantom's (S, R, C) array in its native axes (column, row, slice)."""
    s, r, c = slices.shape
    return Geometry.of((c, r, s), phantom.affine).orientation.to_native(slices)


def write_nifti(path: Path, native: NDArray, affine: NDArray[np.float64]) -> None:
    """Write an array as NIfTI with both transforms.

    The sform keeps a tilted gantry's shear; the qform, which cannot, is there since ITK refuses a sheared sform alone.
    """
    image = nib.Nifti1Image(np.ascontiguousarray(native), affine)
    image.set_sform(affine, code=1)
    image.set_qform(affine, code=1)
    image.header.set_xyzt_units("mm")
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(image, path)


def _turn(rng: np.random.Generator, number: int) -> list[str]:
    turn = number % (len(CLASSES) + 1)
    if turn == len(CLASSES):
        return []
    kinds = {CLASSES[turn]}
    if rng.random() < 0.3:
        kinds.add(str(rng.choice(CLASSES)))
    return sorted(kinds)


def _write_csv(path: Path, header: tuple[str, ...], rows: list[tuple]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)
