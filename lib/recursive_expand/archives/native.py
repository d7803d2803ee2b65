"""An image file's content before it means anything: its own array, affine and scaling."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recursive_expand.errors import InputError

MAX_SIDE = 8192
"""No CT has more voxels along an axis: larger sizes come from damaged headers."""
MAX_VOXELS = 2**31


@dataclass(frozen=True)
class NativeHeader:
    """What an image file says of its array.

    Attributes:
        shape: (i, j, k), exactly three axes.
        affine: (4, 4) float64, voxel indices to RAS millimetres; finite and invertible.
        dtype: stored data type.
        slope: stored values times this, plus `intercept`, are the image's values.
        intercept: see `slope`.
    """

    shape: tuple[int, int, int]
    affine: NDArray[np.float64]
    dtype: np.dtype
    slope: float = 1.0
    intercept: float = 0.0

    @property
    def nbytes(self) -> int:
        """Size of the stored array in bytes."""
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize

    @property
    def scaled(self) -> bool:
        """Whether stored values are not yet the image's values."""
        return (self.slope, self.intercept) != (1.0, 0.0)


@dataclass(frozen=True)
class NativeImage:
    """An image file's array as stored.

    Attributes:
        header: what the file says of it.
        voxels: (i, j, k) of `header.dtype`, Fortran order, possibly read-only; not scaled.
    """

    header: NativeHeader
    voxels: NDArray


def three_axes(shape: tuple[int, ...], source: str) -> tuple[int, int, int]:
    """The shape of a 2-D or 3-D image, with trailing axes of length 1 dropped or added, as (i, j, k).

    Raises:
        InputError: for an image with time points or channels, without voxels, or larger than any CT.
    """
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    named = " x ".join(map(str, shape))
    if len(shape) > 3:
        raise InputError(source, f"has {len(shape)} dimensions ({named}); a case is one 3-D volume: split it")
    if len(shape) < 2:
        raise InputError(source, f"has {len(shape)} dimensions ({named}); a case is a slice or a volume")
    if min(shape) < 1:
        raise InputError(source, f"is empty ({named} voxels)")
    if max(shape) > MAX_SIDE or int(np.prod(shape, dtype=np.float64)) > MAX_VOXELS:
        raise InputError(source, f"claims {named} voxels: no CT is that large; the header may be damaged")
    i, j, k = (*shape, 1)[:3]
    return i, j, k


def checked_affine(affine: NDArray[np.float64], shape: tuple[int, int, int], source: str) -> NDArray[np.float64]:
    """The affine, made invertible where a single slice leaves its third axis open.

    Raises:
        InputError: for entries that are not finite, and axes of length zero or in one plane.
    """
    affine = np.array(affine, np.float64)
    if not np.isfinite(affine).all():
        raise InputError(source, "its affine holds values that are not finite; save it anew from its DICOM series")
    columns = affine[:3, :3]
    lengths = np.linalg.norm(columns, axis=0)
    if shape[2] == 1 and lengths[2] == 0 and lengths[0] > 0 and lengths[1] > 0:
        # 2-D writers leave the distance between slices at 0.
        columns[:, 2] = np.cross(columns[:, 0] / lengths[0], columns[:, 1] / lengths[1])
        lengths[2] = 1.0
    if (lengths <= 0).any() or abs(np.linalg.det(columns / lengths)) < 1e-3:
        spacing = " x ".join(f"{length:g}" for length in lengths)
        raise InputError(source, f"its affine is not invertible (spacing {spacing} mm); save it anew from its DICOM")
    return affine


def inflate(packed: bytes, size: int, source: str) -> bytes:
    """The first `size` bytes of gzip data, checksums verified; never more, whatever the data would grow to.

    Raises:
        InputError: for damaged or truncated data.
    """
    parts: list[bytes] = []
    missing = size
    try:
        while missing > 0 and packed:
            stream = zlib.decompressobj(wbits=31)
            parts.append(stream.decompress(packed, missing))
            missing -= len(parts[-1])
            # The checksum follows the last byte: ask for one more so that it is read.
            more = b"" if stream.eof else stream.decompress(stream.unconsumed_tail, 1)
            if not stream.eof and not more:
                raise InputError(source, "is truncated: its gzip data ends early; copy or export it again")
            packed = stream.unused_data
    except zlib.error as error:
        raise InputError(source, f"its gzip data is damaged ({error}); copy or export it again") from error
    if missing > 0:
        raise InputError(source, f"is truncated: {missing} of {size} bytes are missing; copy or export it again")
    return parts[0] if len(parts) == 1 else b"".join(parts)
