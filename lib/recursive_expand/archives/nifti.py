"""NIfTI files (.nii, .nii.gz): bytes to arrays and back."""

from __future__ import annotations

import logging
import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import nibabel as nib
import numpy as np
from isal import igzip_threaded
from nibabel.spatialimages import HeaderDataError
from nibabel.wrapstruct import WrapStructError
from numpy.typing import NDArray

from recursive_expand.archives.native import (
    Bounds,
    NativeHeader,
    NativeImage,
    checked_affine,
    inflate,
    read_raw,
    three_axes,
)
from recursive_expand.errors import InputError

MAX_OFFSET = 2**24
"""Furthest begin of the voxels, in bytes: before them are the header and its extensions."""

_GZIP = b"\x1f\x8b"
_HEADER_BYTES = 540  # NIfTI-2; NIfTI-1 has 348
_LEVEL, _THREADS = 1, 2  # of ISA-L: levels from 0 to 3
_FILE_HEAD = 2**14  # of a file, enough for a header however it is packed
_COMMENT_HEAD = 2**16  # of a file, enough for the extensions that `write` makes
_COMMENT_BEGIN = 560  # of a file, enough to see whether it has extensions
_SCANNER = 1  # xform code NIFTI_XFORM_SCANNER_ANAT
_COMMENT = 6  # extension code NIFTI_ECODE_COMMENT

# nibabel says on the terminal what it mends in a header, in the header's own bytes.
_SILENT = logging.getLogger(f"{__name__}.nibabel")
_SILENT.addHandler(logging.NullHandler())
_SILENT.propagate = False


def read(path: Path, bounds: Bounds) -> NativeImage:
    """Read a NIfTI-1 or NIfTI-2 file, gzipped or not, whatever its name says.

    Raises:
        InputError: for a damaged or truncated file, one that is no 2-D or 3-D image of numbers, and one out of bounds.
        OSError: where the file cannot be opened.
    """
    with path.open("rb") as file:
        head = file.read(_FILE_HEAD)
        header, offset = _parse(head, path.name)
        bounds.check(header, path.name)
        available = os.fstat(file.fileno()).st_size
        if head[:2] == _GZIP:
            file.seek(0)
            content = inflate(file, header.nbytes, path.name, skip=offset, available=available)
        else:
            content = read_raw(file, header.nbytes, path.name, skip=offset, available=available)
    return NativeImage(header, content.view(header.dtype).reshape(header.shape, order="F"))


def read_header(path: Path) -> NativeHeader:
    """Read a file's header alone: a fraction of a millisecond.

    Raises:
        InputError: for a damaged header, and one that is no 2-D or 3-D image of numbers.
        OSError: where the file cannot be opened.
    """
    with path.open("rb") as file:
        return _parse(file.read(_FILE_HEAD), path.name)[0]


def read_comments(path: Path) -> list[bytes]:
    """The comments (extensions of code 6) in a file's first 64 KiB; none where it is no NIfTI file.

    Raises:
        OSError: where the file cannot be opened.
    """
    with path.open("rb") as file:
        head = file.read(_COMMENT_HEAD)
    if head[:2] == _GZIP:
        try:
            # Nearly all files have no extension, which their first bytes say.
            packed, head = head, zlib.decompressobj(wbits=31).decompress(head, _COMMENT_BEGIN)
            if _first_extension(head) is not None:
                head = zlib.decompressobj(wbits=31).decompress(packed, _COMMENT_HEAD)
        except zlib.error:
            return []
    found = _first_extension(head)
    if found is None:
        return []
    order, begin, end = found
    return [content for code, content in _extensions(head[begin:end], order) if code == _COMMENT]


