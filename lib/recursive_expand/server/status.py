"""The status: where the recursion stands, in one answer."""

from __future__ import annotations

from typing import Literal, cast

from pydantic import BaseModel, Field

from recursive_expand.cases import Role
from recursive_expand.expand.progress import read_progress
from recursive_expand.expand.study import Study
from recursive_expand.ledger import RoundState
from recursive_expand.server.conductor import Conductor

State = Literal["waiting_for_pixel_labels", "training", "proposing", "reviewing", "converged", "stopped", "failed"]


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


class Status(BaseModel):
    """Where the recursion stands."""

    state: State
    round: int | None = Field(description="The current round; none before the first.")
    message: str = Field(description="The same for a person.")
    progress: ProgressStatus | None
    cases: dict[str, int] = Field(description="Usable cases by role.")
    proposals: dict[str, int] = Field(description="The current round's proposals by state.")
    undecided: int = Field(description="Proposals that wait for a verdict.")
    verdicts: dict[str, int] = Field(description="Standing verdicts and slices of all rounds.")
    set_aside: list[SetAsideStatus]
    last_error: str | None
    model_sha256: str | None
    preset: str
    workspace: str


def read_status(study: Study, conductor: Conductor) -> Status:
    """Put the status together from the ledger."""
    ledger = study.ledger
    round_ = ledger.current_round()
    roles = ledger.count_by_role()
    undecided = ledger.count_undecided()
    state = _state(round_.state if round_ else None, has_pixel=roles[Role.PIXEL] > 0)
    if state == "training" and conductor.held is not None:
        state = "stopped"
    running = state in ("training", "proposing")
    progress = read_progress(study.workspace.progress) if running else None
    model = ledger.current_model()
    return Status(
        state=state,
        round=round_.round if round_ else None,
        message=_message(state, undecided, indexing=conductor.indexing, error=round_.error if round_ else None),
        progress=ProgressStatus(**vars(progress)) if progress else None,
        cases=roles,
        proposals=ledger.count_proposals(round_.round) if round_ else {},
        undecided=undecided,
        verdicts=ledger.count_verdicts(),
        set_aside=[SetAsideStatus(source=source, reason=reason) for source, reason in ledger.list_set_aside()],
        last_error=(round_.error if round_ else None) or conductor.problem or conductor.held,
        model_sha256=model[1] if model else None,
        preset=study.task.preset,
        workspace=str(study.workspace.root),
    )


def _state(state: RoundState | None, *, has_pixel: bool) -> State:
    if state is None:
        return "training" if has_pixel else "waiting_for_pixel_labels"
    if state is RoundState.CLOSED:
        return "training"  # the next round is about to begin
    return cast(State, state.value)


def _message(state: State, undecided: int, *, indexing: bool, error: str | None) -> str:
    if indexing and state in ("waiting_for_pixel_labels", "training"):
        return "reading the studies for the first time"
    return {
        "waiting_for_pixel_labels": "there are no expert masks yet: put some into labels/final/<case>.nii.gz and "
        "restart, or draw them in 3D Slicer, submit, and POST /recursive/rounds",
        "training": "a round is training; proposals follow",
        "proposing": "proposals are being made",
        "reviewing": f"{undecided} proposals wait for a verdict",
        "converged": "the last round expanded to nothing new: the recursion has converged",
        "stopped": "the round was stopped; POST /recursive/rounds resumes it",
        "failed": f"the round failed ({error}); the previous model stays; POST /recursive/rounds tries again",
    }[state]
