"""The random share of a queue: proposals in random order among the ordered, by which the rate of all is told."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from recursive_expand.ledger import RoundRecord
from recursive_expand.settings import Settings

CONFORMAL_SHARE = 0.1
"""Without `Review.random_share`, where a promise is made."""


@dataclass(frozen=True)
class RandomShare:
    """Which proposals of a round come in random order, and which place they get.

    Whether a proposal does depends on (seed, proposal) alone: new predictions move the others, not these.

    Attributes:
        seed: `Method.seed`.
        share: of the proposals, 0..1.
    """

    seed: int
    share: float

    @classmethod
    def due(cls, settings: Settings) -> RandomShare:
        """That of a review that opens under these settings."""
        promised = CONFORMAL_SHARE if settings.method.operating_point == "conformal" else 0.0
        share = settings.review.random_share
        return cls(settings.method.seed, promised if share is None else share)

    @classmethod
    def of(cls, round_: RoundRecord) -> RandomShare:
        """That of a review that was opened, whatever the settings are by now."""
        share = round_.report.get("random_share", 0.0)
        return cls(round_.config["method"]["seed"] if share else 0, share)

    def holds(self, proposal_id: int) -> bool:
        """Whether a proposal comes in random order."""
        return self._drawn(proposal_id) < self.share

    def spread(self, order: Sequence[int]) -> list[int]:
        """The queue in this order, but for the random proposals: they take its every so many places as their share is.

        Args:
            order: proposal ids.

        Returns:
            The same ids. However many of the first are judged, the random ones among them are a random sample of all.
        """
        if not self.share:
            return list(order)
        random = deque(sorted((one for one in order if self.holds(one)), key=self._drawn))
        ordered = deque(one for one in order if not self.holds(one))
        queue: list[int] = []
        for place in range(len(order)):
            turn = int((place + 1) * self.share) > int(place * self.share)
            queue.append((random if random and (turn or not ordered) else ordered).popleft())
        return queue

    def _drawn(self, proposal_id: int) -> float:
        """0..1, as good as random."""
        digest = hashlib.sha256(f"{self.seed}:{proposal_id}".encode()).digest()
        return int.from_bytes(digest[:8]) / 2**64
