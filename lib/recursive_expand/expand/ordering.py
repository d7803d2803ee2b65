"""The order of the queue: classes in turn, the most acceptable first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable


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
