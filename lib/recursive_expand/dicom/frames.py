"""Frames of a multi-frame CT image, each with the header that a single slice has."""

from __future__ import annotations

from pydicom import Dataset

from recursive_expand.errors import InputError

MULTI_FRAME_CT = ("1.2.840.10008.5.1.4.1.1.2.1", "1.2.840.10008.5.1.4.1.1.2.2")
"""Enhanced CT Image Storage, and Legacy Converted Enhanced CT Image Storage."""
FUNCTIONAL_GROUPS = ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")
MACROS = (
    *("PixelMeasuresSequence", "PlanePositionSequence", "PlaneOrientationSequence", "PixelValueTransformationSequence"),
    *("CTImageFrameTypeSequence", "CTAcquisitionDetailsSequence"),
)
"""Functional group macros (PS3.3 A.38.1.4) that say where a frame is and what its values are."""


def is_multi_frame_ct(dataset: Dataset) -> bool:
    """Whether each frame of it is a CT slice."""
    return str(dataset.get("SOPClassUID") or "") in MULTI_FRAME_CT


def frame_headers(dataset: Dataset) -> list[Dataset]:
    """The header of each frame as a CT Image Storage instance would have it, without pixels.

    Args:
        dataset: a multi-frame CT image, with or without pixels.

    Returns:
        One by frame, in their order in the file; InstanceNumber is the frame's number, from 1. The SOP Instance UID is
        that of the whole.

    Raises:
        InputError: for an image whose functional groups are not those of its frames.
    """
    frames = int(dataset.get("NumberOfFrames") or 1)
    groups = dataset.get(FUNCTIONAL_GROUPS[1]) or []
    if len(groups) != frames:
        raise InputError("file", f"has {frames} frames, but says of {len(groups)} where they are")
    left = (*FUNCTIONAL_GROUPS, "PixelData", "NumberOfFrames")
    whole = Dataset()
    for element in dataset:
        if element.keyword not in left:
            whole[element.tag] = element
    for shared in dataset.get(FUNCTIONAL_GROUPS[0]) or []:
        _take(shared, whole)
    headers = []
    for number, group in enumerate(groups, start=1):
        header = Dataset()
        header.update(whole)
        _take(group, header)
        header.InstanceNumber = number
        headers.append(header)
    return headers


def _take(group: Dataset, header: Dataset) -> None:
    """A functional group's attributes as the frame's own; FrameType (PS3.3 C.8.15.3.1.1) is a slice's ImageType."""
    for name in MACROS:
        for element in (group.get(name) or [Dataset()])[0]:
            if element.keyword == "FrameType":
                header.ImageType = element.value
            elif element.VR != "SQ":
                header[element.tag] = element
