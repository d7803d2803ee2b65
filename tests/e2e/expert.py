"""A scripted expert: accepts or rejects a proposal slice by slice, and cannot edit it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Judgement:
    """What the expert says of one proposal.

    Attributes:
        proposed: numbers of the slices with a mask.
        rejected: those of them that are rejected.
    """

    proposed: tuple[int, ...]
    rejected: tuple[int, ...]

    @property
    def verdict(self) -> str:
        """`accept`, or `reject` where every slice is rejected."""
        return "reject" if self.rejected == self.proposed else "accept"

    def kept(self, proposal: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The proposal with its rejected slices emptied: what a client submits for this judgement."""
        kept = proposal.copy()
        kept[:, :, list(self.rejected)] = 0
        return kept


def judge(truth: NDArray[np.uint8], proposal: NDArray[np.uint8], *, tau: float) -> Judgement:
    """Judge a proposal as the paper's expert does: missed blood is ignored, wrongly marked tissue is not.

    Args:
        truth: (columns, rows, slices) uint8 class values.
        proposal: the same.
        tau: a slice is accepted where at most this share of its marked voxels is wrong, class included. Below 0
            everything is rejected.

    Raises:
        ValueError: for an empty proposal, which no expert is asked about.
    """
    marked = (proposal > 0).sum(axis=(0, 1))
    wrong = ((proposal > 0) & (proposal != truth)).sum(axis=(0, 1))
    proposed = tuple(int(k) for k in np.flatnonzero(marked))
    if not proposed:
        raise ValueError("the proposal is empty")
    return Judgement(proposed, tuple(k for k in proposed if wrong[k] / marked[k] > tau))
