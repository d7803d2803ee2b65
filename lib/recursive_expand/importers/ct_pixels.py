"""Stored values of a DICOM CT image as HU."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from recursive_expand.cases import AIR_HU
from recursive_expand.errors import InputError

# What pydicom and its decoders raise on pixel data they cannot read.
_DECODER_ERRORS = (
    RuntimeError,
    NotImplementedError,
    AttributeError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    OSError,
)


def read_hu(dataset: Dataset, source: str) -> NDArray[np.int16]:
    """Decode one CT image.

    Args:
        dataset: a CT Image Storage instance with its pixel data.
        source: what to call it in errors.

    Returns:
        (rows, columns) int16, HU. Padding (PixelPaddingValue, outside the scanner's circle) is -1024.

    Raises:
        InputError: for pixel data that no installed decoder reads, and values that are no HU.
    """
    try:
        raw = dataset.pixel_array
    except _DECODER_ERRORS as error:
        syntax = dataset.file_meta.TransferSyntaxUID
        mend = "it may be truncated"
        if syntax.is_compressed:
            mend = "install a decoder (pip install python-gdcm) or decompress it (gdcmconv --raw)"
        raise InputError(source, f"its pixel data ({syntax.name}) cannot be decoded; {mend}") from error
    if raw.ndim != 2 or raw.dtype.kind not in "iu" or raw.dtype.itemsize > 2:
        raise InputError(
            source, f"its pixel data is {raw.dtype} with {raw.ndim} axes; a CT slice has 2, of 8 or 16 bits"
        )
    values = stored_values(dataset, raw)
    slope, intercept = float(dataset.get("RescaleSlope") or 1), float(dataset.get("RescaleIntercept") or 0)
    hu = np.clip(np.rint(values * slope + intercept), -32768, 32767).astype(np.int16)
    hu[_padding(dataset, raw)] = AIR_HU
    return hu


def stored_values(dataset: Dataset, raw: NDArray) -> NDArray[np.int32]:
    """Interpret the bits of each pixel as PS3.5 section 8.1.1 says, with two faults of writers mended.

    Bits above BitsStored are ignored, unless they continue the sign: some writers put -2000 into 12 unsigned bits.
    Images that claim to be unsigned but whose rescale leaves no room for air (intercept above -100, as in the RSNA
    2019 set) hold two's complement after all.

    Args:
        dataset: BitsAllocated, BitsStored, PixelRepresentation and RescaleIntercept are read.
        raw: (rows, columns), 8- or 16-bit integers as they stand in the file.

    Returns:
        (rows, columns) int32.
    """
    stored_bits = int(dataset.get("BitsStored", raw.dtype.itemsize * 8))
    signed = int(dataset.get("PixelRepresentation", 0)) == 1
    width = raw.dtype.itemsize * 8
    bits = raw.view(f"u{raw.dtype.itemsize}").astype(np.int32)
    low = bits & ((1 << stored_bits) - 1)
    if signed:
        low = np.where(low >> (stored_bits - 1), low - (1 << stored_bits), low)
    elif width == 16 and float(dataset.get("RescaleIntercept") or 0) > -100:
        # 12 bits: values to 3071 HU are real, -1024 is 3072. 16 bits: no HU reaches 32768.
        first_negative = (1 << stored_bits) - 1024 if stored_bits < 16 else 1 << 15
        low = np.where(low >= first_negative, low - (1 << stored_bits), low)
    if stored_bits < width:
        all_ones = (1 << (width - stored_bits)) - 1
        low = np.where(bits >> stored_bits == all_ones, bits - (1 << width), low)
    return low.astype(np.int32)


def _padding(dataset: Dataset, raw: NDArray) -> NDArray[np.bool_]:
    """(rows, columns): pixels with the padding value or in the padding range, compared as bits.

    The padding value's own VR (US or SS) often contradicts PixelRepresentation.
    """
    first = dataset.get("PixelPaddingValue")
    if first is None:
        return np.zeros(raw.shape, bool)
    last = dataset.get("PixelPaddingRangeLimit", first)
    width = raw.dtype.itemsize * 8
    signed = int(dataset.get("PixelRepresentation", 0)) == 1
    low, high = sorted(_reinterpret(int(value), width, signed) for value in (first, last))
    values = raw.view(f"{'i' if signed else 'u'}{raw.dtype.itemsize}")
    return (values >= low) & (values <= high)


def _reinterpret(value: int, width: int, signed: bool) -> int:
    value &= (1 << width) - 1
    return value - (1 << width) if signed and value >> (width - 1) else value
