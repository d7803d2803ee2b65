"""What experts accepted of a round's proposals, all of them and in the random share of the queue."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import Any

from recursive_expand.expand.random_share import RandomShare
from recursive_expand.ledger import Ledger, RoundRecord, VerdictRecord


def observed_acceptance(ledger: Ledger, round_: RoundRecord) -> dict[str, Any] | None:
    """The acceptance that was observed, to be held against what was promised.

    Of all that was judged at first look, and of the random share (`Review.random_share`): as readers judge the
    likeliest first, the former flatters.

    Returns:
        `{"judged": ..., "random": ...}`, each with the number of `slices`, `accepted` (their share) and
        `accepted_of_patients` (the mean over patients of their share, which is what is promised); the shares None
        without a verdict. None for a round that promises nothing and leaves nothing random.
    """
    random = RandomShare.of(round_)
    if "promised" not in (round_.operating_point or {}) and not random.share:
        return None
    verdicts = [
        verdict for verdict in ledger.judgements.verdicts() if (verdict.round, verdict.chance) == (round_.round, 0)
    ]
    of_random = [verdict for verdict in verdicts if random.holds(verdict.proposal_id)]
    return {"judged": _rates(ledger, verdicts), "random": _rates(ledger, of_random)}


def _rates(ledger: Ledger, verdicts: Sequence[VerdictRecord]) -> dict[str, Any]:
    patients: dict[str, list[bool]] = {}
    for verdict in verdicts:
        case = ledger.cases.get(verdict.case_id)
        slices = patients.setdefault(case.patient or case.case_id, [])
        slices += [True] * len(verdict.accepted_slices) + [False] * len(verdict.rejected_slices)
    found = [slices for slices in patients.values() if slices]
    return {
        "slices": sum(map(len, found)),
        "accepted": fmean(one for slices in found for one in slices) if found else None,
        "accepted_of_patients": fmean(map(fmean, found)) if found else None,
    }
