"""A frame as it lies in memory: what a viewer gets where the PACS cannot send one."""

from __future__ import annotations

import numpy as np
from pydicom import Dataset

from recursive_expand.dicom.pixels import decode_pixels
from recursive_expand.errors import InputError


def frame_bytes(dataset: Dataset, number: int) -> bytes:
    """The stored values of one frame as Explicit VR Little Endian has them.

    Args:
        dataset: an image in any transfer syntax that is decoded here.
        number: of the frame, counted from 1.

    Returns:
        Rows, columns and samples in the file's order; 16-bit values with the low byte first.

    Raises:
        InputError: no such frame, or pixel data that nothing here decodes.
    """
    frames = int(dataset.get("NumberOfFrames") or 1)
    if not 1 <= number <= frames:
        raise InputError(f"frame {number}", f"is not in an instance of {frames}")
    pixels = decode_pixels(dataset, "the instance")
    frame = pixels[number - 1] if frames > 1 else pixels
    return np.ascontiguousarray(frame, frame.dtype.newbyteorder("<")).tobytes()
