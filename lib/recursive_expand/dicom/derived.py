"""What all objects made from a series share: patient and study of its headers, fixed dates, bytes."""

from __future__ import annotations

import io
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pydicom
from pydicom import Dataset

from recursive_expand.cases import SeriesReference
from recursive_expand.dicom.coding import Origin, uid_of
from recursive_expand.dicom.files import values_as_they_are
from recursive_expand.dicom.frames import frame_headers
from recursive_expand.errors import InputError

MANUFACTURER = "Recursive ICH"
MODEL_NAME = "recursive-expand"
DEVICE_SERIAL = "1"
_CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"

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


def equipment(version: str) -> dict[str, Any]:
    """What both kinds of objects say of the equipment that made them (PS3.3 C.7.5.2), as highdicom takes it."""
    return {
        "manufacturer": MANUFACTURER,
        "manufacturer_model_name": MODEL_NAME,
        "software_versions": version,
        "device_serial_number": DEVICE_SERIAL,
    }


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

    A frame of a multi-frame instance gets the header of a CT slice and a UID of its own: `name_frames` puts instance
    and frame number in its place once an object is made.

    Args:
        series: which instances, in which order.
        headers: of all of them, in any order; others are passed over.

    Raises:
        InputError: where an instance's header, or what every derived object must have of it, is missing.
    """
    by_uid = _by_uid(series, headers)
    frames = {
        uid: frame_headers(by_uid[uid])
        for uid in dict.fromkeys(series.sop_instance_uids if series.frame_numbers else ())
    }
    made = []
    for uid, number in series.slice_names:
        if number > len(frames.get(uid, ())):
            raise InputError("series", f"an instance has {len(frames[uid])} frames, and no frame {number}")
        header = _needed(frames[uid][number - 1] if number else by_uid[uid])
        if number:
            header.SOPClassUID, header.SOPInstanceUID = _CT_IMAGE, _frame_uid(uid, number)
        made.append(header)
    return made


def instance_headers(series: SeriesReference, headers: Sequence[Dataset]) -> list[Dataset]:
    """The headers of a series' instances in its order; see `source_headers`.

    Raises:
        InputError: where one, or what every derived object must have of it, is missing.
    """
    by_uid = _by_uid(series, headers)
    return [_needed(by_uid[uid]) for uid in dict.fromkeys(series.sop_instance_uids)]


def name_frames(dataset: Dataset, series: SeriesReference, headers: Sequence[Dataset]) -> None:
    """Name instances and frames in an object made from `source_headers`, wherever it refers to a slice.

    Args:
        dataset: the object, which is changed.
        series: whose slices it refers to.
        headers: of the series' instances.
    """
    if not series.frame_numbers:
        return
    classes = {str(header.get("SOPInstanceUID") or ""): str(header.SOPClassUID) for header in headers}
    names = {_frame_uid(uid, number): (uid, number) for uid, number in series.slice_names}
    for element in dataset.iterall():
        if element.VR != "SQ" or not element.value or "ReferencedSOPInstanceUID" not in element.value[0]:
            continue
        listed = element.keyword == "ReferencedInstanceSequence"  # of the whole series: each instance once
        seen: set[str] = set()
        kept = []
        for item in element.value:
            uid, number = names.get(str(item.ReferencedSOPInstanceUID), ("", 0))
            if number:
                item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = classes[uid], uid
                if not listed:
                    item.ReferencedFrameNumber = number
            if not listed or uid not in seen or not number:
                kept.append(item)
            seen.add(uid)
        element.value = kept


def _by_uid(series: SeriesReference, headers: Sequence[Dataset]) -> dict[str, Dataset]:
    by_uid = {str(header.get("SOPInstanceUID") or ""): header for header in headers}
    missing = [uid for uid in series.sop_instance_uids if uid not in by_uid]
    if missing:
        raise InputError("series", f"{len(missing)} of its {len(series.sop_instance_uids)} instances are gone")
    return by_uid


def _frame_uid(uid: str, number: int) -> str:
    return uid_of("frame", uid, number)


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
