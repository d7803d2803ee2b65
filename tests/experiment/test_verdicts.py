"""Verdicts as rows."""

from __future__ import annotations

import pytest

from recursive_expand.experiment.ledger_reading import Reviewed
from recursive_expand.experiment.verdicts import COLUMNS, verdict_rows
from recursive_expand.ledger import VerdictKind, VerdictRecord


def _reviewed(case_id: str, accepted: tuple[int, ...], rejected: tuple[int, ...], *, index: int = 0) -> Reviewed:
    verdict = VerdictRecord(
        verdict_id=1, proposal_id=1, case_id=case_id, round=index, proposal_sha256="p", model_sha256="m",
        verdict=VerdictKind.ACCEPT, accepted_slices=accepted, rejected_slices=rejected, reviewer="a", client="b",
        authenticated=False,
        reason=None, comment=None, seconds=3.0, ts="", used_by=None, withdrawn=None,
    )  # fmt: skip
    return Reviewed(verdict, 0.75, None, {number: (number, 5) for number in (*accepted, *rejected)})


def test_verdicts_are_a_row_a_slice_in_the_order_of_review() -> None:
    rows = verdict_rows([_reviewed("b", (2, 7), (4,)), _reviewed("a", (0,), ())], ("x", "y"))
    assert [(row["order"], row["case_id"], row["slice"]) for row in rows] == [
        (0, "b", 2),
        (0, "b", 4),
        (0, "b", 7),
        (1, "a", 0),
    ]
    assert [row["accepted"] for row in rows] == [True, False, True, True]
    assert all(tuple(row) == COLUMNS for row in rows)


def test_a_slice_has_its_leading_class_and_its_share_of_the_time() -> None:
    rows = verdict_rows([_reviewed("b", (2, 7), (4,))], ("x", "y"))
    assert [(row["region"], row["voxels"]) for row in rows] == [("y", 7), ("y", 9), ("x", 12)]
    assert sum(row["seconds"] for row in rows) == pytest.approx(3.0)


def test_the_order_begins_anew_in_every_round() -> None:
    rows = verdict_rows([_reviewed("b", (2,), ()), _reviewed("a", (0,), (), index=1)], ("x", "y"))
    assert [(row["round"], row["order"]) for row in rows] == [(0, 0), (1, 0)]
