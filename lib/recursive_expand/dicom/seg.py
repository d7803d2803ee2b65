"""Masks as DICOM Segmentation objects: ours written, anybody's read back onto the source slices."""

from __future__ import annotations

from collections.abc import Sequence

import highdicom as hd
import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.multival import MultiValue
from pydicom.uid import ExplicitVRLittleEndian

from recursive_expand.cases import Geometry, LabelMap, SeriesReference
from recursive_expand.dicom.coding import Coding, Origin, colour, uid_of
from recursive_expand.dicom.derived import (
    MANUFACTURER,
    algorithm_of,
    equipment,
    name_frames,
    settle,
    source_headers,
)
from recursive_expand.dicom.pixels import decode_pixels
from recursive_expand.errors import InputError

SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.4"
LABEL_MAP_SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.7"

SAME_PLACE = 1e-2
"""A frame this close to a slice, in mm, lies on it."""

_AI = hd.sr.CodedConcept("123109", "DCM", "Artificial Intelligence")


def make_seg(
    label: LabelMap,
    series: SeriesReference,
    headers: Sequence[Dataset],
    coding: Coding,
    origin: Origin,
    *,
    tag: str = "final",
) -> Dataset:
    """Make a binary, uncompressed DICOM SEG of a mask.

    Segment numbers are class values whether a class is present or not; empty frames are left out. A mask without any
    foreground has one empty frame a segment on the middle slice, since an object must have frames.

    Args:
        label: on the series' grid: native axes (column, row, slice).
        series: where it lies.
        headers: of the series' instances, in any order.
        coding: the classes' codes.
        origin: makes the UIDs and the dates.
        tag: `final` or `rejected`: the label's kind.

    Raises:
        InputError: the mask is not on the series' grid, or headers lack what an object needs.
    """
    sources = source_headers(series, headers)
    planes = _planes(label, series)
    if label.values and label.values[-1] > len(coding.classes):
        raise InputError("mask", f"holds the value {label.values[-1]}; the classes end at {len(coding.classes)}")
    empty = not label.values
    if empty:
        planes = planes.copy()  # as many voxels as there are segments, taken out again below
        planes[len(planes) // 2].reshape(-1)[: len(coding.classes)] = np.arange(1, len(coding.classes) + 1)
    name, version, (hashed, sha256) = algorithm_of(origin)
    algorithm = hd.AlgorithmIdentificationSequence(
        name,
        _AI,
        version,
        source=MANUFACTURER if origin.tool is None else name,
        parameters={hashed: sha256, "round": str(origin.round)},
    )
    identity = (origin.case_id, origin.round, origin.verdict, tag, label.sha256)
    seg = hd.seg.Segmentation(
        sources,
        planes,
        "BINARY",
        [
            hd.seg.SegmentDescription(
                number,
                name,
                coding.category.concept,
                kind.concept,
                "SEMIAUTOMATIC" if origin.expert else "AUTOMATIC",
                algorithm,
                tracking_uid=uid_of("tracking", origin.case_id, name),
                tracking_id=name,
                anatomic_regions=[coding.region.concept],
            )
            for number, (name, kind) in enumerate(zip(coding.classes, coding.types, strict=True), start=1)
        ],
        series_instance_uid=uid_of("seg series", *identity),
        series_number=900 if tag == "final" else 901,
        sop_instance_uid=uid_of("seg", *identity),
        instance_number=1,
        **equipment(origin.version),
        content_label=content_label(tag, expert=origin.expert),
        content_description=f"{tag} mask, round {origin.round}",
        series_description=f"{MANUFACTURER} {tag} mask",
        transfer_syntax_uid=ExplicitVRLittleEndian,
    )
    for number, segment in enumerate(seg.SegmentSequence, start=1):
        segment.RecommendedDisplayCIELabValue = colour(number)
    _name_dimensions(seg, uid_of("dimensions", *identity))
    name_frames(seg, series, headers)
    settle(seg, headers[0], origin.ts)
    if empty:
        seg.PixelData = bytes(len(seg.PixelData))
    return seg


def read_seg(seg: Dataset, series: SeriesReference, geometry: Geometry, coding: Coding) -> LabelMap:
    """Read anybody's SEG (binary, fractional or label map) onto the slices of its source series.

    Each frame is put where its source instance is; where it names none, where its position is. Segments are known by
    their property type's code, then by their label.

    Args:
        seg: the object with its pixel data.
        series: the source series.
        geometry: of its volume: native axes (column, row, slice).
        coding: the classes' codes.

    Raises:
        InputError: the object is no SEG of this series, cannot be decoded, has a segment that is no class, or segments
            that overlap.
    """
    kind = str(seg.get("SegmentationType") or "").upper()
    if seg.get("SOPClassUID") not in (SEGMENTATION, LABEL_MAP_SEGMENTATION) or not kind:
        raise InputError("SEG", "is no segmentation object")
    if (int(seg.get("Rows", 0)), int(seg.get("Columns", 0))) != (geometry.native_shape[1], geometry.native_shape[0]):
        raise InputError("SEG", f"has {seg.get('Columns')} x {seg.get('Rows')} pixels, not its series' size")
    frames = decode_pixels(seg, "SEG").reshape(-1, int(seg.Rows), int(seg.Columns))
    groups = seg.get("PerFrameFunctionalGroupsSequence") or []
    if len(groups) != len(frames):
        raise InputError("SEG", f"has {len(frames)} frames, but {len(groups)} say where they are")
    values = {int(item.SegmentNumber): _class_value(item, coding) for item in seg.SegmentSequence if _drawn(item)}
    planes = np.zeros((len(series.sop_instance_uids), int(seg.Rows), int(seg.Columns)), np.uint8)
    best = np.zeros(planes.shape, np.uint8) if kind == "FRACTIONAL" else None
    half = (int(seg.get("MaximumFractionalValue") or 255) + 1) // 2
    slice_of = {name: number for number, name in enumerate(series.slice_names)}
    shared = (seg.get("SharedFunctionalGroupsSequence") or [Dataset()])[0]
    _check_orientation(shared, groups, series)
    for frame, group in zip(frames, groups, strict=True):
        number = _slice_number(group, series, slice_of)
        if kind == "LABELMAP":
            planes[number] = _mapped(frame, values)
            continue
        segment = int(_item(group, shared, "SegmentIdentificationSequence").ReferencedSegmentNumber)
        if segment not in values:
            raise InputError("SEG", f"has a frame of segment {segment}, which it does not describe")
        if best is not None:
            stronger = (frame >= half) & (frame > best[number])
            best[number][stronger] = frame[stronger]
            planes[number][stronger] = values[segment]
            continue
        drawn = frame > 0
        if (clash := int(np.count_nonzero(planes[number][drawn]))) and not np.all(
            planes[number][drawn] == values[segment]
        ):
            raise InputError("SEG", f"has segments that overlap in {clash} pixels of slice {number}")
        planes[number][drawn] = values[segment]
    return LabelMap(np.asfortranarray(planes.T), geometry, coding.classes)


def content_label(tag: str, *, expert: bool) -> str:
    """ContentLabel of our objects: whose mask it is."""
    return "EXPERT" if expert else "ACCEPTED" if tag == "final" else "REJECTED"


def referenced_series(seg: Dataset) -> set[str]:
    """Series UIDs that a SEG says it is about."""
    return {str(item.SeriesInstanceUID) for item in seg.get("ReferencedSeriesSequence") or []}


def _planes(label: LabelMap, series: SeriesReference) -> NDArray[np.uint8]:
    planes = label.native.T
    if len(planes) != len(series.sop_instance_uids):
        raise InputError("mask", f"has {len(planes)} slices, its series {len(series.sop_instance_uids)}")
    return planes


def _name_dimensions(seg: Dataset, uid: str) -> None:
    seg.DimensionOrganizationSequence[0].DimensionOrganizationUID = uid
    for item in seg.DimensionIndexSequence:
        item.DimensionOrganizationUID = uid


def _drawn(item: Dataset) -> bool:
    """A label map may describe its background as segment 0."""
    return int(item.SegmentNumber) > 0


def _class_value(item: Dataset, coding: Coding) -> int:
    codes = item.get("SegmentedPropertyTypeCodeSequence") or []
    if codes:
        found = [
            value
            for value, kind in enumerate(coding.types, start=1)
            if (str(codes[0].get("CodeValue")), str(codes[0].get("CodingSchemeDesignator")))
            == (kind.value, kind.scheme)
        ]
        if len(found) == 1:
            return found[0]
    label = str(item.get("SegmentLabel") or "").strip().casefold()
    for value, name in enumerate(coding.classes, start=1):
        if label == name.casefold():
            return value
    raise InputError("SEG", f"its segment {item.SegmentNumber} is none of the classes, by code or by label")


def _mapped(frame: NDArray, values: dict[int, int]) -> NDArray[np.uint8]:
    out = np.zeros(frame.shape, np.uint8)
    for segment in np.unique(frame):
        if segment and int(segment) not in values:
            raise InputError("SEG", f"has pixels of segment {segment}, which it does not describe")
        if segment:
            out[frame == segment] = values[int(segment)]
    return out


def _item(group: Dataset, shared: Dataset, name: str) -> Dataset:
    sequence = group.get(name) or shared.get(name)
    if not sequence:
        raise InputError("SEG", f"has a frame without {name}")
    return sequence[0]


def _slice_number(group: Dataset, series: SeriesReference, slice_of: dict[tuple[str, int], int]) -> int:
    named = {
        slice_of[name]
        for derivation in group.get("DerivationImageSequence") or []
        for source in derivation.get("SourceImageSequence") or []
        for name in _source_names(source, series)
        if name in slice_of
    }
    if len(named) == 1:
        return named.pop()
    place = group.get("PlanePositionSequence")
    if not place:
        raise InputError("SEG", "has a frame that names no instance of the series and no position")
    position = np.array(place[0].ImagePositionPatient, np.float64)
    distances = np.linalg.norm(series.positions - position, axis=1)
    if distances.min() > SAME_PLACE:
        raise InputError("SEG", f"has a frame that is {distances.min():.2f} mm off the nearest slice")
    return int(distances.argmin())


def _source_names(source: Dataset, series: SeriesReference) -> list[tuple[str, int]]:
    """(SOPInstanceUID, frame or 0) of the slices that a source image item names; a multi-frame instance has several."""
    uid, frames = str(source.ReferencedSOPInstanceUID), source.get("ReferencedFrameNumber")
    if not series.frame_numbers:
        return [(uid, 0)]
    return [(uid, int(frame)) for frame in (frames if isinstance(frames, MultiValue) else [frames]) if frame]


def _check_orientation(shared: Dataset, groups: Sequence[Dataset], series: SeriesReference) -> None:
    """Frames whose rows or columns run another way would be put upside down."""
    for holder in (shared, *groups):
        sequence = holder.get("PlaneOrientationSequence")
        if sequence:
            given = np.array(sequence[0].ImageOrientationPatient, np.float64)
            if not np.allclose(given, series.orientation, atol=1e-3):
                raise InputError("SEG", "its frames are not oriented as the slices are")
