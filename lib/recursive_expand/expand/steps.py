"""What comes next: the recursion's state machine as one pure function."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from recursive_expand.cases import Role
from recursive_expand.expand.foretelling import trained_slices
from recursive_expand.expand.recursion import Recursion
from recursive_expand.expand.second_chances import second_chances_due
from recursive_expand.expand.training_set import expansion
from recursive_expand.ledger import RoundState
from recursive_expand.settings import Review


class Step(StrEnum):
    """What comes next, and who does it."""

    READ_STUDIES = "read_studies"
    """The server reads the archive for the first time."""
    WAIT_FOR_PIXEL_LABELS = "wait_for_pixel_labels"
    """A person: there is no expert mask to begin with, and f has no pretrained start (or there is no scan either)."""
    WAIT_FOR_PROPOSALS = "wait_for_proposals"
    """A person: rounds do not begin by themselves, and no masks of another tool were imported."""
    TRAIN = "train"
    """The server begins the first round, or goes on with a round that has no model yet."""
    PROPOSE = "propose"
    """The server goes on proposing."""
    REVIEW = "review"
    """Experts judge proposals."""
    SECOND_CHANCES = "second_chances"
    """The server proposes once more, stricter, what was rejected (`second_chance`)."""
    DECIDED = "decided"
    """A person: every proposal is decided, and rounds do not begin by themselves. Verdicts can still be taken back."""
    OFFER_END = "offer_end"
    """A person: every proposal is decided, and little new came of it; the next round would bring no more. Without a
    request for it this is the end."""
    NEXT_ROUND = "next_round"
    """The server closes the review, if it is open, and begins the next round."""
    CONVERGED = "converged"
    """Nobody: every proposal is decided, and nothing new came of it; or a person ended the recursion."""
    RESUME_NEEDED = "resume_needed"
    """A person: the round failed or was stopped, or no round can begin."""


@dataclass(frozen=True)
class State:
    """Where the recursion stands: all that decides what comes next.

    Attributes:
        round_state: of the newest round; None before the first.
        has_model: whether that round has its model.
        imported: whether that round's proposals are masks of other tools; it trained nothing.
        has_pixel: whether there is a usable case with an expert mask to train on.
        can_start_without_masks: whether f is pretrained, and there are cases to propose for.
        undecided: proposals that wait for a verdict.
        second_chances: whether rejected proposals are to come once more, and do not wait yet.
        verdicts: standing verdicts on the newest round's proposals.
        expansion: new slices since its training set; None where it does not matter yet.
        trained: slices that it trained on, clean ones aside.
        ended: whether a person ended the recursion with that round.
        indexing: whether the archive is being read for the first time.
        asked: whether a person asked for a round.
        held: why no round begins until a person asks, if so.
    """

    round_state: RoundState | None = None
    has_model: bool = False
    imported: bool = False
    has_pixel: bool = False
    can_start_without_masks: bool = False
    undecided: int = 0
    second_chances: bool = False
    verdicts: int = 0
    expansion: int | None = None
    trained: int = 0
    ended: bool = False
    indexing: bool = False
    asked: bool = False
    held: str | None = None


def next_step(state: State, review: Review) -> Step:
    """Decide what comes next; the same for the conductor, the status and whoever drives a recursion.

    With `verdicts_per_round` a round ends early only if it expanded; one that brought nothing so far, or too little to
    go on by itself, goes on until every proposal is decided.

    Args:
        state: where the recursion stands.
        review: when a round ends.
    """
    match state.round_state:
        case None:
            if state.indexing and not state.asked:
                return Step.READ_STUDIES
            if not _begins_by_itself(state, review) and not state.asked:
                return Step.WAIT_FOR_PROPOSALS
            if not state.has_pixel and not state.can_start_without_masks:
                return Step.WAIT_FOR_PIXEL_LABELS
            return _unless_held(state, review, Step.TRAIN)
        case RoundState.TRAINING:
            return _unless_held(state, review, Step.TRAIN)
        case RoundState.PROPOSING:
            return _unless_held(state, review, Step.PROPOSE)
        case RoundState.FAILED | RoundState.STOPPED:
            if not state.asked:
                return Step.RESUME_NEEDED
            return Step.PROPOSE if state.has_model else Step.TRAIN
        case RoundState.CLOSED:
            return _unless_held(state, review, Step.NEXT_ROUND)
        case RoundState.REVIEWING:
            return _after_review(state, review)
        case RoundState.CONVERGED:
            if state.asked:
                return Step.NEXT_ROUND
            return Step.REVIEW if state.undecided and not state.ended else Step.CONVERGED
    raise AssertionError(state.round_state)


def read_state(recursion: Recursion, *, indexing: bool = False, asked: bool = False, held: str | None = None) -> State:
    """Read where the recursion stands from the ledger.

    Args:
        recursion: the recursion.
        indexing, asked, held: what only the server's conductor knows, see `State`.
    """
    ledger = recursion.ledger
    round_ = ledger.rounds.current()
    has_pixel = ledger.cases.any_of(Role.PIXEL)
    if round_ is None:
        without = recursion.settings.method.pretrain != "none" and any(
            ledger.cases.any_of(role) for role in (Role.IMAGE, Role.UNLABELLED)
        )
        return State(has_pixel=has_pixel, can_start_without_masks=without, indexing=indexing, asked=asked, held=held)
    undecided, verdicts, new, second = ledger.queue.count(), 0, None, False
    if round_.state is RoundState.REVIEWING:
        second = bool(second_chances_due(recursion, round_))
        verdicts = ledger.judgements.given(round_.round)
        if not undecided or asked or _enough(verdicts, recursion.settings.review):
            new = expansion(ledger, round_)
    return State(
        round_state=round_.state,
        has_model=round_.model is not None,
        imported=round_.imported,
        has_pixel=has_pixel,
        undecided=undecided,
        second_chances=second,
        verdicts=verdicts,
        expansion=new,
        trained=trained_slices(round_),
        ended=bool(round_.report.get("ended")),
        indexing=indexing,
        asked=asked,
        held=held,
    )


def _after_review(state: State, review: Review) -> Step:
    if state.asked:
        return Step.NEXT_ROUND
    waits = Step.SECOND_CHANCES if state.second_chances else Step.REVIEW if state.undecided else None
    if not _begins_by_itself(state, review):
        return waits or Step.DECIDED
    if waits and not _enough(state.verdicts, review):
        return waits
    new = state.expansion or 0
    if new > review.min_expansion and new >= review.offer_end * state.trained:
        return _unless_held(state, review, Step.NEXT_ROUND)
    if waits:
        return waits
    return Step.OFFER_END if new > review.min_expansion else Step.CONVERGED


def _enough(verdicts: int, review: Review) -> bool:
    return 0 < review.verdicts_per_round <= verdicts


def _begins_by_itself(state: State, review: Review) -> bool:
    """Whether a round begins without being asked for."""
    if review.train == "auto":
        return state.has_pixel or not state.imported
    return review.train == "on"


def _unless_held(state: State, review: Review, step: Step) -> Step:
    held = state.held is not None or not _begins_by_itself(state, review)
    return Step.RESUME_NEEDED if held and not state.asked else step
