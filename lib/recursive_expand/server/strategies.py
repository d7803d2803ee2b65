"""Strategies: which case a client sees next."""

from __future__ import annotations

import time
import uuid
from typing import Any

from monailabel.interfaces.datastore import Datastore
from monailabel.interfaces.tasks.strategy import Strategy

from recursive_expand.cases import Role
from recursive_expand.expand.recursion import Recursion


class RecursiveExpand(Strategy):
    """The queue: classes in turn, the most acceptable first, each case leased to one client at a time.

    Args:
        recursion: the recursion.
    """

    def __init__(self, recursion: Recursion) -> None:
        super().__init__("Recursive expand: the next undecided proposal, classes in turn, the most acceptable first")
        self._recursion = recursion

    def __call__(self, request: dict[str, Any], datastore: Datastore) -> dict[str, Any]:
        """The next case for `client_id`; {} when nothing is left. `skip` (a case id) gives one back."""
        # Clients that don't say who they are never share a lease.
        client = str(request.get("client_id") or f"unnamed-{uuid.uuid4()}")
        case_id = self._recursion.ledger.queue.next(
            client,
            now=time.time(),
            lease_seconds=self._recursion.settings.review.lease_minutes * 60,
            skip=request.get("skip"),
        )
        return {} if case_id is None else {"id": case_id}


class AnyCase(Strategy):
    """MONAI Label's `first` and `random`: an undecided proposal without regard to leases.

    Before round 0, when there is nothing to judge yet, any image without a label, so that an expert can draw masks.

    Args:
        recursion: the recursion.
        first: the first one by id, or a random one.
    """

    def __init__(self, recursion: Recursion, *, first: bool) -> None:
        super().__init__(f"{'First' if first else 'Random'} undecided proposal")
        self._recursion = recursion
        self._first = first

    def __call__(self, request: dict[str, Any], datastore: Datastore) -> dict[str, Any]:
        """Such a case, or {} when nothing is left."""
        case_id = self._recursion.ledger.queue.any_case(first=self._first)
        if case_id is None and self._recursion.ledger.rounds.current() is None:
            case_id = self._recursion.ledger.cases.unlabelled(roles=[Role.IMAGE, Role.UNLABELLED], first=self._first)
        return {} if case_id is None else {"id": case_id}
