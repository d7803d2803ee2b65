"""Synthetic heads as a PACS has them: CT series with their scouts, experts' segmentations, and tables of labels."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pydicom
from numpy.typing import NDArray

from recursive_expand.archives.tables import CASES, IMAGE_LABELS
from recursive_expand.cases import LabelMap, Role
from recursive_expand.dicom.coding import Coding, Origin
from recursive_expand.dicom.derived import encode
from recursive_expand.dicom.seg import make_seg
from recursive_expand.dicom.series import read_series
from recursive_expand.phantom import CLASSES, make_head, write_dicom_series, write_scout

ROLES = {Role.PIXEL: 10, Role.IMAGE: 16, Role.UNLABELLED: 3, Role.TEST: 2}


def write_pacs_demo(
    dicom: Path,
    tables: Path,
    coding: Coding,
    *,
    roles: dict[Role, int] | None = None,
    bleeds: Sequence[str] | None = None,
    size: int = 128,
    slices: int = 6,
) -> dict[str, NDArray[np.uint8]]:
    """Write DICOM files to load into a PACS, and the tables that go beside its listing.

    Args:
        dicom: made if missing; a folder for each series, and a SEG for each case with an expert mask.
        tables: where cases.csv and image_labels.csv go (`<workspace>/pacs`); made if missing.
        coding: the classes' codes.
        roles: number of cases by role.
        bleeds: the types that each head has; None: each head one, in turn.
        size: rows and columns.
        slices: a series.

    Returns:
        The true masks, (column, row, slice) uint8, by SeriesInstanceUID.
    """
    truth: dict[str, NDArray[np.uint8]] = {}
    rows: list[tuple] = []
    labels: list[tuple] = []
    tables.mkdir(parents=True, exist_ok=True)
    for role, count in (ROLES if roles is None else roles).items():
        for _ in range(count):
            number = len(truth)
            head = make_head(
                number,
                size=size,
                slices=slices,
                bleeds=[CLASSES[number % len(CLASSES)]] if bleeds is None else bleeds,
                domain="thick" if role is Role.PIXEL else "sharp",
            )
            folder, patient = dicom / f"{number:03d}", f"DEMO-{number:03d}"
            files = write_dicom_series(folder, head, seed=number, patient_id=patient)
            write_scout(folder, head, seed=number, patient_id=patient)
            volume = read_series(files).volume
            assert volume.series is not None
            # From inferior to superior, as the files are: the volume's own order of slices.
            label = LabelMap(np.ascontiguousarray(head.mask.transpose(2, 1, 0)), volume.geometry, CLASSES)
            uid = volume.series.series_instance_uid
            truth[uid] = label.native
            rows.append((uid, str(role)))
            if role in (Role.PIXEL, Role.TEST):
                headers = [pydicom.dcmread(path, stop_before_pixels=True) for path in files]
                origin = Origin(uid, 0, "demo", None, "2020-01-01T12:00:00+00:00", "demo", expert=True)
                seg = make_seg(label, volume.series, headers, coding, origin)
                (folder / "SEG.dcm").write_bytes(encode(seg))
            if role is Role.IMAGE:
                for index, plane in enumerate(head.mask):
                    present = set(np.unique(plane).tolist())
                    labels.append((uid, index, *(int(value in present) for value in range(1, len(CLASSES) + 1))))
    _write(tables / CASES, ("case_id", "role"), rows)
    _write(tables / IMAGE_LABELS, ("case_id", "slice", *CLASSES), labels)
    return truth


def _write(path: Path, header: tuple[str, ...], rows: list[tuple]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)
