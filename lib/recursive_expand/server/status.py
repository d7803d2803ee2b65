"""The status: where the recursion stands, in one answer."""

from __future__ import annotations

from itertools import islice
from typing import Literal, cast

from pydantic import BaseModel, Field

from recursive_expand.expand.foretelling import Foretold
from recursive_expand.expand.progress import read_progress
from recursive_expand.expand.recursion import Recursion
from recursive_expand.expand.steps import Step, next_step
from recursive_expand.ledger import RoundState
from recursive_expand.server.conductor import Conductor

MOST_REMARKS = 100
State = Literal[
    "waiting_for_pixel_labels",
    "waiting_for_proposals",
    "training",
    "proposing",
    "reviewing",
    "decided",
    "converged",
    "stopped",
    "failed",
]


class ProgressStatus(BaseModel):
    """How far the round in flight is."""

    round: int | None
    stage: str
    done: int
    total: int
    detail: str
    seconds_left: float | None


class SetAsideStatus(BaseModel):
    """Input that is not used, and why."""

    source: str
    reason: str


class OutboxStatus(BaseModel):
    """Label objects on their way into the archive."""

    waiting: int = Field(description="Still to be written.")
    failing: int = Field(description="Of these, tried at least once.")
    sent: int
    error: str | None = Field(description="Why the newest one could not be written.")


class FetchStatus(BaseModel):
    """A series on its way from the PACS."""

    case_id: str
    come: int = Field(description="Instances that are here.")
    total: int


class ForetoldStatus(BaseModel):
    """How many new slices a round is expected to bring."""

    round: int = Field(description="The round under review, or the one to come.")
    slices: float = Field(description="Newly accepted slices; of a round under review with those accepted so far.")
    share: float = Field(description="Of the slices that it trained on.")
    offers_end: bool = Field(description="So little that the end is offered: POST /recursive/end.")


class SecondLooksStatus(BaseModel):
    """Rejected masks that come once more, stricter."""

    proposals: dict[str, int] = Field(description="The current round's by state.")
    verdicts: dict[str, int] = Field(description="Standing verdicts and slices of all rounds.")


class Status(BaseModel):
    """Where the recursion stands."""

    state: State
    step: Step = Field(description="What comes next, and who does it.")
    round: int | None = Field(description="The current round; none before the first.")
    message: str = Field(description="The same for a person.")
    progress: ProgressStatus | None
    cases: dict[str, int] = Field(description="Usable cases by role.")
    proposals: dict[str, int] = Field(description="The current round's first proposals by state.")
    undecided: int = Field(description="Proposals that wait for a verdict, second looks included.")
    second_looks: SecondLooksStatus
    foretold: ForetoldStatus | None
    verdicts: dict[str, int] = Field(description="Standing verdicts and slices of all rounds, second looks left out.")
    outbox: OutboxStatus
    fetching: list[FetchStatus] = Field(description="Series on their way from the PACS.")
    set_aside: list[SetAsideStatus]
    remarks: list[SetAsideStatus] = Field(description="What is unusual in input that is used, as it is: at most 100.")
    last_error: str | None
    model_sha256: str | None
    preset: str
    workspace: str


def read_status(recursion: Recursion, conductor: Conductor) -> Status:
    """Put the status together from the ledger."""
    ledger = recursion.ledger
    round_ = ledger.rounds.current()
    roles = ledger.cases.count_by_role()
    undecided = ledger.queue.count()
    known = conductor.state()
    step = next_step(known, recursion.settings.review)
    state = _state(round_.state if round_ else None, step, can_start=known.has_pixel or known.can_start_without_masks)
    running = state in ("training", "proposing")
    progress = read_progress(recursion.workspace.progress) if running else None
    model = ledger.rounds.current_model()
    foretold = _foretold(conductor.foretold, recursion.settings.review.offer_end)
    return Status(
        state=state,
        step=step,
        round=round_.round if round_ else None,
        message=_message(
            state,
            _waiting(undecided, ledger.queue.count(chance=1), step),
            conductor,
            fresh=recursion.settings.method.pretrain == "none",
            error=round_.error if round_ else None,
            offer=_offer(foretold, step, ended=known.ended),
        ),
        progress=ProgressStatus(**vars(progress)) if progress else None,
        cases=roles,
        proposals=ledger.proposals.count(round_.round) if round_ else {},
        undecided=undecided,
        second_looks=SecondLooksStatus(
            proposals=ledger.proposals.count_second(round_.round) if round_ else {},
            verdicts=ledger.judgements.count(chance=1),
        ),
        foretold=foretold,
        verdicts=ledger.judgements.count(chance=0),
        outbox=OutboxStatus(**vars(ledger.outbox.count())),
        fetching=[
            FetchStatus(case_id=case_id, come=come, total=total)
            for case_id, (come, total) in recursion.archive.fetching().items()
        ],
        remarks=[
            SetAsideStatus(source=case_id, reason="; ".join(said))
            for case_id, said in islice(recursion.archive.remarked().items(), MOST_REMARKS)
        ],
        set_aside=[SetAsideStatus(source=source, reason=reason) for source, reason in ledger.cases.list_set_aside()],
        last_error=conductor.held or (round_.error if round_ else None) or conductor.problem,
        model_sha256=model[1] if model else None,
        preset=recursion.settings.method.preset,
        workspace=str(recursion.workspace.root),
    )


