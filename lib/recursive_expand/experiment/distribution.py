"""Number of slices by class and data set: the paper's Table 2."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from recursive_expand.archives.archive import FINAL
from recursive_expand.archives.folder import FolderArchive
from recursive_expand.archives.images import read_geometry, read_label
from recursive_expand.cases import ImageLabels, Role
from recursive_expand.experiment.data import ExperimentData

BLEED = "Bleed slices"
NO_BLEED = "No bleed slices"
UNKNOWN = "Unknown"
TOTAL = "Total slices"

Present = frozenset[str] | None
"""Classes on a slice; None if unknown."""


def distribution_rows(data: ExperimentData, classes: Sequence[str]) -> list[dict[str, Any]]:
    """Count slices: expert masks for the pixel set and the test sets, image-level labels for the image set.

    A slice with several types counts for each of them, and once as a bleed slice.

    Args:
        data: a run's data.
        classes: class names.

    Returns:
        Rows of `data_set` (`pixel`, `image`, `unlabelled`, then the test sets by name), `cases`, `kind` (a class,
        `BLEED`, `NO_BLEED`, `UNKNOWN` or `TOTAL`) and `slices`.
    """
    archive = FolderArchive(data.studies)
    sets: dict[str, list[list[Present]]] = {}
    for case in data.cases:
        if case.role is Role.PIXEL and case.expert_label is not None:
            sets.setdefault("pixel", []).append(_in_mask(archive.label_file(case.case_id, FINAL), classes))
    for role in (Role.IMAGE, Role.UNLABELLED):
        for case in data.cases:
            if case.role is role:
                slices = read_geometry(archive.image_file(case.case_id)).shape[0]
                sets.setdefault(role, []).append(_in_labels(case.image_labels, slices))
    for name, tests in data.tests.items():
        sets[name] = [_in_mask(test.mask, classes) for test in tests]
    return [row for name, found in sets.items() for row in _count(name, found, classes)]


def _in_mask(path: Path, classes: Sequence[str]) -> list[Present]:
    slices = read_label(path).slices
    return [frozenset(classes[value - 1] for value in np.unique(plane) if value) for plane in slices]


def _in_labels(labels: Mapping[int | None, ImageLabels], slices: int) -> list[Present]:
    """A label of the whole case tells what is on each slice if there is only one, or if the case is clean."""
    whole = labels.get(None)
    everywhere = whole.present if whole is not None and (slices == 1 or not whole.present) else None
    return [labels[k].present if k in labels else everywhere for k in range(slices)]


def _count(name: str, cases: Sequence[Sequence[Present]], classes: Sequence[str]) -> list[dict[str, Any]]:
    slices = [present for case in cases for present in case]
    numbers = {kind: sum(present is not None and kind in present for present in slices) for kind in classes}
    numbers[BLEED] = sum(bool(present) for present in slices)
    numbers[NO_BLEED] = sum(present is not None and not present for present in slices)
    numbers[UNKNOWN] = sum(present is None for present in slices)
    numbers[TOTAL] = len(slices)
    return [{"data_set": name, "cases": len(cases), "kind": kind, "slices": n} for kind, n in numbers.items()]
