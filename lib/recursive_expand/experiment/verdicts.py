"""The verdicts of a run, one row per slice."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from recursive_expand.experiment.layout import Rows
from recursive_expand.experiment.ledger_reading import Reviewed

COLUMNS = (
    "round", "order", "second_look", "case_id", "slice", "region", "voxels", "accepted", "confidence", "score",
    "seconds", "reviewer", "proposal_sha256", "model_sha256",
)  # fmt: skip
"""Columns of `verdicts.csv`, which has no rows if nothing was proposed."""


def verdict_rows(reviewed: Iterable[Reviewed], classes: Sequence[str]) -> Rows:
    """Accepted and rejected slices, in the order of the review.

    Args:
        reviewed: the run's standing verdicts, in the order of the review.
        classes: class names.

    Returns:
        Rows of `round`, `order` (the verdict's place in its round, from 0), `second_look`, `case_id`, `slice`,
        `region` (the class of most of the slice's marked voxels), `voxels`, `accepted`, `confidence` (the proposal's),
        `score` (the predicted probability of acceptance, if the queue was ordered by it), `seconds` (the verdict's,
        divided among its slices), `reviewer`, `proposal_sha256`, `model_sha256`.
    """
    places: dict[int, int] = {}
    rows: Rows = []
    for one in reviewed:
        verdict = one.verdict
        order = places.setdefault(verdict.round, 0)
        places[verdict.round] += 1
        slices = sorted((*verdict.accepted_slices, *verdict.rejected_slices))
        for number in slices:
            voxels = one.voxels[number]
            rows.append(
                {
                    "round": verdict.round,
                    "order": order,
                    "second_look": verdict.chance > 0,
                    "case_id": verdict.case_id,
                    "slice": number,
                    "region": classes[int(np.argmax(voxels))],
                    "voxels": sum(voxels),
                    "accepted": number in verdict.accepted_slices,
                    "confidence": one.confidence,
                    "score": one.score,
                    "seconds": None if verdict.seconds is None else verdict.seconds / len(slices),
                    "reviewer": verdict.reviewer,
                    "proposal_sha256": verdict.proposal_sha256,
                    "model_sha256": verdict.model_sha256,
                }
            )
    return rows
