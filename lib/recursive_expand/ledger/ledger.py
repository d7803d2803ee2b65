"""The ledger as one object, composed of its parts over one store."""

from __future__ import annotations

from pathlib import Path

from recursive_expand.ledger.audit import Audit
from recursive_expand.ledger.cases import Cases
from recursive_expand.ledger.judgements import Judgements
from recursive_expand.ledger.listing import Listing
from recursive_expand.ledger.outbox import Outbox
from recursive_expand.ledger.propagation import Propagation
from recursive_expand.ledger.proposals import Proposals
from recursive_expand.ledger.queue import Queue
from recursive_expand.ledger.readings import Readings
from recursive_expand.ledger.rounds import Rounds
from recursive_expand.ledger.store import Store


class Ledger:
    """The durable, append-only record of cases, rounds, proposals and verdicts: the only code that speaks SQL.

    Args:
        location, upgrade: see `Store`.

    Attributes:
        cases, proposals, propagation, queue, judgements, readings, rounds, listing, outbox, audit: its parts.
    """

    def __init__(self, location: Path | str, *, upgrade: bool = True) -> None:
        store = Store(location, upgrade=upgrade)
        self._store = store
        self.cases = Cases(store)
        self.proposals = Proposals(store)
        self.propagation = Propagation(store)
        self.queue = Queue(store)
        self.judgements = Judgements(store)
        self.readings = Readings(store)
        self.rounds = Rounds(store)
        self.listing = Listing(store)
        self.outbox = Outbox(store)
        self.audit = Audit(store)

    def close(self) -> None:
        """Close all connections."""
        self._store.close()
