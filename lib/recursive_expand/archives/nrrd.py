"""NRRD files (.nrrd, as 3D Slicer and ITK write them): bytes to arrays and back."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import nrrd
import numpy as np
from numpy.typing import NDArray

from recursive_expand.archives.native import NativeHeader, NativeImage, checked_affine, inflate, three_axes
from recursive_expand.errors import InputError

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


def read(path: Path) -> NativeImage:
    """Read a NRRD file with attached data, raw or gzipped.

    Raises:
        InputError: for a damaged or truncated file, and one that is no 2-D or 3-D image of numbers.
        OSError: where the file cannot be opened.
    """
    content = path.read_bytes()
    header, fields, offset = _parse(content, path.name)
    encoding = str(fields["encoding"]).lower()
    if encoding in ("gzip", "gz"):
        data = inflate(content[offset:], header.nbytes, path.name)
    elif encoding == "raw":
        data = content[offset : offset + header.nbytes]
    else:
        raise InputError(path.name, f"its encoding {encoding!r} is not read; save it with gzip or raw")
    if len(data) < header.nbytes:
        missing = header.nbytes - len(data)
        raise InputError(path.name, f"is truncated: {missing} bytes are missing; copy or export it again")
    return NativeImage(header, np.frombuffer(data, header.dtype).reshape(header.shape, order="F"))


def read_header(path: Path) -> NativeHeader:
    """Read a file's header alone.

    Raises:
        InputError: for a damaged header, and one that is no 2-D or 3-D image of numbers.
        OSError: where the file cannot be opened.
    """
    with path.open("rb") as file:
        return _parse(file.read(65536), path.name)[0]


def write(path: Path, voxels: NDArray, affine: NDArray[np.float64]) -> None:
    """Write an array, gzipped at level 1, with its affine (RAS millimetres) in LPS as ITK and Slicer expect."""
    lps = np.diag([-1.0, -1.0, 1.0]) @ affine[:3]
    fields = {
        "space": "left-posterior-superior",
        "space directions": lps[:, :3].T,
        "space origin": lps[:, 3],
        "kinds": ["domain"] * 3,
        "encoding": "gzip",
    }
    # By handle: a path would be judged by its extension, and a temporary file has another.
    with path.open("wb") as file:
        nrrd.write(file, voxels, fields, compression_level=1)


def _parse(content: bytes, source: str) -> tuple[NativeHeader, dict[str, Any], int]:
    """The header, all of its fields, and the offset of the voxels in bytes."""
    if not content:
        raise InputError(source, "is empty (0 bytes); copy or export it again")
    stream = BytesIO(content)
    try:
        fields = dict(nrrd.read_header(stream))
        offset = stream.tell()
        sizes = [int(size) for size in fields["sizes"]]
        dtype = np.dtype(_DTYPES[str(fields["type"]).lower()])
        if len(sizes) != int(fields["dimension"]):
            raise ValueError("sizes do not match dimension")
        str(fields["encoding"])
    except (nrrd.NRRDError, KeyError, ValueError, TypeError, StopIteration) as error:
        raise InputError(source, f"is no NRRD image ({type(error).__name__}: {error})") from error
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
