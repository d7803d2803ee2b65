"""A series' pixels from a PACS: all of them, or none."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from pydicom import Dataset
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian

from recursive_expand.archives.pacs.connection import Pacs
from recursive_expand.cases import Volume
from recursive_expand.dicom.series import read_series
from recursive_expand.errors import InputError, Unreachable

_NEEDED = (
    *("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "Modality"),
    *("ImageType", "InstanceNumber", "ImagePositionPatient", "ImageOrientationPatient", "GantryDetectorTilt"),
    *("SliceThickness", "PixelData"),
)
"""What reading a series needs, beside group 0028: nothing else of an instance touches this machine's disk."""
_TEXTS = ("LO", "LT", "PN", "SH", "ST", "UC", "UT", "UN")
_HTJ2K = ("1.2.840.10008.1.2.4.201", "1.2.840.10008.1.2.4.202", "1.2.840.10008.1.2.4.203")


def fetch_volume(pacs: Pacs, study: str, series: str, folder: Path) -> Volume:
    """Fetch and decode a series.

    Args:
        pacs: the PACS.
        study, series: its UIDs.
        folder: where slices lie in the meantime, without anything that tells of a patient.

    Raises:
        InputError: it cannot be used, with the reason.
        Unreachable: the PACS cannot be asked now, or did not send all of it.
    """
    expected = {
        str(entry["00080018"]["Value"][0])
        for page in pacs.pages("instances", {}, (), study_instance_uid=study, series_instance_uid=series)
        for entry in page
    }
    if not expected:
        raise InputError("series", "has no images in the PACS any more")
    with tempfile.TemporaryDirectory(prefix=".series_", dir=folder) as temporary:
        files: dict[str, Path] = {}
        for instance in _arriving(pacs, study, series):
            uid = str(instance.get("SOPInstanceUID") or "")
            if uid in expected and uid not in files and _whole(instance):
                files[uid] = _written(instance, Path(temporary) / f"{len(files):05d}")
        for uid in sorted(expected - files.keys()):
            instance = pacs.instance(study, series, uid)
            if str(instance.get("SOPInstanceUID") or "") != uid:
                raise Unreachable(f"{pacs.name} sent another instance than it was asked for")
            files[uid] = _written(instance, Path(temporary) / f"{len(files):05d}")
        return read_series(sorted(files.values())).volume


def _arriving(pacs: Pacs, study: str, series: str) -> Iterator[Dataset]:
    """What one request brings; where that breaks off, the rest is asked for one by one."""
    try:
        yield from pacs.instances(study, series)
    except Unreachable:
        return


def _whole(instance: Dataset) -> bool:
    """Whether uncompressed pixels are all there; of compressed ones a part's end tells."""
    if instance.file_meta.TransferSyntaxUID in _HTJ2K or instance.file_meta.TransferSyntaxUID.is_compressed:
        return True
    size = int(instance.get("Rows", 0)) * int(instance.get("Columns", 0)) * int(instance.get("BitsAllocated", 0)) // 8
    frames = int(instance.get("NumberOfFrames") or 1) * int(instance.get("SamplesPerPixel") or 1)
    return len(instance.get("PixelData") or b"") >= size * frames


def _written(instance: Dataset, path: Path) -> Path:
    syntax = instance.file_meta.TransferSyntaxUID
    if syntax in _HTJ2K:
        raise InputError("series", "is compressed as HTJ2K, which nothing here decodes; have the PACS decompress it")
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = instance.SOPClassUID
    meta.MediaStorageSOPInstanceUID = instance.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian if syntax == DeflatedExplicitVRLittleEndian else syntax
    kept = FileDataset("", {}, file_meta=meta, preamble=bytes(128))
    kept.is_little_endian = bool(instance.is_little_endian)
    kept.is_implicit_VR = bool(instance.is_implicit_VR) and syntax != DeflatedExplicitVRLittleEndian
    for name in _NEEDED:
        if name in instance:
            kept[name] = instance[name]
    for element in instance.group_dataset(0x0028):
        if element.VR not in _TEXTS:
            kept[element.tag] = element
    kept.save_as(path, write_like_original=False)
    return path
