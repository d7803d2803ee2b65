"""The order of the queue: classes in turn, the most acceptable first; put in order anew as verdicts come in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from recursive_expand.expand.random_share import RandomShare
from recursive_expand.expand.recursion import Recursion
from recursive_expand.expand.triage import acceptance_scores
from recursive_expand.ledger import CalibrationSlice, Candidate

VERDICTS_PER_FIT = 20
"""Acceptance is predicted anew each time a review has got this many more verdicts."""
FRONT = 200
"""Proposals whose places are written then: more than readers can judge before the next time."""


def refit(recursion: Recursion) -> int:
    """Predict acceptance anew from all verdicts, and put the most acceptable open proposals in front.

    Returns:
        How many places were written: `FRONT` at most, however long the queue is. 0 for `order: balanced`.
    """
    if recursion.settings.review.order != "risk":
        return 0
    current = recursion.ledger.rounds.current()
    calibration = recursion.ledger.rounds.calibration(current.round) if current is not None else []
    random = RandomShare.of(current) if current is not None else None
    order, scores = order_for_review(recursion, recursion.ledger.queue.candidates(), calibration, random=random)
    recursion.ledger.queue.reorder(order[:FRONT], scores)
    return len(order[:FRONT])


def order_for_review(
    recursion: Recursion,
    candidates: Sequence[Candidate],
    calibration: Sequence[CalibrationSlice] = (),
    *,
    random: RandomShare | None = None,
) -> tuple[list[int], dict[int, float]]:
    """The queue of a review, about to open or under way.

    Args:
        recursion: the recursion.
        candidates: the open proposals.
        calibration: what their model proposes on slices whose truth is known.
        random: which of them come in random order.

    Returns:
        (proposal ids as they are served, the predicted probabilities of acceptance by id; none for `order: balanced`).
    """
    by_risk = recursion.settings.review.order == "risk"
    scores: dict[int, float] = {}
    if by_risk:
        judged, tau = recursion.ledger.queue.judged(), recursion.settings.method.tau
        scores = acceptance_scores(candidates, judged, calibration, tau=tau)
    scored = ((one.proposal_id, one.leading_class, scores.get(one.proposal_id, one.confidence)) for one in candidates)
    order = queue_order(scored, likely_first=by_risk)
    return those_that_follow_last(recursion, order if random is None else random.spread(order)), scores


def those_that_follow_last(recursion: Recursion, order: Sequence[int]) -> list[int]:
    """An order in which proposals come behind all others that may be decided by verdicts on some of these."""
    last = recursion.ledger.propagation.waiting()
    return sorted(order, key=lambda proposal_id: proposal_id in last)


def queue_order(candidates: Iterable[tuple[int, str, float]], *, likely_first: bool = False) -> list[int]:
    """Serve the classes in turn, within each class the proposal with the highest score first.

    Args:
        candidates: (proposal id, leading class, score 0..1: the confidence, or the probability of acceptance).
        likely_first: serve the half with the highest scores first, then the other half: a class that is hard to
            segment would otherwise put a mask that will be rejected into every turn from the start.

    Returns:
        Proposal ids in the order in which they are served.
    """
    by_score = sorted((-score, proposal_id, name) for proposal_id, name, score in candidates)
    half = -(-len(by_score) // 2) if likely_first else len(by_score)
    return [*_in_turn(by_score[:half]), *_in_turn(by_score[half:])]


def _in_turn(by_score: list[tuple[float, int, str]]) -> list[int]:
    """Proposal ids, each class's best before any class's second best."""
    seen: Counter[str] = Counter()
    ranked = []
    for _, proposal_id, name in by_score:
        ranked.append((seen[name], name, proposal_id))
        seen[name] += 1
    return [proposal_id for _, _, proposal_id in sorted(ranked)]
