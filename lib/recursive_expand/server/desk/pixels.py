"""Slices and their masks as one binary answer: int16 HU and run lengths."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

MAGIC = b"DESK0001"
"""Tells the page what it got, and which form of it."""


def encode(hu: NDArray[np.int16], mask: NDArray[np.uint8], numbers: Sequence[int], facts: dict[str, Any]) -> bytes:
    """Slices as the page reads them: magic, length of the header, header, HU, runs.

    All numbers are little-endian. The length is uint32; the header is JSON in UTF-8, padded with spaces so that what
    follows starts at a multiple of 8 bytes; HU are int16 in the order slice, row, column; runs are uint32 triples
    (first voxel, number of voxels, class), voxels counted over all slices of the answer.

    Args:
        hu: (slices, rows, columns), Hounsfield units.
        mask: (slices, rows, columns), class values.
        numbers: of the slices that are sent, in order.
        facts: what else the header says.
    """
    chosen = list(numbers)
    pixels = np.ascontiguousarray(hu[chosen], "<i2")
    found = runs(mask[chosen])
    header = {**facts, "numbers": chosen, "rows": hu.shape[1], "columns": hu.shape[2], "runs": len(found)}
    text = json.dumps(header).encode()
    text += b" " * (-(len(MAGIC) + 4 + len(text)) % 8)
    # Runs are 4-byte numbers: an odd number of voxels is padded.
    padding = b"\0" * (-pixels.nbytes % 4)
    parts = [MAGIC, len(text).to_bytes(4, "little"), text, pixels.tobytes(), padding, found.astype("<u4").tobytes()]
    return b"".join(parts)


def runs(mask: NDArray[np.uint8]) -> NDArray[np.int64]:
    """(runs, 3): first voxel, length and value of each run of one class, in C order of a mask."""
    flat = np.ascontiguousarray(mask).ravel()
    if flat.size == 0:
        return np.zeros((0, 3), np.int64)
    starts = np.concatenate([[0], np.flatnonzero(flat[1:] != flat[:-1]) + 1])
    lengths = np.diff(starts, append=flat.size)
    values = flat[starts]
    return np.stack([starts, lengths, values], axis=1)[values > 0]
