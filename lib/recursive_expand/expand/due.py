"""Which round is due, whether it can run, and when a review is over; nothing here needs PyTorch."""

from __future__ import annotations

from recursive_expand.errors import RecursiveExpandError
from recursive_expand.expand.recursion import Recursion
from recursive_expand.expand.steps import Step, next_step, read_state
from recursive_expand.expand.training_set import expansion
from recursive_expand.ledger import MovedOn, RoundRecord, RoundState
from recursive_expand.ledger.rounds import OVER


class NothingToDo(RecursiveExpandError):
    """No round can run now; the message says what is missing."""


class NotReady(RecursiveExpandError):
    """No round may run until a person has mended something; the message says what."""


def round_due(recursion: Recursion) -> int:
    """Number of the round that `run_round` would run: the interrupted one, or the next."""
    current = recursion.ledger.rounds.current()
    if current is None:
        return 0
    return current.round + 1 if current.state in OVER else current.round


def check_something_to_do(recursion: Recursion) -> None:
    """Whether a round could run now.

    Raises:
        NothingToDo: there is nothing to begin with, or nothing new to train on.
    """
    current = recursion.ledger.rounds.current()
    if current is None:
        if next_step(read_state(recursion, asked=True), recursion.settings.review) is Step.WAIT_FOR_PIXEL_LABELS:
            if recursion.settings.method.pretrain != "none":
                raise NothingToDo("there are no scans to begin with: put some into the studies folder and restart")
            raise NothingToDo(
                "there are no expert masks to begin with: put masks into labels/final/<case>.nii.gz before the first "
                "start, submit them from 3D Slicer, or start without any by --conf pretrain synthetic"
            )
    elif round_due(recursion) != current.round and expansion(recursion.ledger, current) == 0:
        raise NothingToDo(
            f"round {current.round} brought nothing new to train on: accept proposals, or add cases with expert masks"
        )


def close_review(recursion: Recursion, round_: RoundRecord, *, converged: bool) -> RoundRecord:
    """Close a round's review.

    Raises:
        MovedOn: somebody else did.
    """
    report = {"expanded_slices": expansion(recursion.ledger, round_)}
    return recursion.ledger.rounds.close_review(round_.round, converged=converged, report=report)


def end_recursion(recursion: Recursion) -> RoundRecord:
    """A person ends the recursion with the round under review; what waits there still is not decided any more.

    A round that is asked for goes on with what was accepted.

    Raises:
        NothingToDo: no round is under review.
        MovedOn: somebody else closed it.
    """
    round_ = recursion.ledger.rounds.current()
    if round_ is None or round_.state is not RoundState.REVIEWING:
        raise NothingToDo("there is no review to end; a round that trains or proposes is stopped by DELETE /train/")
    report = {"expanded_slices": expansion(recursion.ledger, round_), "ended": True}
    return recursion.ledger.rounds.close_review(round_.round, converged=True, report=report)


def close_review_if_done(recursion: Recursion) -> RoundRecord | None:
    """Close the current round's review when it is over; returns the closed or converged round, else None."""
    round_ = recursion.ledger.rounds.current()
    if round_ is None or round_.state is not RoundState.REVIEWING:
        return None
    step = next_step(read_state(recursion), recursion.settings.review)
    if step in (Step.REVIEW, Step.SECOND_CHANCES, Step.DECIDED, Step.OFFER_END):
        return None
    try:
        return close_review(recursion, round_, converged=step is Step.CONVERGED)
    except MovedOn:
        return recursion.ledger.rounds.get(round_.round)
