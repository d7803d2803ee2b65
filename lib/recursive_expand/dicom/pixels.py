"""Stored values of a DICOM CT image as HU."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.pixel_data_handlers.util import apply_modality_lut
from scipy import ndimage

from recursive_expand.cases import AIR_HU
from recursive_expand.errors import InputError

SURELY_AIR = -900
"""Padding of fewer HU is air wherever it is; of more, only outside the scanner's circle."""

NO_HU = frozenset({"OD", "HGML", "MGML", "PCT", "Z_EFF", "ED", "EDW", "MGI"})
"""Rescale types (PS3.3 C.11.1.1.2) of images that are computed tomography, but not in HU."""


def read_hu(dataset: Dataset, source: str) -> NDArray[np.int16]:
    """Decode one CT image.

    Args:
        dataset: a CT Image Storage instance with its pixel data.
        source: what to call it in errors.

    Returns:
        (rows, columns) int16, HU. Padding (PixelPaddingValue, outside the scanner's circle) is -1024.

    Raises:
        InputError: for pixel data that no installed decoder reads, and values that are not known to be HU.
    """
    raw = decode_pixels(dataset, source)
    if raw.ndim != 2:
        raise InputError(source, f"its pixel data has {raw.ndim} axes; a CT slice has 2")
    return _to_hu(dataset, raw, source)


def read_frames(dataset: Dataset, headers: Sequence[Dataset], source: str) -> list[NDArray[np.int16]]:
    """Decode a multi-frame CT image.

    Args:
        dataset: with its pixel data.
        headers: of its frames (`frame_headers`): each may have its own rescale.
        source: what to call it in errors.

    Returns:
        (rows, columns) int16, HU, by frame; see `read_hu`.

    Raises:
        InputError: see `read_hu`.
    """
    raw = decode_pixels(dataset, source)
    frames = raw[None] if raw.ndim == 2 else raw
    if frames.ndim != 3 or len(frames) != len(headers):
        raise InputError(source, f"its pixel data is {'x'.join(map(str, raw.shape))}, not {len(headers)} frames")
    return [_to_hu(header, frame, source) for header, frame in zip(headers, frames, strict=True)]


def _to_hu(dataset: Dataset, raw: NDArray, source: str) -> NDArray[np.int16]:
    """Stored values of one slice as HU."""
    rescale = _rescale(dataset, source)
    hu = _as_int16(rescale(stored_values(dataset, raw)))
    padding = _padding(dataset, raw)
    if padding is not None and padding.any():
        if hu[padding].max() >= SURELY_AIR:
            padding &= (hu < SURELY_AIR) | _at_the_corners(padding)
        hu[padding] = AIR_HU
    return hu


def stored_values(dataset: Dataset, raw: NDArray) -> NDArray[np.int32]:
    """Interpret the bits of each pixel as PS3.5 section 8.1.1 says, with two faults of writers mended.

    Bits above BitsStored are ignored, unless they continue the sign: some writers put -2000 into 12 unsigned bits.
    Images that claim to be unsigned but whose rescale leaves no room for air (intercept above -100, as in the RSNA
    2019 set) hold two's complement after all.

    Args:
        dataset: BitsAllocated, BitsStored, PixelRepresentation and RescaleIntercept are read.
        raw: (rows, columns), 8- or 16-bit integers as they stand in the file, in this machine's byte order.

    Returns:
        (rows, columns) int32.
    """
    width = raw.dtype.itemsize * 8
    stored_bits = int(dataset.get("BitsStored", width))
    signed = int(dataset.get("PixelRepresentation", 0)) == 1
    if signed and stored_bits == width:
        return raw.view(f"i{raw.dtype.itemsize}").astype(np.int32)
    bits = raw.view(f"u{raw.dtype.itemsize}").astype(np.int32)
    beyond = int(bits.max()) >> stored_bits > 0  # bits above the stored ones
    low = bits & ((1 << stored_bits) - 1) if beyond else bits
    if signed:
        low = np.where(low >> (stored_bits - 1), low - (1 << stored_bits), low)
    elif width == 16 and float(dataset.get("RescaleIntercept") or 0) > -100 and not dataset.get("ModalityLUTSequence"):
        # 12 bits: values to 3071 HU are real, -1024 is 3072. 16 bits: no HU reaches 32768.
        first_negative = (1 << stored_bits) - 1024 if stored_bits < 16 else 1 << 15
        low = np.where(low >= first_negative, low - (1 << stored_bits), low)
    if beyond:
        all_ones = (1 << (width - stored_bits)) - 1
        low = np.where(bits >> stored_bits == all_ones, bits - (1 << width), low)
    return low.astype(np.int32, copy=False)


