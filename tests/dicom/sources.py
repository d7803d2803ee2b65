"""Real series for derived objects: phantoms, and the head CT of shared/data where it is."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import highdicom as hd
import numpy as np
import pydicom

from recursive_expand.cases import LabelMap
from recursive_expand.dicom.coding import Code, Coding, Origin, uid_of
from recursive_expand.dicom.series import read_series
from recursive_expand.phantom import CLASSES, make_head, write_dicom_series

TYPE_2 = (
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID"),
    *("AccessionNumber", "ReferringPhysicianName", "Manufacturer", "ContrastBolusAgent"),
)

REAL = Path("/work/shared/data/ge_head_ct")

CODING = Coding(
    CLASSES,
    tuple(Code(str(100 + number), f"{name} haemorrhage") for number, name in enumerate(CLASSES)),
    Code("49755003", "Morphologically abnormal structure"),
    Code("12738006", "Brain"),
)
ORIGIN = Origin("case-1", 1, "7", "ab" * 32, "2026-11-23T12:30:00+00:00", "0.2.0")


class Source:
    """A series read from files, with its headers and a mask of random specks on it."""

    def __init__(self, files, values=(1, 2, 3, 4, 5), seed=0):
        self.files = files
        series = read_series(files)
        self.volume, self.series = series.volume, series.volume.series
        self.headers = [pydicom.dcmread(path, stop_before_pixels=True) for path in files]
        self.label = self.mask(values, seed)

    def mask(self, values, seed=0):
        rng = np.random.default_rng(seed)
        native = np.zeros(self.volume.geometry.native_shape, np.uint8)
        for value in values:
            native[rng.random(native.shape) < 0.01] = value
        native[..., 0] = 0  # one empty slice at an end, one between others
        native[..., 2] = 0
        return LabelMap(native, self.volume.geometry, CLASSES)


def phantom_source(folder, **options):
    return Source(write_dicom_series(folder, make_head(3, size=48, slices=6), seed=1, **options))


def real_source():
    return Source(sorted(REAL.glob("*.dcm")))


def faults(path):
    """Errors of dciodvfy, a validator of DICOM objects (Debian dicom3tools); None where it is not installed."""
    if shutil.which("dciodvfy") is None:
        return None
    run = subprocess.run(["dciodvfy", path], capture_output=True, text=True, check=False)
    return [line for line in (run.stdout + run.stderr).splitlines() if line.startswith("Error")]


def multi_frame(files, folder, *, sop_class=None, order=1, parts=1):
    """The files of a series as multi-frame instances, made by highdicom; `parts` of them, frames in any order."""
    folder.mkdir(parents=True)
    made = []
    for part in range(parts):
        slices = [pydicom.dcmread(path) for path in sorted(files)[part::parts]][::order]
        for number, dataset in enumerate(slices):
            dataset.InstanceNumber = number + 1
            for name in ("AcquisitionDate", "AcquisitionTime"):  # highdicom 0.22 takes them for dates
                dataset.pop(name, None)
            for name in TYPE_2:
                setattr(dataset, name, dataset.get(name, ""))
        series = slices[0].SeriesInstanceUID
        whole = hd.legacy.LegacyConvertedEnhancedCTImage(slices, series, 3, uid_of(series, part), part + 1)
        for name in ("PatientPosition", "PositionReferenceIndicator", "BodyPartExamined", "SeriesDescription"):
            setattr(whole, name, slices[0].get(name))
        if sop_class is not None:
            whole.SOPClassUID = whole.file_meta.MediaStorageSOPClassUID = sop_class
        made.append(folder / f"multi{part}.dcm")
        whole.save_as(made[-1], write_like_original=False)
    return made
