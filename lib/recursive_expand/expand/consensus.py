"""What several readers' judgements of a slice come to."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from recursive_expand.ledger import Judgement

Policy = Literal["first"]
"""How readers are heard: `first`: the first judgement of a slice counts."""


def consensus(judgements: Iterable[Judgement], policy: Policy = "first") -> dict[int, bool]:
    """Settle the slices of one proposal.

    Args:
        judgements: those that stand, of one proposal, in any order.
        policy: how readers are heard.

    Returns:
        Whether the slice's mask is accepted, by slice number; slices that are not settled are missing.
    """
    assert policy == "first"
    settled: dict[int, bool] = {}
    for one in sorted(judgements, key=lambda judgement: judgement.verdict_id):
        settled.setdefault(one.slice, one.accepted)
    return dict(sorted(settled.items()))