def _as_int16(values: NDArray) -> NDArray[np.int16]:
    """Rounded, and clipped to what int16 holds."""
    if values.dtype.kind == "f":
        values = np.rint(values)
    if values.min() < -32768 or values.max() > 32767:
        values = values.clip(-32768, 32767)
    return values.astype(np.int16)


def decode_pixels(dataset: Dataset, source: str) -> NDArray:
    """Decode pixel data of any kind: stored values as they are.

    Args:
        dataset: with its pixel data.
        source: what to call it in errors.

    Returns:
        ([frames,] rows, columns[, samples]) integers of 8 or 16 bits, in this machine's byte order.

    Raises:
        InputError: for pixel data that no installed decoder reads, and of more bits.
    """
    try:
        raw = dataset.pixel_array
    except Exception as error:  # what decoders raise on damaged data is not documented anywhere
        syntax = dataset.file_meta.TransferSyntaxUID
        mend = "it may be truncated; copy it again"
        if syntax.is_compressed:
            mend = "it may be damaged; copy it again, or decompress it (gdcmconv --raw)"
        raise InputError(source, f"its pixel data ({syntax.name}) cannot be decoded; {mend}") from error
    if raw.dtype.kind not in "iu" or raw.dtype.itemsize > 2:
        raise InputError(source, f"its pixel data is {raw.dtype}; a CT has 8 or 16 bits")
    # Explicit VR Big Endian keeps the file's order in the dtype, which a view of the bits would lose.
    return np.ascontiguousarray(raw, dtype=raw.dtype.newbyteorder("="))


def _rescale(dataset: Dataset, source: str) -> Callable[[NDArray[np.int32]], NDArray]:
    """What makes HU of stored values (PS3.3 C.11.1): the Modality LUT where there is one, else slope and intercept.

    Without either, stored values are not known to be HU: most scanners store HU + 1024.
    """
    kind = str(dataset.get("RescaleType") or "HU").strip().upper()
    lut = dataset.get("ModalityLUTSequence")
    if lut:
        kind = str(lut[0].get("ModalityLUTType") or "").strip().upper()
        if kind != "HU":
            raise InputError(source, f"its Modality LUT gives {kind or 'no known unit'}, not HU")
        return lambda values: _by_lut(dataset, values, source)
    if kind in NO_HU:
        raise InputError(source, f"its RescaleType is {kind}; a CT is in HU")
    slope, intercept = (_finite(dataset, name, source) for name in ("RescaleSlope", "RescaleIntercept"))
    if slope == 0:
        raise InputError(source, "its RescaleSlope is 0: every pixel would be alike")
    if slope == 1 and intercept == int(intercept):
        return lambda values: values + int(intercept)
    return lambda values: values * slope + intercept


def _by_lut(dataset: Dataset, values: NDArray[np.int32], source: str) -> NDArray[np.int32]:
    """Look values up; entries of 16 bits are signed where they are HU, since HU are."""
    try:
        found = apply_modality_lut(values, dataset)
    except Exception as error:
        raise InputError(source, f"its Modality LUT cannot be applied ({type(error).__name__})") from error
    return found.astype(np.uint16).view(np.int16).astype(np.int32)


def _finite(dataset: Dataset, name: str, source: str) -> float:
    """A decimal string that must be there and finite."""
    try:
        value = dataset.get(name)
        number = math.nan if value is None or value == "" else float(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(source, f"its {name} is no number: the values are not known to be HU") from error
    if not math.isfinite(number):
        what = "missing or empty" if value is None or value == "" else f"{number:g}"
        raise InputError(source, f"its {name} is {what}: the values are not known to be HU")
    return number


def _padding(dataset: Dataset, raw: NDArray) -> NDArray[np.bool_] | None:
    """(rows, columns): pixels with the padding value or in the padding range, compared as bits; None without one.

    The padding value's own VR (US or SS) often contradicts PixelRepresentation.
    """
    first = dataset.get("PixelPaddingValue")
    if first is None or first == "":
        return None
    last = dataset.get("PixelPaddingRangeLimit")
    width = raw.dtype.itemsize * 8
    signed = int(dataset.get("PixelRepresentation", 0)) == 1
    ends = (first, first if last is None or last == "" else last)
    low, high = sorted(_reinterpret(int(value), width, signed) for value in ends)
    values = raw.view(f"{'i' if signed else 'u'}{raw.dtype.itemsize}")
    return (values >= low) & (values <= high)


def _at_the_corners(padding: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(rows, columns): padding that reaches a corner of the image.

    A padding value that is tissue's as well (0 with intercept 0 is CSF) is padding outside the scanner's circle alone.
    """
    parts, _ = ndimage.label(padding)
    corners = {int(parts[row, column]) for row in (0, -1) for column in (0, -1)} - {0}
    return np.isin(parts, list(corners))


def _reinterpret(value: int, width: int, signed: bool) -> int:
    value &= (1 << width) - 1
    return value - (1 << width) if signed and value >> (width - 1) else value
