"""Masks as NRRD files, read without a library: voxels, and where they are."""

from __future__ import annotations

import gzip
from dataclasses import dataclass

import numpy as np

_MAGIC = b"NRRD000"
_BYTES = ("unsigned char", "uint8", "uint8_t", "uchar")
_TO_RAS = {
    "left-posterior-superior": np.diag([-1.0, -1.0, 1.0]),
    "lps": np.diag([-1.0, -1.0, 1.0]),
    "right-anterior-superior": np.eye(3),
    "ras": np.eye(3),
}


class UnreadableMask(ValueError):
    """What the server sent is no mask that this module reads."""


@dataclass(frozen=True)
class Mask:
    """A mask as it is in its file.

    Attributes:
        voxels: (i, j, k) uint8, class values; a single slice has k = 1.
        ijk_to_ras: (4, 4) float64, voxel indices to RAS millimetres; None where the file does not say.
    """

    voxels: np.ndarray
    ijk_to_ras: np.ndarray | None


def read_mask(content: bytes) -> Mask:
    """Read a mask of bytes, raw or gzip (https://teem.sourceforge.net/nrrd/format.html).

    Raises:
        UnreadableMask: another type or encoding, or fewer voxels than the header says.
    """
    head, _, data = content.partition(b"\n\n")
    lines = head.decode("ascii", "replace").splitlines()
    if not content.startswith(_MAGIC):
        raise UnreadableMask("the server's mask is no NRRD file")
    fields = dict(line.split(": ", 1) for line in lines[1:] if ": " in line and not line.startswith("#"))
    if fields.get("type", "").lower() not in _BYTES:
        raise UnreadableMask(f"the server's mask is of type {fields.get('type')}; unsigned char is read")
    encoding = fields.get("encoding", "").lower()
    if encoding in ("gzip", "gz"):
        data = gzip.decompress(data)
    elif encoding != "raw":
        raise UnreadableMask(f"the server's mask is encoded as {encoding}; raw and gzip are read")
    sizes = [int(size) for size in fields["sizes"].split()]
    shape = tuple(sizes + [1] * (3 - len(sizes)))
    if len(shape) != 3 or len(data) < np.prod(shape):
        raise UnreadableMask(f"the server's mask has {len(data)} voxels, its header says {fields['sizes']}")
    voxels = np.frombuffer(data, np.uint8, count=int(np.prod(shape))).reshape(shape, order="F")
    return Mask(voxels, _matrix(fields) if len(sizes) == 3 else None)


def _matrix(fields: dict[str, str]) -> np.ndarray | None:
    to_ras = _TO_RAS.get(fields.get("space", "").lower())
    if to_ras is None:
        return None
    found = np.eye(4)
    for axis, vector in enumerate(fields["space directions"].replace(" ", "").strip("()").split(")(")):
        found[:3, axis] = to_ras @ [float(number) for number in vector.split(",")]
    found[:3, 3] = to_ras @ [float(number) for number in fields["space origin"].strip("()").split(",")]
    return found
