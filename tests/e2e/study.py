"""A folder study that trains in seconds, and the truth about it."""

from __future__ import annotations

import csv
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from recursive_expand.phantom import CLASSES, make_head

BLEEDS = ("intraparenchymal", "subdural")
"""Two of the five types only: a small network learns them quickly, and clients meet masks with missing classes."""
SIZE = 64
SLICES = 4
ROLES = {"pixel": 6, "image": 8, "unlabelled": 2, "test": 1}
"""Number of cases by role."""

CONF = {
    "channels": "[8,16,32]",
    "epochs": 24,
    "later_epochs": 2,
    "learning_rate": 0.01,
    "later_learning_rate": 0.003,
    "batch_size": 4,
    "threads": 1,
    "pretrain": "none",
}
"""`--conf` of a server that trains round 0 in seconds, well enough for some of its proposals to be accepted."""

Truth = dict[str, NDArray[np.uint8]]
"""Case id to true mask, in the image's native axes (column, row, slice)."""


def write_study(folder: Path) -> Truth:
    """Write a study of phantom heads: pixel cases from one scanner, the others from another.

    Every other case is stored left-handed, as dcm2niix stores them: Slicer turns such volumes round when it loads them.

    Args:
        folder: the studies folder, made if missing.
    """
    (folder / "labels" / "final").mkdir(parents=True)
    truth: Truth = {}
    roles: list[list[object]] = []
    labels: list[list[object]] = []
    for role, count in ROLES.items():
        for number in range(count):
            case_id = f"{role}-{number:03d}"
            head = make_head(
                len(truth), size=SIZE, slices=SLICES, bleeds=BLEEDS, domain="thick" if role == "pixel" else "sharp"
            )
            # The tilt is left out: viewers cannot show a sheared grid as it is.
            affine = np.diag([-head.spacing[2], -head.spacing[1], head.spacing[0], 1.0])
            hu, mask = head.hu.transpose(2, 1, 0), head.mask.transpose(2, 1, 0)
            if number % 2:
                hu, mask, affine = hu[::-1], mask[::-1], affine * [-1, 1, 1, 1]
            _write(folder / f"{case_id}.nii.gz", hu, affine)
            truth[case_id] = np.ascontiguousarray(mask)
            roles.append([case_id, role])
            if role in ("pixel", "test"):
                _write(folder / "labels" / "final" / f"{case_id}.nii.gz", mask, affine)
            if role == "image":
                for k in range(SLICES):
                    present = np.unique(mask[:, :, k])
                    labels.append([case_id, k, *(int(value in present) for value in range(1, len(CLASSES) + 1))])
    _write_csv(folder / "cases.csv", ["case_id", "role"], roles)
    _write_csv(folder / "image_labels.csv", ["case_id", "slice", *CLASSES], labels)
    return truth


def _write(path: Path, native: NDArray, affine: NDArray[np.float64]) -> None:
    image = nib.Nifti1Image(native, affine)
    image.set_qform(affine, code=1)
    image.set_sform(affine, code=1)
    nib.save(image, path)


def _write_csv(path: Path, header: list[str], rows: list[list[object]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