def _foretold(foretold: Foretold | None, offer_end: float) -> ForetoldStatus | None:
    if foretold is None:
        return None
    slices, share = round(foretold.slices, 3), round(foretold.share, 4)
    return ForetoldStatus(round=foretold.round, slices=slices, share=share, offers_end=share < offer_end)


def _offer(foretold: ForetoldStatus | None, step: Step, *, ended: bool) -> str | None:
    """The end, in words, where it is offered or was taken."""
    if step is Step.CONVERGED and ended:
        return "the recursion was ended; POST /recursive/rounds goes on with what was accepted"
    if step is Step.OFFER_END:
        next_ = f" (about {foretold.slices:.0f} slices are foretold for the next)" if foretold else ""
        return (
            f"every proposal is decided, and the round brought so little new{next_} that this can be the end: "
            "POST /recursive/rounds, or the button on the progress page, goes on"
        )
    if step is Step.REVIEW and foretold and foretold.offers_end:
        return (
            f"about {foretold.slices:.0f} new slices ({foretold.share:.1%}) are foretold for this round: you may end "
            "here, by POST /recursive/end or the button on the progress page, or go on judging"
        )
    return None


def _state(state: RoundState | None, step: Step, *, can_start: bool) -> State:
    if step is Step.WAIT_FOR_PROPOSALS:
        return "waiting_for_proposals"
    if step in (Step.DECIDED, Step.OFFER_END):
        return "decided"
    if step is Step.RESUME_NEEDED and state is not RoundState.FAILED:
        return "stopped"
    if state is None:
        return "training" if can_start else "waiting_for_pixel_labels"
    if state is RoundState.CLOSED:
        return "training"  # the next round is about to begin
    return cast(State, state.value)


def _waiting(undecided: int, second: int, step: Step) -> str:
    if step is Step.SECOND_CHANCES and not undecided:
        return "what was rejected is proposed once more, as far as f was sure of it"
    if second == undecided > 0:
        return f"{undecided} rejected proposals wait for a second look"
    return f"{undecided} proposals wait for a verdict"


def _message(
    state: State, waiting: str, conductor: Conductor, *, fresh: bool, error: str | None, offer: str | None
) -> str:
    if conductor.indexing and state in ("waiting_for_pixel_labels", "training"):
        if conductor.problem is not None:
            return f"the studies cannot be read now: {conductor.problem}; tried again every few seconds"
        return "reading the studies for the first time"
    if conductor.held is not None and state in ("stopped", "failed"):
        return f"no round begins: {conductor.held}; POST /recursive/rounds tries again"
    if offer is not None:
        return f"{waiting}; {offer}" if state == "reviewing" else offer
    return {
        "waiting_for_proposals": "there are no masks to judge yet: recursive-expand import proposals DIR brings in "
        "those of another tool",
        "decided": "every mask is decided; no round is trained unless it is asked for: POST /recursive/rounds, or the "
        "button on the progress page",
        "waiting_for_pixel_labels": "there are no expert masks yet: put some into labels/final/<case>.nii.gz and "
        "restart, or draw them in 3D Slicer, submit, and POST /recursive/rounds"
        if fresh
        else "there are no scans yet: put some into the studies folder and restart",
        "training": "a round is training; proposals follow",
        "proposing": "proposals are being made",
        "reviewing": waiting,
        "converged": "the last round expanded to nothing new: the recursion has converged",
        "stopped": "the round was stopped; POST /recursive/rounds resumes it",
        "failed": f"the round failed ({error}); the previous model stays; POST /recursive/rounds tries again",
    }[state]
