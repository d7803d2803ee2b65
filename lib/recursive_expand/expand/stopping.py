"""When is a round's review over, and when does the recursion stop?"""

from __future__ import annotations

from enum import StrEnum

from recursive_expand.cases import Role
from recursive_expand.expand.training_set import TrainingSet
from recursive_expand.ledger import Ledger, RoundRecord
from recursive_expand.task import Task


class Review(StrEnum):
    """What to do about the review of the current round."""

    GOES_ON = "goes_on"
    EXPANDED = "expanded"
    """It is over, or enough verdicts are in, and brought something new: the next round follows."""
    CONVERGED = "converged"
    """Every proposal is decided and nothing new came of it."""


def expansion(ledger: Ledger, round_: RoundRecord) -> int:
    """New slices since a round's training set: accepted ones, and those of cases that became pixel cases."""
    trained = TrainingSet.from_json(ledger.training_set(round_.round))
    pixel = {case_id for case_id, _, _ in trained.pixel} | set(trained.validation)
    new = ledger.count_verdicts(unused=True)["accepted_slices"]
    return new + sum(c.slices for c in ledger.iter_cases(roles=[Role.PIXEL]) if c.case_id not in pixel)


def judge_review(ledger: Ledger, task: Task, round_: RoundRecord) -> Review:
    """Decide whether a round under review is done.

    With `verdicts_per_round` a round ends early only if it expanded; one that brought nothing so far goes on until
    every proposal is decided.
    """
    undecided = ledger.count_undecided()
    counts = ledger.count_verdicts(round_.round)
    enough = 0 < task.verdicts_per_round <= counts["accept"] + counts["reject"]
    if undecided and not enough:
        return Review.GOES_ON
    if expansion(ledger, round_) > task.min_expansion:
        return Review.EXPANDED
    return Review.GOES_ON if undecided else Review.CONVERGED
