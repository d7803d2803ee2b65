"""CT series for the PACS's section: a head in noise that fills the field, in several transfer syntaxes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import gdcm
import numpy as np
from numpy.typing import NDArray

from _bench.material import SIZE
from recursive_expand.dicom.series import read_series
from recursive_expand.phantom import CLASSES, make_head, write_dicom_series
from recursive_expand.phantom.head import Phantom

NOISE_HU = 40.0
UNCOMPRESSED = "uncompressed"
COMPRESSED = {
    "JPEG lossless": gdcm.TransferSyntax.JPEGLosslessProcess14_1,
    "JPEG 2000": gdcm.TransferSyntax.JPEG2000Lossless,
    "RLE": gdcm.TransferSyntax.RLELossless,
}


@dataclass(frozen=True)
class BenchSeries:
    """A series as files.

    Attributes:
        uid: SeriesInstanceUID.
        files: one a slice.
        hu: (slices, rows, columns) int16, what must be read.
    """

    uid: str
    files: list[Path]
    hu: NDArray[np.int16]


def write_noisy(folder: Path, seed: int, slices: int, syntax: str = UNCOMPRESSED) -> BenchSeries:
    """Write a head whose noise reaches into the corners: nothing in it compresses well.

    Args:
        folder: made if missing.
        seed: makes the UIDs; the voxels are always the same.
        slices: of 512 x 512.
        syntax: `UNCOMPRESSED` or one of `COMPRESSED`.
    """
    files = write_dicom_series(folder / "plain", _noisy(slices), seed=seed)
    series = read_series(files).volume
    assert series.series is not None
    if syntax != UNCOMPRESSED:
        files = [_packed(path, folder / path.name, COMPRESSED[syntax]) for path in files]
    return BenchSeries(series.series.series_instance_uid, files, series.hu)


@cache
def _noisy(slices: int) -> Phantom:
    head = make_head(0, size=SIZE, slices=slices, bleeds=CLASSES[:1], domain="thick")
    noise = np.random.default_rng(0).normal(0, NOISE_HU, head.hu.shape)
    return replace(head, hu=(head.hu + noise).clip(-1024, 3071).astype(np.int16))


def _packed(source: Path, target: Path, syntax: int) -> Path:
    reader = gdcm.ImageReader()
    reader.SetFileName(str(source))
    change = gdcm.ImageChangeTransferSyntax()
    change.SetTransferSyntax(gdcm.TransferSyntax(syntax))
    writer = gdcm.ImageWriter()
    writer.SetFileName(str(target))
    if reader.Read():
        change.SetInput(reader.GetImage())
        if change.Change():
            writer.SetFile(reader.GetFile())
            writer.SetImage(change.GetOutput())
            if writer.Write():
                return target
    raise RuntimeError(f"{source.name} cannot be packed")
