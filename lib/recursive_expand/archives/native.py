"""An image file's content before it means anything: its own array, affine and scaling."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from isal import isal_zlib
from numpy.typing import NDArray

from recursive_expand.errors import InputError

MAX_SIDE = 8192
"""No CT has more voxels along an axis: larger sizes come from damaged headers."""
MAX_CASE_BYTES = 2**31
"""Default of how many bytes a case's voxels may take, be it as stored or as HU: 2 GiB."""
DEFLATE_RATIO = 1032
"""Deflate packs no more bytes than that into one: what claims more is truncated."""
PORTION = 2**16
"""Voxels that are converted at a time: what is needed beside the result stays small."""
HU_BYTES = 2
"""Of a voxel in HU."""

_UNPACKED = 2**18  # bytes unpacked at a time: in smaller parts it takes longer
_MM = (1e-6, 1e6)  # No voxel is smaller, none lies further off.


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
    def voxels(self) -> int:
        """Number of voxels."""
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def nbytes(self) -> int:
        """Size of the stored array in bytes."""
        return self.voxels * self.dtype.itemsize

    @property
    def scaled(self) -> bool:
        """Whether stored values are not yet the image's values."""
        return (self.slope, self.intercept) != (1.0, 0.0)


@dataclass(frozen=True)
class NativeImage:
    """An image file's array as stored.

    Attributes:
        header: what the file says of it.
        voxels: (i, j, k) of `header.dtype`, Fortran order; not scaled.
    """

    header: NativeHeader
    voxels: NDArray


@dataclass(frozen=True)
class Bounds:
    """What an image is held against once its header is read, and before memory is spent on its voxels.

    Attributes:
        max_bytes: of its voxels, as stored and as HU.
        shape: the only shape (i, j, k) that will do; None for any.
    """

    max_bytes: int = MAX_CASE_BYTES
    shape: tuple[int, int, int] | None = None

    def check(self, header: NativeHeader, source: str) -> None:
        """Hold a header against these bounds.

        Raises:
            InputError: for another shape and for too many bytes.
        """
        if self.shape is not None and header.shape != self.shape:
            raise InputError(
                source, f"has {by(header.shape)} voxels, its image {by(self.shape)}; a mask has its image's shape"
            )
        needed = max(header.nbytes, header.voxels * HU_BYTES)
        if needed > self.max_bytes:
            raise InputError(
                source,
                f"claims {by(header.shape)} voxels, which need {needed} bytes; no more than {self.max_bytes} are read "
                "(max_case_bytes): the header may be damaged",
            )


def by(shape: tuple[int, ...]) -> str:
    """A shape as people write it: `512 x 512 x 28`."""
    return " x ".join(map(str, shape))


def portions(size: int) -> Iterator[slice]:
    """Consecutive parts of `size` voxels, `PORTION` each."""
    return (slice(start, start + PORTION) for start in range(0, size, PORTION))


def three_axes(shape: tuple[int, ...], source: str) -> tuple[int, int, int]:
    """The shape of a 2-D or 3-D image, with trailing axes of length 1 dropped or added, as (i, j, k).

    Raises:
        InputError: for an image with time points or channels, without voxels, or larger than any CT.
    """
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    named = by(shape)
    if len(shape) > 3:
        raise InputError(source, f"has {len(shape)} dimensions ({named}); a case is one 3-D volume: split it")
    if len(shape) < 2:
        raise InputError(source, f"has {len(shape)} dimensions ({named}); a case is a slice or a volume")
    if min(shape) < 1:
        raise InputError(source, f"is empty ({named} voxels)")
    if max(shape) > MAX_SIDE:
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
    if np.abs(affine[:3]).max() > _MM[1]:
        raise InputError(
            source, f"its affine holds {np.abs(affine[:3]).max():g} mm; save it anew from its DICOM series"
        )
    columns = affine[:3, :3]
    lengths = np.linalg.norm(columns, axis=0)
    if shape[2] == 1 and lengths[2] == 0 and lengths[0] > 0 and lengths[1] > 0:
        # 2-D writers leave the distance between slices at 0.
        columns[:, 2] = np.cross(columns[:, 0] / lengths[0], columns[:, 1] / lengths[1])
        lengths[2] = 1.0
    if (lengths < _MM[0]).any() or abs(np.linalg.det(columns / lengths)) < 1e-3:
        spacing = " x ".join(f"{length:g}" for length in lengths)
        raise InputError(source, f"its affine is not invertible (spacing {spacing} mm); save it anew from its DICOM")
    return affine


def read_raw(file: BinaryIO, size: int, source: str, *, skip: int, available: int) -> NDArray[np.uint8]:
    """`size` bytes of a file from byte `skip` on.

    Args:
        file: at any position.
        size: how many bytes; memory is taken only where the file has them.
        source: its name.
        skip: where they begin.
        available: the file's size.

    Raises:
        InputError: for a truncated file.
    """
    missing = skip + size - available
    if missing <= 0:
        file.seek(skip)
        content = np.fromfile(file, np.uint8, count=size)
        missing = size - content.size
    if missing > 0:
        raise InputError(source, f"is truncated: {missing} bytes are missing; copy or export it again")
    return content


def inflate(file: BinaryIO, size: int, source: str, *, skip: int = 0, available: int) -> NDArray[np.uint8]:
    """`size` bytes of gzip data after the first `skip`, checksums verified; never more, whatever it would grow to.

    Args:
        file: at the begin of the gzip data.
        size: how many bytes are wanted; memory is taken only where that much can be in the file.
        source: its name.
        skip: how many bytes are thrown away before.
        available: how many packed bytes there are, at most.

    Raises:
        InputError: for damaged or truncated data.
    """
    if skip + size > DEFLATE_RATIO * (available + 64):
        raise InputError(
            source, f"is truncated: {available} packed bytes never hold {skip + size}; copy or export it again"
        )
    content = np.empty(size, np.uint8)
    seen, wanted = 0, skip + size
    stream, packed = isal_zlib.decompressobj(wbits=31), b""  # what ISA-L packed takes zlib four times as long
    try:
        # The checksum follows the last byte: one more is asked for so that it is read.
        while seen < wanted or not stream.eof:
            packed = packed or file.read(PORTION)
            if not packed:
                if seen < wanted:
                    reason = f"{wanted - seen} of {wanted} bytes are missing"
                else:
                    reason = "its gzip data ends early"
                raise InputError(source, f"is truncated: {reason}; copy or export it again")
            part = stream.decompress(packed, min(_UNPACKED, wanted - seen) or 1)
            if part and seen >= wanted:
                break
            first = max(skip - seen, 0)
            if first < len(part):
                start = seen + first - skip
                content[start : start + len(part) - first] = np.frombuffer(part, np.uint8, offset=first)
            seen += len(part)
            packed = stream.unconsumed_tail
            if stream.eof and seen < wanted:
                packed, stream = stream.unused_data, isal_zlib.decompressobj(wbits=31)
    except isal_zlib.error as error:  # type: ignore[misc]  # its stub says that it is a value
        raise InputError(source, f"its gzip data is damaged ({error}); copy or export it again") from error
    return content
