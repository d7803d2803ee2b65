"""Frozen proposals on disk: the mask that clients see, and which of its voxels can be trusted."""

from __future__ import annotations

import hashlib
import os
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recursive_expand.archives.atomic import atomic_path, is_abandoned
from recursive_expand.archives.images import read_label, write_label
from recursive_expand.cases import LabelMap
from recursive_expand.expand.workspace import Workspace
from recursive_expand.ledger import ProposalRecord

MASK, TRUST = ".nii.gz", ".trust.npz"
SECONDS_TO_BE_RECORDED = 3600.0
"""A proposal's files are older than this, and still no ledger knows them, only where a process was killed."""


def freeze_files(workspace: Workspace, label: LabelMap, ignore: NDArray[np.bool_]) -> str:
    """Write a proposal's files durably, before the ledger records it.

    They are named for their content, so that whoever makes the same proposal at the same time writes the same files.

    Args:
        workspace: where.
        label: the mask.
        ignore: (slices, rows, columns): voxels in the ignore band.

    Returns:
        The mask's file, relative to the workspace.
    """
    bits = np.packbits(ignore)
    digest = hashlib.sha256(label.sha256.encode())
    digest.update(label.geometry.affine.tobytes())
    digest.update(bits.data)
    name = digest.hexdigest()
    folder = workspace.proposals / name[:2]
    mask, trust = folder / f"{name}{MASK}", folder / f"{name}{TRUST}"
    folder.mkdir(parents=True, exist_ok=True)
    if not _taken_up(trust):
        with atomic_path(trust) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, shape=np.array(ignore.shape), ignore=bits)
    if not _taken_up(mask):
        write_label(mask, label)
    return mask.relative_to(workspace.root).as_posix()


def frozen_file(workspace: Workspace, proposal: ProposalRecord) -> Path:
    """The mask's file: NIfTI in the image's own axes."""
    return workspace.root / proposal.file


def frozen_label(workspace: Workspace, proposal: ProposalRecord, classes: tuple[str, ...]) -> LabelMap:
    """A frozen mask.

    Raises:
        InputError: its file is missing or damaged.
    """
    return read_label(frozen_file(workspace, proposal), classes)


def frozen_ignore(workspace: Workspace, proposal: ProposalRecord) -> NDArray[np.bool_]:
    """(slices, rows, columns): the voxels of a frozen mask that lie in the ignore band."""
    trust = workspace.root / f"{proposal.file.removesuffix(MASK)}{TRUST}"
    with np.load(trust) as stored:
        shape = tuple(int(length) for length in stored["shape"])
        bits = np.unpackbits(stored["ignore"], count=int(np.prod(shape)))
    return bits.reshape(shape).astype(bool)


def sweep_proposals(workspace: Workspace, recorded: set[str]) -> int:
    """Remove what killed processes left: half-written files of theirs, and old ones that no ledger row names.

    Other young ones stay: the server and the process of a round may be freezing at this moment.

    Args:
        workspace: where.
        recorded: the masks' files that the ledger knows, relative to the workspace.

    Returns:
        How many files were removed.
    """
    removed = 0
    latest = time.time() - SECONDS_TO_BE_RECORDED
    for path in workspace.proposals.glob("*/*"):
        mask = path.with_name(f"{path.name.removesuffix(TRUST).removesuffix(MASK)}{MASK}")
        if mask.relative_to(workspace.root).as_posix() in recorded:
            continue
        with suppress(FileNotFoundError):
            if path.stat().st_mtime <= latest or is_abandoned(path):
                path.unlink()
                removed += 1
    return removed


def _taken_up(path: Path) -> bool:
    """Whether a file is there already; it is young again then, so that `sweep_proposals` leaves it."""
    try:
        os.utime(path)
    except FileNotFoundError:
        return False
    return True
