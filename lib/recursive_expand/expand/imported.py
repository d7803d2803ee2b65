"""Masks that other tools made: frozen as round 0's proposals, which experts then judge as they judge f's and g's."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from filelock import FileLock, Timeout

from recursive_expand.cases import LabelMap
from recursive_expand.errors import RecursiveExpandError
from recursive_expand.expand.freezing import Made, freeze
from recursive_expand.expand.queue import order_for_review
from recursive_expand.expand.recursion import Recursion
from recursive_expand.expand.training_set import TrainingSet
from recursive_expand.ledger import ProposalRecord
from recursive_expand.ledger.chain import canonical


@contextmanager
def imported_review(recursion: Recursion) -> Iterator[None]:
    """Round 0 is a review of imported masks, opened now if there is none; at the end its queue is put in order.

    No round begins meanwhile. A server may run: it serves each mask as soon as it is frozen.

    Raises:
        RecursiveExpandError: a round is under way, or there is a model: what is proposed from then on is its.
    """
    lock = FileLock(recursion.workspace.round_lock)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise RecursiveExpandError(
            "a round is running; masks of other tools are imported before the first one"
        ) from error
    with lock:
        rounds = recursion.ledger.rounds
        current = rounds.current()
        if current is not None and not (current.round == 0 and current.imported):
            raise RecursiveExpandError(
                f"round {current.round} of this study has begun, and its model proposes; masks of other tools are "
                "imported before the first round: give another --conf workspace DIR, or begin with a new folder"
            )
        try:
            yield
        finally:
            if rounds.current() is not None:
                order, scores = order_for_review(recursion, recursion.ledger.queue.candidates(round_index=0))
                recursion.ledger.queue.reorder(order, scores)


def freeze_imported(
    recursion: Recursion, case_id: str, label: LabelMap, *, tool: str, file_sha256: str
) -> ProposalRecord:
    """Freeze a mask as a case's proposal, and serve it; within `imported_review`.

    Args:
        recursion: the recursion.
        case_id: a case that takes verdicts.
        label: the mask, on the case's grid, with the task's values.
        tool: who made it.
        file_sha256: of the file, or files, that it was read from.

    Returns:
        The case's proposal of round 0; an earlier one stands.
    """
    if recursion.ledger.rounds.current() is None:
        _open(recursion)
    slices = label.geometry.shape[0]
    unknown = np.full(slices, np.nan, np.float32)
    made = Made(
        case_id=case_id,
        round_index=0,
        model_sha256=file_sha256,
        label=label,
        ignore=np.zeros(label.geometry.shape, np.bool_),
        confidence=unknown,
        flip_dice=unknown,
        snapshot_dice=unknown,
        tool=tool,
    )
    return freeze(recursion, made, serve=True)


def _open(recursion: Recursion) -> None:
    config, nothing = recursion.settings.round_config(), TrainingSet((), (), (), (), 0)
    recursion.ledger.rounds.open_imported(
        config=config,
        config_sha256=hashlib.sha256(canonical(config).encode()).hexdigest(),
        training_set=nothing.to_json(),
        training_set_sha256=nothing.sha256,
    )
