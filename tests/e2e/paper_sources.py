"""Phantoms laid out as PhysioNet CT-ICH 1.3.1, RSNA 2019 and CQ500 are distributed, and RSNA's true masks."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from recursive_expand.importers.bleed_types import ABBREVIATIONS, OUTSIDE_IN
from recursive_expand.phantom import CLASSES
from recursive_expand.phantom.dicom_series import write_dicom_series
from recursive_expand.phantom.head import make_head
from recursive_expand.phantom.studies import to_native, write_nifti

SIZE = 64
PHYSIONET_TYPES = ("Intraventricular", "Intraparenchymal", "Subarachnoid", "Epidural", "Subdural")


def write_sources(root: Path) -> None:
    """Write `root/{physionet,rsna,cq500,masks,truth}`: five patients with masks, twelve slices, two test patients."""
    _physionet(root / "physionet")
    _rsna(root / "rsna", root / "truth")
    _cq500(root / "cq500", root / "masks")


def _physionet(root: Path) -> None:
    rows = []
    for number, name in enumerate(CLASSES, start=49):
        head = make_head(number, size=SIZE, slices=2, bleeds=[name])
        write_nifti(root / "ct_scans" / f"{number:03d}.nii", to_native(head.hu, head), head.affine)
        mask = (to_native(head.mask, head) > 0).astype(np.uint8) * 255
        write_nifti(root / "masks" / f"{number:03d}.nii", mask, np.eye(4))
        for index, present in enumerate(head.classes, start=1):
            flags = [int(kind.lower() in present) for kind in PHYSIONET_TYPES]
            rows.append((number, index, *flags, int(not present), 0))
    header = ("PatientNumber", "SliceNumber", *PHYSIONET_TYPES, "No_Hemorrhage", "Fracture_Yes_No")
    _write_csv(root / "hemorrhage_diagnosis_raw_ct.csv", header, rows)


def _rsna(root: Path, truth: Path) -> None:
    rows = []
    images = root / "stage_2_train"
    images.mkdir(parents=True)
    for number, name in enumerate((*CLASSES, *CLASSES, None, None)):
        head = make_head(200 + number, size=SIZE, slices=1, bleeds=[] if name is None else [name], domain="sharp")
        image = f"ID_{number:09x}"
        patient = f"ID_{number:08x}"
        (file,) = write_dicom_series(images / "one", head, seed=number, patient_id=patient)
        file.rename(images / f"{image}.dcm")
        rows += [(f"{image}_{kind}", int(kind == name)) for kind in OUTSIDE_IN] + [
            (f"{image}_any", int(name is not None))
        ]
        if name is not None:
            write_nifti(truth / f"rsna-{image.removeprefix('ID_')}.nii.gz", to_native(head.mask, head), head.affine)
    (images / "one").rmdir()
    _write_csv(root / "stage_2_train.csv", ("ID", "Label"), rows)


def _cq500(root: Path, masks: Path) -> None:
    rows = []
    for patient, name in ((4, "intraparenchymal"), (35, "subdural")):
        head = make_head(300 + patient, size=SIZE, slices=3, bleeds=[name])
        folder = root / f"CQ500CT{patient} CQ500CT{patient}" / "Unknown Study" / "CT PLAIN THIN"
        write_dicom_series(folder, head, seed=patient, patient_id=f"CQ500-CT-{patient}")
        write_nifti(masks / f"CQ500-CT-{patient}.nii.gz", to_native(head.mask, head), head.affine)
        seen = [1, *(int(kind == name) for kind in ABBREVIATIONS.values())]
        rows.append((f"CQ500-CT-{patient}", "B1", *seen * 3))
    names = [f"R{reader}:{kind}" for reader in (1, 2, 3) for kind in ("ICH", *ABBREVIATIONS)]
    _write_csv(root / "reads.csv", ("name", "Category", *names), rows)


def _write_csv(path: Path, header: tuple[str, ...], rows: list[tuple]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
