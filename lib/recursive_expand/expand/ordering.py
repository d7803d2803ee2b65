"""The order of the queue: classes balanced, cleanest first."""

from __future__ import annotations

from collections.abc import Iterable


def queue_order(candidates: Iterable[tuple[int, str, float]]) -> list[int]:
    """Serve the classes in turn, within each class the proposal with the highest score first.

    Args:
        candidates: (proposal id, leading class, score 0..1: the confidence, or the probability of acceptance).

    Returns:
        Proposal ids in the order in which they are served.
    """
    by_class: dict[str, list[tuple[float, int]]] = {}
    for proposal_id, leading_class, score in candidates:
        by_class.setdefault(leading_class, []).append((-score, proposal_id))
    ranked = []
    for name, members in by_class.items():
        for rank, (_, proposal_id) in enumerate(sorted(members)):
            ranked.append((rank, name, proposal_id))
    return [proposal_id for _, _, proposal_id in sorted(ranked)]
