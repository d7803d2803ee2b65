"""Verdicts as rows, from the ledger."""

from __future__ import annotations

import numpy as np

from recursive_expand.ledger import VerdictKind
from recursive_expand.study.verdicts import verdict_rows


def test_verdicts_are_a_row_a_slice_in_the_order_of_review(reviewing) -> None:
    ledger = reviewing.ledger
    shown = [proposal for proposal, _ in ledger.queue(now=0.0)][:2]
    for seconds, (proposal, rejected) in enumerate(zip(reversed(shown), ([shown[1].slices[0]], []), strict=True)):
        decide = {"reviewer": "a", "client": "b", "seconds": 3.0 + seconds}
        ledger.decide(proposal.case_id, proposal.sha256, VerdictKind.ACCEPT, rejected_slices=rejected, **decide)
    rows = verdict_rows(ledger, reviewing.workspace, reviewing.task.classes)
    expected = [(order, p.case_id, k) for order, p in enumerate(reversed(shown)) for k in p.slices]
    assert [(row["order"], row["case_id"], row["slice"]) for row in rows] == expected
    assert [row["accepted"] for row in rows] == [n > 0 for n in range(len(rows))]
    first = [row for row in rows if row["order"] == 0]
    assert sum(row["seconds"] for row in first) == 3.0
    assert sum(row["voxels"] for row in first) == sum(shown[1].voxels.values())
    assert {row["region"] for row in rows} <= set(reviewing.task.classes)
    assert np.isclose(first[0]["confidence"], shown[1].confidence)