def write(path: Path, voxels: NDArray, affine: NDArray[np.float64], *, compress: bool, comment: bytes = b"") -> None:
    """Write an array with the affine as sform and the closest rigid one as qform, both codes set.

    ITK refuses a sheared sform (gantry tilt) without a qform, so both are always there.

    Args:
        path: where to.
        voxels: (i, j, k) uint8 or int16.
        affine: (4, 4), voxel indices to RAS millimetres.
        compress: gzip by ISA-L: as small as zlib at level 1, in a quarter of its time on one core, and on two at once.
        comment: UTF-8 text for an extension of code 6, which other readers pass over.
    """
    extension = b"\1\0\0\0" if comment else bytes(4)
    if comment:
        size = -(-(8 + len(comment)) // 16) * 16
        extension += struct.pack("<ii", size, _COMMENT) + comment.ljust(size - 8, b"\0")
    header = nib.Nifti1Header(endianness="<")
    header.set_data_dtype(voxels.dtype)
    header.set_data_shape(voxels.shape)
    header.set_xyzt_units("mm")
    header.set_qform(affine, code=_SCANNER, strip_shears=True)
    header.set_sform(affine, code=_SCANNER)
    header.set_slope_inter(1, 0)
    header.single_magic = b"n+1"
    header.set_data_offset(348 + len(extension))
    content = np.ascontiguousarray(voxels.T, header.get_data_dtype())  # the first axis runs fastest
    with (
        igzip_threaded.open(path, "wb", compresslevel=_LEVEL, threads=_THREADS) if compress else path.open("wb")
    ) as file:
        file.write(header.binaryblock + extension)
        file.write(content.data)


def _parse(content: bytes, source: str) -> tuple[NativeHeader, int]:
    """The header, and the offset of the voxels in bytes."""
    if not content:
        raise InputError(source, "is empty (0 bytes); copy or export it again")
    head = content[:_HEADER_BYTES]
    if content[:2] == _GZIP:
        try:
            head = zlib.decompressobj(wbits=31).decompress(content, _HEADER_BYTES)
        except zlib.error as error:
            raise InputError(source, f"its gzip data is damaged ({error}); copy or export it again") from error
    if len(head) < 348:
        raise InputError(source, "is truncated: its NIfTI header ends early; copy or export it again")
    kind = (
        nib.Nifti2Header if 540 in struct.unpack("<i", head[:4]) + struct.unpack(">i", head[:4]) else nib.Nifti1Header
    )
    try:
        # Not from_fileobj: that reads extensions too, and warns of them on the terminal.
        parsed = kind(head[: kind.template_dtype.itemsize], check=False)
        parsed.check_fix(logger=_SILENT)
        dtype = parsed.get_data_dtype()
        slope, intercept = parsed.get_slope_inter()
        shape = tuple(int(side) for side in parsed.get_data_shape())
        affine = parsed.get_best_affine()
    except (HeaderDataError, WrapStructError, ValueError, KeyError) as error:
        raise InputError(source, f"is no NIfTI image ({_one_line(error)})") from error
    if bytes(parsed["magic"])[:3] not in (b"n+1", b"n+2"):
        raise InputError(source, "is no single-file NIfTI image; convert it to .nii.gz")
    if dtype.names or dtype.kind not in "iuf":
        raise InputError(source, f"is a colour or complex image ({_kind(dtype)}); a case holds HU in one channel")
    shape3 = three_axes(shape, source)
    scaling = (1.0 if slope is None else float(slope), 0.0 if intercept is None else float(intercept))
    header = NativeHeader(shape3, checked_affine(affine, shape3, source), dtype, *scaling)
    offset = float(parsed["vox_offset"])
    if not 0 <= offset <= MAX_OFFSET:  # NaN too
        raise InputError(source, f"says that its voxels begin at byte {offset:g}; the header may be damaged")
    return header, max(int(offset), kind.single_vox_offset)


def _first_extension(head: bytes) -> tuple[str, int, int] | None:
    """Byte order of a header, where its extensions begin, and where its voxels do; None where there are none."""
    for order in "<>":
        for size, place, kind in ((348, 108, "f"), (540, 168, "q")):
            if len(head) >= size + 4 and struct.unpack_from(f"{order}i", head)[0] == size and head[size]:
                offset = struct.unpack_from(f"{order}{kind}", head, place)[0]
                return (order, size + 4, int(offset)) if size < offset <= MAX_OFFSET else None
    return None


def _extensions(block: bytes, order: str) -> Iterator[tuple[int, bytes]]:
    """(code, content) of each extension in what lies between header and voxels, as far as it is well formed."""
    at = 0
    while at + 8 <= len(block):
        size, code = struct.unpack_from(f"{order}ii", block, at)
        if size < 8 or at + size > len(block):
            return
        yield code, block[at + 8 : at + size].rstrip(b"\0")
        at += size


def _kind(dtype: np.dtype) -> str:
    return "RGB" if dtype.names else str(dtype)


def _one_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
