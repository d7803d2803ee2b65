"""Frozen proposals on disk: the mask that clients see, and which of its pixels can be trusted."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from recursive_expand.archives.atomic import atomic_path
from recursive_expand.archives.images import read_mask, write_mask
from recursive_expand.cases import Geometry, voxel_sha256
from recursive_expand.expand.workspace import Workspace


def freeze_files(
    workspace: Workspace,
    round_index: int,
    case_id: str,
    mask: NDArray[np.uint8],
    ignore: NDArray[np.bool_],
    geometry: Geometry,
) -> str:
    """Write a proposal's files durably, before the ledger records it. A file left by a killed process is replaced.

    Args:
        workspace, round_index, case_id: where.
        mask: (slices, rows, columns) class values.
        ignore: the same shape: pixels in the ignore band.
        geometry: the case's.

    Returns:
        The proposal's SHA-256 (`voxel_sha256` of the native mask).
    """
    path = workspace.proposal(round_index, case_id)
    path.parent.mkdir(parents=True, exist_ok=True)
    native = np.ascontiguousarray(geometry.orientation.to_native(mask))
    with atomic_path(workspace.trust(round_index, case_id)) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, shape=np.array(ignore.shape), ignore=np.packbits(ignore))
    write_mask(path, native, geometry)
    return voxel_sha256(native)


def frozen_mask(workspace: Workspace, round_index: int, case_id: str) -> NDArray[np.uint8]:
    """A frozen mask in the image's native axes, uint8."""
    return read_mask(workspace.proposal(round_index, case_id))


def frozen_ignore(workspace: Workspace, round_index: int, case_id: str) -> NDArray[np.bool_]:
    """(slices, rows, columns): the pixels of a frozen mask that lie in the ignore band."""
    with np.load(workspace.trust(round_index, case_id)) as stored:
        shape = tuple(int(length) for length in stored["shape"])
        bits = np.unpackbits(stored["ignore"], count=int(np.prod(shape)))
    return bits.reshape(shape).astype(bool)
