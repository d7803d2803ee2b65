"""Real series for derived objects: phantoms, and the head CT of shared/data where it is."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pydicom

from recursive_expand.cases import LabelMap
from recursive_expand.dicom.coding import Code, Coding, Origin
from recursive_expand.dicom.series import read_series
from recursive_expand.phantom import CLASSES, make_head, write_dicom_series

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
