"""The verdicts of a run, one row a slice, as the ledger has them."""

from __future__ import annotations

from typing import Any

import numpy as np

from recursive_expand.archives.images import read_geometry
from recursive_expand.expand.frozen import frozen_mask
from recursive_expand.expand.workspace import Workspace
from recursive_expand.ledger import Ledger

COLUMNS = (
    "round", "order", "case_id", "slice", "region", "voxels", "accepted", "confidence", "score", "seconds", "reviewer",
    "proposal_sha256", "model_sha256",
)  # fmt: skip
"""Of the rows; a run in which nothing was proposed has none."""


def verdict_rows(ledger: Ledger, workspace: Workspace, classes: tuple[str, ...]) -> list[dict[str, Any]]:
    """What was accepted and rejected, in the order in which it was reviewed.

    Args:
        ledger, workspace: the run's; no server needs to run.
        classes: class names.

    Returns:
        Rows of `round`, `order` (the verdict's place in its round, from 0), `case_id`, `slice`, `region` (the class
        that most of the slice's marked voxels have), `voxels`, `accepted`, `confidence` (the proposal's, as experts
        were shown it), `score` (the probability of acceptance that the queue's order assumed, if it
        did), `seconds` (of the verdict, shared by its slices), `reviewer`, `proposal_sha256`,
        `model_sha256`.
    """
    standing = sorted(ledger.standing_verdicts(), key=lambda verdict: verdict.verdict_id)
    places: dict[int, int] = {}
    rows: list[dict[str, Any]] = []
    for verdict in standing:
        order = places.setdefault(verdict.round, 0)
        places[verdict.round] += 1
        proposal = ledger.proposal_of_round(verdict.case_id, verdict.round)
        assert proposal is not None
        path = workspace.proposal(verdict.round, verdict.case_id)
        mask = read_geometry(path).orientation.to_slices(frozen_mask(workspace, verdict.round, verdict.case_id))
        slices = sorted((*verdict.accepted_slices, *verdict.rejected_slices))
        for number in slices:
            voxels = np.bincount(mask[number].ravel(), minlength=len(classes) + 1)[1:]
            rows.append(
                {
                    "round": verdict.round,
                    "order": order,
                    "case_id": verdict.case_id,
                    "slice": number,
                    "region": classes[int(voxels.argmax())],
                    "voxels": int(voxels.sum()),
                    "accepted": number in verdict.accepted_slices,
                    "confidence": proposal.confidence,
                    "score": proposal.score,
                    "seconds": None if verdict.seconds is None else verdict.seconds / len(slices),
                    "reviewer": verdict.reviewer,
                    "proposal_sha256": verdict.proposal_sha256,
                    "model_sha256": verdict.model_sha256,
                }
            )
    return rows
