"""NIfTI files (.nii, .nii.gz): bytes to arrays and back."""

from __future__ import annotations

import struct
import zlib
from io import BytesIO
from pathlib import Path

import nibabel as nib
import numpy as np
from isal import isal_zlib
from nibabel.spatialimages import HeaderDataError
from nibabel.wrapstruct import WrapStructError
from numpy.typing import NDArray

from recursive_expand.archives.native import NativeHeader, NativeImage, checked_affine, inflate, three_axes
from recursive_expand.errors import InputError

_GZIP = b"\x1f\x8b"
_HEADER_BYTES = 540  # NIfTI-2; NIfTI-1 has 348
_LEVEL = 2  # of ISA-L, from 0 to 3
_SCANNER = 1  # xform code NIFTI_XFORM_SCANNER_ANAT


def read(path: Path) -> NativeImage:
    """Read a NIfTI-1 or NIfTI-2 file, gzipped or not, whatever its name says.

    Raises:
        InputError: for a damaged or truncated file, and one that is no 2-D or 3-D image of numbers.
        OSError: where the file cannot be opened.
    """
    content = path.read_bytes()
    header, offset = _parse(content, path.name)
    if content[:2] == _GZIP:
        content = inflate(content, offset + header.nbytes, path.name)
    elif len(content) < offset + header.nbytes:
        missing = offset + header.nbytes - len(content)
        raise InputError(path.name, f"is truncated: {missing} bytes are missing; copy or export it again")
    flat = np.frombuffer(content, header.dtype, count=header.nbytes // header.dtype.itemsize, offset=offset)
    return NativeImage(header, flat.reshape(header.shape, order="F"))


def read_header(path: Path) -> NativeHeader:
    """Read a file's header alone: a fraction of a millisecond.

    Raises:
        InputError: for a damaged header, and one that is no 2-D or 3-D image of numbers.
        OSError: where the file cannot be opened.
    """
    with path.open("rb") as file:
        return _parse(file.read(4096), path.name)[0]


def write(path: Path, voxels: NDArray, affine: NDArray[np.float64], *, compress: bool) -> None:
    """Write an array with the affine as sform and the closest rigid one as qform, both codes set.

    ITK refuses a sheared sform (gantry tilt) without a qform, so both are always there.

    Args:
        path: where to.
        voxels: (i, j, k) uint8 or int16.
        affine: (4, 4), voxel indices to RAS millimetres.
        compress: gzip by ISA-L: as small as zlib at level 1, in a quarter of its time.
    """
    header = nib.Nifti1Header()
    header.set_data_dtype(voxels.dtype)
    header.set_data_shape(voxels.shape)
    header.set_xyzt_units("mm")
    header.set_qform(affine, code=_SCANNER, strip_shears=True)
    header.set_sform(affine, code=_SCANNER)
    header.set_slope_inter(1, 0)
    header.single_magic = b"n+1"
    header.set_data_offset(352)
    content = header.binaryblock + bytes(4) + voxels.astype(header.get_data_dtype(), copy=False).tobytes(order="F")
    if compress:
        packer = isal_zlib.compressobj(_LEVEL, isal_zlib.DEFLATED, 31)
        content = packer.compress(content) + packer.flush()
    path.write_bytes(content)


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
        parsed = kind.from_fileobj(BytesIO(head))
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
    return header, max(int(parsed["vox_offset"]), 352)


def _kind(dtype: np.dtype) -> str:
    return "RGB" if dtype.names else str(dtype)


def _one_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
