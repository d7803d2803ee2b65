"""Frames as a viewer gets them."""

from __future__ import annotations

import numpy as np
import pydicom
import pytest
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, JPEG2000Lossless

from recursive_expand.dicom.stored_frame import frame_bytes
from recursive_expand.errors import InputError


def image(pixels, *, syntax=ExplicitVRLittleEndian, content=None):
    dataset = pydicom.Dataset()
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.is_little_endian, dataset.is_implicit_VR = syntax != ExplicitVRBigEndian, False
    dataset.Rows, dataset.Columns = pixels.shape[-2:]
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 16, 15, 0
    if pixels.ndim == 3:
        dataset.NumberOfFrames = len(pixels)
    order = "<u2" if dataset.is_little_endian else ">u2"
    dataset.PixelData = pixels.astype(order).tobytes() if content is None else content
    return dataset


PIXELS = np.arange(2 * 3 * 4, dtype=np.uint16).reshape(2, 3, 4) * 300


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ExplicitVRBigEndian])
def test_the_low_byte_comes_first_whatever_the_files_order(syntax):
    assert frame_bytes(image(PIXELS[1], syntax=syntax), 1) == PIXELS[1].astype("<u2").tobytes()


def test_of_many_frames_one_is_taken():
    assert frame_bytes(image(PIXELS), 2) == PIXELS[1].astype("<u2").tobytes()


@pytest.mark.parametrize("number", [0, 3])
def test_a_frame_that_is_not_there_is_refused(number):
    with pytest.raises(InputError, match=f"frame {number}: is not in an instance of 2"):
        frame_bytes(image(PIXELS), number)


def test_damaged_pixels_are_refused():
    with pytest.raises(InputError, match="cannot be decoded"):
        frame_bytes(image(PIXELS[0], syntax=JPEG2000Lossless, content=b"\0\0"), 1)
