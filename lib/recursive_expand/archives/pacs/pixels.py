"""A series' pixels from a PACS: all of them, or none."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pydicom import Dataset
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.tag import Tag
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
from recursive_expand.archives.pacs.listing import text_of
from recursive_expand.dicom.files import values_as_they_are
from recursive_expand.dicom.frames import FUNCTIONAL_GROUPS, MACROS
from recursive_expand.dicom.series import Series, read_series
from recursive_expand.errors import InputError, Unreachable

_NEEDED = (
    *("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "Modality"),
    *("ImageType", "InstanceNumber", "ImagePositionPatient", "ImageOrientationPatient", "GantryDetectorTilt"),
    *("SliceThickness", "PixelSpacing", "Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "PlanarConfiguration"),
    *("PhotometricInterpretation", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "PixelData"),
    *("PixelPaddingValue", "PixelPaddingRangeLimit", "RescaleIntercept", "RescaleSlope", "RescaleType"),
    *("ModalityLUTSequence",),
)
"""What reading a series needs: nothing else of an instance is kept, and nothing goes to the disk."""
_NEEDED_TAGS = tuple(map(Tag, _NEEDED))
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

OnInstance = Callable[[int], None]
"""Called with how many instances have come."""


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
    kept: dict[Path, FileDataset] = {}

    def keep(path: Path, instance: Dataset) -> None:
        kept[path] = _pruned(instance)
        if on_instance is not None:
            on_instance(len(kept))

    with ThreadPoolExecutor(1) as asking:  # beside the transfer: a PACS may search as long as it sends
        listed = asking.submit(_listed, pacs, study, series)
        for instance in _arriving(pacs, study, series):
            path = Path(str(instance.get("SOPInstanceUID") or ""))
            if path not in kept and _whole(instance):
                keep(path, instance)
    expected = {Path(uid) for uid in listed.result()}
    if not expected:
        raise InputError("series", "has no images in the PACS any more")
    for path in sorted(expected - kept.keys()):
        instance = pacs.instance(study, series, path.name)
        if str(instance.get("SOPInstanceUID") or "") != path.name:
            raise Unreachable(f"{pacs.name} sent another instance than it was asked for")
        if not _whole(instance):
            raise Unreachable(f"{pacs.name} sent half an instance")
        keep(path, instance)
    with values_as_they_are():
        return read_series(sorted(expected), lambda path, **_: kept[path])


def _listed(pacs: Pacs, study: str, series: str) -> set[str]:
    """SOP Instance UIDs of a series, as a search tells them."""
    return {
        text_of(entry, "00080018")
        for page in pacs.pages("instances", {}, (), study_instance_uid=study, series_instance_uid=series)
        for entry in page
    }


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
    for tag in _NEEDED_TAGS:
        if tag in instance:
            kept[tag] = instance.get_item(tag)  # as it came: what is asked for later is parsed then
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
