"""A series' pixels from a PACS: all of them, or none."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from pydicom import Dataset
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    JPEG2000,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLosslessP14,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from recursive_expand.archives.pacs.connection import Pacs
from recursive_expand.dicom.frames import FUNCTIONAL_GROUPS, MACROS
from recursive_expand.dicom.series import Series, read_series
from recursive_expand.errors import InputError, Unreachable

_NEEDED = (
    *("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "Modality"),
    *("ImageType", "InstanceNumber", "ImagePositionPatient", "ImageOrientationPatient", "GantryDetectorTilt"),
    *("SliceThickness", "PixelData"),
)
"""What reading a series needs, beside group 0028: nothing else of an instance is kept, and nothing goes to the disk."""
_TEXTS = ("LO", "LT", "PN", "SH", "ST", "UC", "UT", "UN")
_DECODED = (
    *(ExplicitVRLittleEndian, ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian),
    *(JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLosslessP14, JPEGLosslessSV1, JPEGLSLossless, JPEGLSNearLossless),
    *(JPEG2000Lossless, JPEG2000, RLELossless),
)
"""Transfer syntaxes that the installed decoders read."""
_UNDECODED = {
    "1.2.840.10008.1.2.4.201": "HTJ2K",
    "1.2.840.10008.1.2.4.202": "HTJ2K",
    "1.2.840.10008.1.2.4.203": "HTJ2K",
}

OnInstance = Callable[[int, int], None]
"""Called with (instances that have come, instances in all)."""


def fetch_series(pacs: Pacs, study: str, series: str, on_instance: OnInstance | None = None) -> Series:
    """Fetch and decode a series.

    Args:
        pacs: the PACS.
        study, series: its UIDs.
        on_instance: is told how far it is.

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
    kept: dict[Path, FileDataset] = {}
    for instance in _arriving(pacs, study, series):
        uid = str(instance.get("SOPInstanceUID") or "")
        if uid in expected and Path(uid) not in kept and _whole(instance):
            kept[Path(uid)] = _pruned(instance)
            if on_instance is not None:
                on_instance(len(kept), len(expected))
    for uid in sorted(expected - {path.name for path in kept}):
        instance = pacs.instance(study, series, uid)
        if str(instance.get("SOPInstanceUID") or "") != uid:
            raise Unreachable(f"{pacs.name} sent another instance than it was asked for")
        if not _whole(instance):
            raise Unreachable(f"{pacs.name} sent half an instance")
        kept[Path(uid)] = _pruned(instance)
    return read_series(sorted(kept), lambda path, **_: kept[path])


def _arriving(pacs: Pacs, study: str, series: str) -> Iterator[Dataset]:
    """What one request brings; where that breaks off, the rest is asked for one by one."""
    try:
        yield from pacs.instances(study, series)
    except Unreachable:
        return


def _whole(instance: Dataset) -> bool:
    """Whether uncompressed pixels are all there; of compressed ones a part's end tells."""
    syntax = instance.file_meta.TransferSyntaxUID
    if syntax not in _DECODED or syntax.is_compressed:
        return True
    size = int(instance.get("Rows", 0)) * int(instance.get("Columns", 0)) * int(instance.get("BitsAllocated", 0)) // 8
    frames = int(instance.get("NumberOfFrames") or 1) * int(instance.get("SamplesPerPixel") or 1)
    return len(instance.get("PixelData") or b"") >= size * frames


def _pruned(instance: Dataset) -> FileDataset:
    """What reading a slice needs of it."""
    syntax = instance.file_meta.TransferSyntaxUID
    if syntax not in _DECODED:
        name = _UNDECODED.get(syntax, f"transfer syntax {str(syntax)[:64]}")
        raise InputError("series", f"is compressed as {name}, which nothing here decodes; have the PACS decompress it")
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
    for name in FUNCTIONAL_GROUPS:
        if name in instance:
            setattr(kept, name, Sequence(_macros(group) for group in instance[name].value))
    return kept


def _macros(group: Dataset) -> Dataset:
    """Of a functional group what places a frame, without texts."""
    kept = Dataset()
    for name in MACROS:
        if name in group:
            item = Dataset()
            item.update({element.tag: element for element in group[name].value[0] if element.VR not in _TEXTS})
            setattr(kept, name, Sequence([item]))
    return kept
