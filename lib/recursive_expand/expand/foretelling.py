"""Foretelling: how many new slices a round will bring, so that readers can end where little is to come."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from recursive_expand.expand.recursion import Recursion
from recursive_expand.expand.training_set import expansion
from recursive_expand.ledger import Candidate, RoundRecord, RoundState


@dataclass(frozen=True)
class Foretold:
    """What a round is expected to bring.

    Attributes:
        round: the round under review, or the one to come.
        slices: newly accepted slices; of a round under review with those accepted so far. Of second chances only what
            was accepted counts: they are not foretold.
        share: of the slices that it trained on.
    """

    round: int
    slices: float
    share: float


def foretell(recursion: Recursion) -> Foretold | None:
    """What the review under way will have brought at its end, or, where it is over, the next one.

    The first by the predicted acceptance of what waits; the second by the trend: as much less than the last round as
    that brought less than the one before, after round 0 less by the share that was accepted.

    Returns:
        None before the first review, while a round trains or proposes, and where nothing is predicted.
    """
    ledger = recursion.ledger
    round_ = ledger.rounds.current()
    if round_ is None or round_.state not in (RoundState.REVIEWING, RoundState.CLOSED, RoundState.CONVERGED):
        return None
    new = expansion(ledger, round_) if round_.state is RoundState.REVIEWING else _brought(recursion, round_)
    trained = trained_slices(round_)
    if round_.state is RoundState.REVIEWING and ledger.queue.count():
        expected = ledger.queue.expected() if ledger.queue.count(chance=0) else 0.0
        return None if expected is None else Foretold(round_.round, new + expected, (new + expected) / max(1, trained))
    if round_.round == 0:
        counts = ledger.judgements.count(0, chance=0)
        judged = counts["accepted_slices"] + counts["rejected_slices"]
        kept = counts["rejected_slices"] / judged if judged else 0.0
    else:
        before = _brought(recursion, ledger.rounds.get(round_.round - 1))
        kept = min(1.0, new / before) if before else 0.0
    return Foretold(round_.round + 1, new * kept, new * kept / max(1, trained + new))


def expected_slices(candidates: Iterable[Candidate], scores: Mapping[int, float]) -> float | None:
    """The number of slices of these that are expected to be accepted; None where acceptance is not predicted."""
    return sum(scores[one.proposal_id] * one.slices for one in candidates) if scores else None


def trained_slices(round_: RoundRecord) -> int:
    """Slices of the archive that a round trained on, but for the clean ones."""
    counts = round_.report.get("training_slices", {})
    return sum(counts.get(name, 0) for name in ("pixel", "accepted", "joined"))


def _brought(recursion: Recursion, round_: RoundRecord) -> int:
    brought = round_.report.get("expanded_slices")
    return recursion.ledger.judgements.count(round_.round)["accepted_slices"] if brought is None else brought
