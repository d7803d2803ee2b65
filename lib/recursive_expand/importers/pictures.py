"""Pictures (PNG, JPEG, TIFF, BMP) as grey values and as masks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from recursive_expand.errors import InputError

EXTENSIONS = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")
"""Files that are pictures, in lower case."""

_SIXTEEN_BITS = ("I;16", "I;16L", "I;16B")

JPEG_COLOUR = 16
"""By how much the channels of a grey pixel may differ after JPEG compression, of 255."""

JPEG_MASK = 64
"""By how much a mask's colour may be off after JPEG compression, of 255."""


def read_grey(path: Path) -> NDArray[np.float64]:
    """Read a grey picture, 8 or 16 bits, or one that is saved in colour but is grey.

    Returns:
        (rows, columns) float64 from 0 (black) to 1 (white).

    Raises:
        InputError: for a picture in colour, with transparency, of several pages, or that cannot be read, and where
            white is not known: 32 bits, fractions, and 16 bits that hold 12 alone.
    """
    with _open(path) as picture:
        if picture.mode in _SIXTEEN_BITS or (picture.mode == "I" and picture.format == "PNG"):
            return _of_16_bits(np.asarray(picture).astype(np.int64), path.name)
        if picture.mode in ("I", "F"):
            bits = "32 bits" if picture.mode == "I" else "fractions"
            raise InputError(path.name, f"holds {bits}: what is white in it is not known; save it with 8 or 16 bits")
        if _transparent(picture).any():
            raise InputError(path.name, "is transparent in places; save it without an alpha channel")
        lossy = picture.format == "JPEG"
        channels = np.asarray(picture.convert("RGB")).astype(np.int16)
    spread = channels.max(axis=2) - channels.min(axis=2)
    if spread.max() > (JPEG_COLOUR if lossy else 0):
        where = np.unravel_index(int(spread.argmax()), spread.shape)
        colour = ", ".join(map(str, channels[where]))
        raise InputError(path.name, f"is a colour picture ({colour} at row {where[0]}, column {where[1]}); CT is grey")
    return channels.mean(axis=2) / 255


def read_binary_mask(path: Path, colour: tuple[int, int, int] | None = None) -> NDArray[np.bool_]:
    """Read a mask in which one thing is marked.

    Args:
        path: a picture with any number of bits or colours.
        colour: the mark's colour; None: whatever differs from the background, which is black, or where nothing is
            black, the colour of the first pixel.

    Returns:
        (rows, columns), True where marked.

    Raises:
        InputError: for a picture that cannot be read.
    """
    with _open(path) as picture:
        tolerance = JPEG_MASK if picture.format == "JPEG" else 0
        clear = _transparent(picture)
        if picture.mode in (*_SIXTEEN_BITS, "I", "F", "1"):
            pixels = np.asarray(picture).astype(np.int64)[..., None].repeat(3, axis=2)
        else:
            pixels = np.asarray(picture.convert("RGB")).astype(np.int64)
    if colour is not None:
        return (_far(pixels, colour) <= tolerance) & ~clear
    black = _far(pixels, (0, 0, 0)) <= tolerance
    if clear.any():
        return _opaque_mark(pixels, clear, black, path.name)
    return ~black if black.any() else _far(pixels, pixels[0, 0]) > tolerance


def _opaque_mark(
    pixels: NDArray[np.int64], clear: NDArray[np.bool_], black: NDArray[np.bool_], source: str
) -> NDArray[np.bool_]:
    """(rows, columns): what is marked in a picture whose background, or part of it, is transparent."""
    opaque = ~clear
    if not opaque.any() or (opaque & black).all(where=opaque):
        return opaque
    if (opaque & black).any():
        return opaque & ~black
    first = pixels[opaque][0]
    if (pixels[opaque] != first).any():
        raise InputError(source, "has several colours and is transparent; say which one marks (--mask-colour)")
    return opaque


def read_class_mask(path: Path, classes: Mapping[int, int]) -> NDArray[np.uint8]:
    """Read a mask whose values (or palette indices) stand for classes.

    Args:
        path: a picture with one channel, or with three equal ones.
        classes: mask value of the task by the picture's value; 0 is background.

    Returns:
        (rows, columns) uint8 of the task's mask values.

    Raises:
        InputError: for a value that `classes` does not name, a colour or JPEG picture, or one that cannot be read.
    """
    with _open(path) as picture:
        if picture.format == "JPEG":
            raise InputError(path.name, "is a JPEG: compression changes class values; save masks as PNG")
        clear = _transparent(picture)
        values = np.asarray(picture).astype(np.int64)
    if values.ndim == 3:
        channels = values[..., : min(values.shape[2], 3)] if values.shape[2] != 2 else values[..., :1]
        if (channels != channels[..., :1]).any():
            raise InputError(path.name, "is a colour mask; class values need one channel")
        values = channels[..., 0]
    values = np.where(clear, 0, values)
    mask = np.zeros(values.shape, np.uint8)
    for value in map(int, np.unique(values)):
        if value and value not in classes:
            named = ", ".join(map(str, sorted(classes)))
            raise InputError(path.name, f"holds the value {value}, which --class-values does not name ({named})")
        mask[values == value] = classes[value] if value else 0
    return mask


def _of_16_bits(values: NDArray[np.int64], source: str) -> NDArray[np.float64]:
    """0 to 1; scanners' 12 bits in 16 would read as almost black."""
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > 65535:
        raise InputError(source, f"holds values from {low} to {high}; 16 bits are read")
    if 0 < high < 4096:
        raise InputError(source, f"holds 16 bits, but no more than {high}: 12 bits or fewer; save it with 8 bits")
    return values / 65535


def _transparent(picture: Image.Image) -> NDArray[np.bool_]:
    """(rows, columns): pixels that are mostly transparent; none where all are, since that hides everything alike."""
    if "A" not in picture.getbands() and "transparency" not in picture.info:
        return np.zeros((picture.height, picture.width), bool)
    clear = np.asarray(picture.convert("RGBA"))[..., 3] < 128
    return clear & ~clear.all()


def _far(pixels: NDArray[np.int64], colour: NDArray[np.int64] | tuple[int, int, int]) -> NDArray[np.int64]:
    """(rows, columns): largest difference of a channel from a colour."""
    return np.abs(pixels - np.asarray(colour)).max(axis=2)


def _open(path: Path) -> Image.Image:
    try:
        picture = Image.open(path)
        pages = getattr(picture, "n_frames", 1)
        if pages > 1:
            raise InputError(path.name, f"holds {pages} pages; a picture is one slice")
        picture.load()
    except UnidentifiedImageError as error:
        raise InputError(path.name, "is no picture that can be read") from error
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise InputError(path.name, f"cannot be read ({error}); copy or export it again") from error
    return picture
