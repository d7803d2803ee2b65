"""What all objects made from a series share: patient and study of its headers, fixed dates, bytes."""

from __future__ import annotations

import io
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pydicom
from pydicom import Dataset

from recursive_expand.cases import SeriesReference
from recursive_expand.dicom.coding import Origin
from recursive_expand.dicom.files import values_as_they_are
from recursive_expand.errors import InputError

MANUFACTURER = "Recursive ICH"
MODEL_NAME = "recursive-expand"
DEVICE_SERIAL = "1"

_STUDY = (
    *("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID"),
    *("StudyDate", "StudyTime", "ReferringPhysicianName"),
)
"""Type-2 attributes: taken over, empty where the source lacks them."""
_PLACE = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "Modality")
_PLACE_OPTIONAL = (
    *("Rows", "Columns", "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness"),
    *("PositionReferenceIndicator", "SpacingBetweenSlices"),
    *("LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod"),
)


def algorithm_of(origin: Origin) -> tuple[str, str, tuple[str, str]]:
    """What made a mask, as objects name it (PS3.3 10.16).

    Returns:
        (name, version, (what was hashed, SHA-256)): of an imported mask its tool, whose version nobody told, and file.
    """
    sha256 = origin.model_sha256 or "none"
    if origin.tool is not None:
        return origin.tool[:64], "unknown", ("file_sha256", sha256)
    return MODEL_NAME, origin.version, ("model_sha256", sha256)


def source_headers(series: SeriesReference, headers: Sequence[Dataset]) -> list[Dataset]:
    """The headers of a series' slices in its order, with what derived objects need and nothing else.

    Args:
        series: which instances, in which order.
        headers: of all of them, in any order; others are passed over.

    Raises:
        InputError: where an instance's header, or what every derived object must have of it, is missing.
    """
    by_uid = {str(header.get("SOPInstanceUID") or ""): header for header in headers}
    missing = [uid for uid in series.sop_instance_uids if uid not in by_uid]
    if missing:
        raise InputError("series", f"{len(missing)} of its {len(series.sop_instance_uids)} instances are gone")
    return [_needed(by_uid[uid]) for uid in series.sop_instance_uids]


def _needed(header: Dataset) -> Dataset:
    needed = Dataset()
    # highdicom prints a name that it finds unlikely: it gets none, `settle` sets all of these.
    for name in _STUDY:
        setattr(needed, name, "")
    for name in _PLACE:
        if not header.get(name):
            raise InputError("series", f"its instances have no {name}: no object can be derived from it")
        setattr(needed, name, header[name].value)
    for name in _PLACE_OPTIONAL:
        if name in header and header[name].value not in (None, ""):
            setattr(needed, name, header[name].value)
    return needed


def settle(dataset: Dataset, header: Dataset, ts: str) -> None:
    """Give an object its source's patient and study, and its verdict's date in place of now.

    Args:
        dataset: the object; its character set becomes one that holds any name.
        header: of an instance of the source series; what it lacks is left empty.
        ts: ISO 8601.
    """
    with values_as_they_are():
        for name in _STUDY:
            value = header.get(name)
            setattr(dataset, name, "" if value is None else str(value))
    when = datetime.fromisoformat(ts).astimezone(UTC)
    date, time = when.strftime("%Y%m%d"), when.strftime("%H%M%S")
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.ContentDate = dataset.SeriesDate = dataset.InstanceCreationDate = date
    dataset.ContentTime = dataset.SeriesTime = dataset.InstanceCreationTime = time


def encode(dataset: Dataset) -> bytes:
    """A PS3.10 file."""
    stream = io.BytesIO()
    dataset.save_as(stream, write_like_original=False)
    return stream.getvalue()


def decode(content: bytes, **options: Any) -> Dataset:
    """Read a PS3.10 file.

    Raises:
        InputError: where it is none.
    """
    try:
        return pydicom.dcmread(io.BytesIO(content), **options)
    except Exception as error:
        raise InputError("an object", f"cannot be read as DICOM ({type(error).__name__})") from error
