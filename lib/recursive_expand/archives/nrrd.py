"""NRRD files (.nrrd, as 3D Slicer and ITK write them): bytes to arrays and back."""

from __future__ import annotations

import os
from io import BytesIO
from pathlib import Path
from typing import Any

import nrrd
import numpy as np
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

MAX_HEADER = 2**20
"""Longest header in bytes; that of a segmentation with many segments has some tens of thousands."""

_COMMENT = "recursive_expand"  # the key of what `write` was given as a comment

_TYPES = {
    "i1": "signed char|int8|int8_t",
    "u1": "uchar|unsigned char|uint8|uint8_t",
    "i2": "short|short int|signed short|signed short int|int16|int16_t",
    "u2": "ushort|unsigned short|unsigned short int|uint16|uint16_t",
    "i4": "int|signed int|int32|int32_t",
    "u4": "uint|unsigned int|uint32|uint32_t",
    "i8": "longlong|long long|long long int|signed long long|signed long long int|int64|int64_t",
    "u8": "ulonglong|unsigned long long|unsigned long long int|uint64|uint64_t",
    "f4": "float",
    "f8": "double",
}
_DTYPES = {name: code for code, names in _TYPES.items() for name in names.split("|")}

# Signs that turn a space's axes into RAS. A file that names no space is in ITK's, LPS.
_TO_RAS = {
    "right-anterior-superior": (1, 1, 1),
    "ras": (1, 1, 1),
    "left-anterior-superior": (-1, 1, 1),
    "las": (-1, 1, 1),
    "left-posterior-superior": (-1, -1, 1),
    "lps": (-1, -1, 1),
}


def read(path: Path, bounds: Bounds) -> NativeImage:
    """Read a NRRD file with attached data, raw or gzipped.

    Raises:
        InputError: for a damaged or truncated file, one that is no 2-D or 3-D image of numbers, and one out of bounds.
        OSError: where the file cannot be opened.
    """
    with path.open("rb") as file:
        header, fields, offset = _parse(file.read(MAX_HEADER), path.name)
        bounds.check(header, path.name)
        available = os.fstat(file.fileno()).st_size
        encoding = str(fields["encoding"]).lower()
        if encoding in ("gzip", "gz"):
            file.seek(offset)
            content = inflate(file, header.nbytes, path.name, available=available - offset)
        elif encoding == "raw":
            content = read_raw(file, header.nbytes, path.name, skip=offset, available=available)
        else:
            raise InputError(path.name, f"its encoding {encoding!r} is not read; save it with gzip or raw")
    return NativeImage(header, content.view(header.dtype).reshape(header.shape, order="F"))


def read_header(path: Path) -> NativeHeader:
    """Read a file's header alone.

    Raises:
        InputError: for a damaged header, and one that is no 2-D or 3-D image of numbers.
        OSError: where the file cannot be opened.
    """
    with path.open("rb") as file:
        return _parse(file.read(MAX_HEADER), path.name)[0]


def read_comment(path: Path) -> str:
    """The text that `write` was given as a comment; empty where there is none.

    Raises:
        InputError: for a damaged header.
        OSError: where the file cannot be opened.
    """
    with path.open("rb") as file:
        return str(_parse(file.read(MAX_HEADER), path.name)[1].get(_COMMENT, ""))


def write(path: Path, voxels: NDArray, affine: NDArray[np.float64], *, comment: str = "") -> None:
    """Write an array, gzipped at level 1, with its affine (RAS millimetres) in LPS as ITK and Slicer expect.

    Args:
        path: where to.
        voxels: (i, j, k) uint8 or int16.
        affine: (4, 4), voxel indices to RAS millimetres.
        comment: one line for a key of our own, which other readers pass over.
    """
    lps = np.diag([-1.0, -1.0, 1.0]) @ affine[:3]
    fields: dict[str, Any] = {
        "space": "left-posterior-superior",
        "space directions": lps[:, :3].T,
        "space origin": lps[:, 3],
        "kinds": ["domain"] * 3,
        "encoding": "gzip",
    }
    if comment:
        fields[_COMMENT] = comment
    # By handle: a path would be judged by its extension, and a temporary file has another.
    with path.open("wb") as file:
        nrrd.write(file, voxels, fields, compression_level=1)


def _parse(content: bytes, source: str) -> tuple[NativeHeader, dict[str, Any], int]:
    """The header, all of its fields, and the offset of the voxels in bytes."""
    if not content:
        raise InputError(source, "is empty (0 bytes); copy or export it again")
    if not content.startswith(b"NRRD"):
        raise InputError(source, "is no NRRD image; copy or export it again")
    stream = BytesIO(content)
    try:
        fields = dict(nrrd.read_header(stream))
        offset = stream.tell()
        sizes = [int(size) for size in fields["sizes"]]
        dtype = np.dtype(_DTYPES[str(fields["type"]).lower()])
        if len(sizes) != int(fields["dimension"]):
            raise ValueError("sizes do not match dimension")
        str(fields["encoding"])
    except Exception as error:  # pynrrd raises what its parsing ran into: IndexError, StopIteration, ...
        raise InputError(source, f"is no NRRD image ({type(error).__name__}: {error})") from error
    if offset >= MAX_HEADER:
        raise InputError(source, f"has no end of its header within {MAX_HEADER} bytes; save it anew")
    # Detached data would let an upload name any file of this machine.
    if {"data file", "datafile"} & fields.keys():
        raise InputError(source, "keeps its voxels in another file; save it with attached data")
    if any(fields.get(key, 0) != 0 for key in ("line skip", "lineskip", "byte skip", "byteskip")):
        raise InputError(source, "skips lines or bytes before its voxels; save it anew")
    kinds = [str(kind).lower() for kind in fields.get("kinds", ["domain"] * len(sizes))]
    colours = [kind for kind in kinds if "color" in kind or "vector" in kind]
    if colours:
        raise InputError(source, f"is a colour or vector image ({colours[0]}); a case holds HU in one channel")
    shape = three_axes(tuple(sizes), source)
    if str(fields.get("endian", "little")).lower() == "big":
        dtype = dtype.newbyteorder(">")
    return NativeHeader(shape, checked_affine(_affine(fields, source), shape, source), dtype), fields, offset


def _affine(fields: dict[str, Any], source: str) -> NDArray[np.float64]:
    space = str(fields.get("space", "left-posterior-superior")).lower()
    if space not in _TO_RAS:
        raise InputError(source, f"its space {space!r} is not known; save it in left-posterior-superior")
    affine = np.eye(4)
    directions = fields.get("space directions")
    if directions is not None:
        for axis, row in enumerate(list(directions)[:3]):
            vector = np.atleast_1d(np.asarray(row, np.float64))
            affine[:, axis] = 0
            affine[: min(vector.size, 3), axis] = vector[:3]
    else:
        for axis, spacing in enumerate(list(fields.get("spacings", []))[:3]):
            affine[axis, axis] = spacing if np.isfinite(spacing) else 1.0
    origin = np.asarray(fields.get("space origin", (0.0, 0.0, 0.0)), np.float64)[:3]
    affine[: origin.size, 3] = origin
    return np.diag([*_TO_RAS[space], 1.0]) @ affine
