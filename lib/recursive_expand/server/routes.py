"""Our own routes under /recursive: verdicts, status, rounds, queue."""

from __future__ import annotations

import dataclasses
import time
from typing import Annotated, Any

from fastapi import APIRouter, Query
from monailabel.config import RBAC_ADMIN, RBAC_ANNOTATOR, RBAC_USER
from monailabel.interfaces.utils.app import app_instance
from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt

from recursive_expand.expand.judging import Answer, judge, withdraw
from recursive_expand.expand.recursion import Recursion
from recursive_expand.ledger import Actor, VerdictKind, VerdictRecord
from recursive_expand.server.actors import ACTOR
from recursive_expand.server.refusals import as_http
from recursive_expand.server.reports import iter_round_reports
from recursive_expand.server.roles import ADMIN, USER
from recursive_expand.server.status import OutboxStatus, Status, read_status


class NewVerdict(BaseModel):
    """An expert's answer to one proposal."""

    model_config = ConfigDict(extra="forbid")

    case_id: str = Field(description="The image id.")
    proposal: str = Field(
        min_length=1, max_length=128, description="SHA-256 of the proposal that was looked at (params of POST /infer)."
    )
    verdict: VerdictKind
    rejected_slices: list[NonNegativeInt] = Field(
        default=[], description="With accept: slices, counted from 0, whose mask is rejected."
    )
    reason: str | None = Field(default=None, max_length=200, description="Why, as a short code.")
    comment: str | None = Field(default=None, max_length=2000)
    reviewer: str | None = Field(default=None, max_length=200, description="Who; the client if not given.")
    client: str | None = Field(default=None, max_length=200, description="The program that asks; http if not given.")
    seconds: float | None = Field(default=None, ge=0, allow_inf_nan=False, description="How long the reviewer looked.")


class Verdict(BaseModel):
    """A verdict on record."""

    id: int
    case_id: str
    round: int
    proposal: str
    model_sha256: str
    verdict: VerdictKind
    accepted_slices: list[int]
    rejected_slices: list[int]
    reviewer: str
    client: str
    authenticated: bool = Field(description="Whether the reviewer logged in; else the name is self-declared.")
    reason: str | None
    comment: str | None
    seconds: float | None
    ts: str
    used_by: int | None = Field(description="The round that trained with it; none while it can be taken back.")
    withdrawn: str | None = Field(description="When it was taken back.")
    tool: str | None = Field(default=None, description="Who made the mask, where it was imported.")
    second_look: bool = Field(description="Whether the mask came once more, stricter, after it was rejected.")

    @classmethod
    def of(cls, record: VerdictRecord) -> Verdict:
        """From the ledger's record."""
        fields = dataclasses.asdict(record)
        return cls(
            id=fields.pop("verdict_id"),
            proposal=fields.pop("proposal_sha256"),
            second_look=bool(fields["chance"]),
            **{name: value for name, value in fields.items() if name in cls.model_fields},
        )


class Queued(BaseModel):
    """A proposal that waits for a verdict."""

    case_id: str
    proposal: str
    round: int
    second_look: bool = Field(description="Whether a mask that was rejected comes once more, stricter.")
    slices: list[int] = Field(description="Slices with a mask.")
    voxels: dict[str, int] = Field(description="Voxels by class.")
    confidence: float
    score: float | None = Field(
        description="Probability of being accepted, as the queue's order assumed; null unless it is ordered by that."
    )
    client: str | None = Field(description="The reader who has it leased.")


class Refusal(BaseModel):
    """Why not, and what to do."""

    detail: str


class RoundAsked(BaseModel):
    """The round that will run, or with which the recursion ended."""

    round: int
    message: str


router = APIRouter(prefix="/recursive", tags=["Recursive"])


def _recursion() -> Recursion:
    return app_instance().recursion


@router.post(
    "/verdicts",
    status_code=201,
    summary=f"{RBAC_ANNOTATOR}Accept or reject a proposal",
    responses={404: {"model": Refusal}, 409: {"model": Refusal}},
)
def post_verdict(body: NewVerdict, actor: Annotated[Actor, ACTOR]) -> Verdict:
    """Accept or reject a proposal, whole or slice by slice.

    The answer is sent after the verdict is durable. Sending the same verdict again is harmless. 404: no such case;
    409: the proposal is stale, or was decided otherwise (by whom is said).
    """
    answer = Answer(
        body.verdict,
        tuple(body.rejected_slices),
        reason=body.reason,
        comment=body.comment,
        seconds=body.seconds,
    )
    with as_http():
        verdict = judge(_recursion(), actor, body.case_id, body.proposal, answer)
    app_instance().conductor.wake()
    return Verdict.of(verdict)


@router.delete(
    "/verdicts/{verdict_id}",
    summary=f"{RBAC_ANNOTATOR}Take back one's own verdict",
    responses={403: {"model": Refusal}, 404: {"model": Refusal}, 409: {"model": Refusal}},
)
def delete_verdict(
    verdict_id: int,
    actor: Annotated[Actor, ACTOR],
    reviewer: Annotated[str, Query(max_length=200, description="Who takes it back: the one who gave it.")] = "",
) -> Verdict:
    """Take back one's own verdict while the round is open. It is recorded as withdrawn, not erased."""
    with as_http():
        verdict = withdraw(_recursion(), actor, verdict_id)
    app_instance().conductor.wake()
    return Verdict.of(verdict)


@router.get("/status", dependencies=[USER], summary=f"{RBAC_USER}Where the recursion stands")
def get_status() -> Status:
    """Round, state, progress, counts, cases set aside, last error."""
    app = app_instance()
    return read_status(app.recursion, app.conductor)


@router.get("/rounds", dependencies=[USER], summary=f"{RBAC_USER}All rounds")
def get_rounds() -> list[dict[str, Any]]:
    """Per round: training set by source, losses, validation, verdicts, hashes, seconds. Oldest first."""
    return list(iter_round_reports(_recursion().ledger))


@router.post(
    "/rounds",
    status_code=202,
    dependencies=[ADMIN],
    summary=f"{RBAC_ADMIN}Run the round that is due",
    responses={409: {"model": Refusal}},
)
def post_round() -> RoundAsked:
    """Retry a failed round, resume a stopped one, or begin the next with the verdicts so far."""
    with as_http():
        due = app_instance().conductor.ask()
    return RoundAsked(round=due, message=f"round {due} will run; see GET /recursive/status")


@router.post(
    "/end",
    dependencies=[ADMIN],
    summary=f"{RBAC_ADMIN}End the recursion with the round under review",
    responses={409: {"model": Refusal}},
)
def post_end() -> RoundAsked:
    """Where little new is foretold: no round follows, whatever still waits for a verdict.

    POST /recursive/rounds goes on all the same, if something new was accepted.
    """
    with as_http():
        ended = app_instance().conductor.end()
    return RoundAsked(round=ended.round, message=f"the recursion ended with round {ended.round}")


@router.get("/queue", dependencies=[USER], summary=f"{RBAC_USER}Proposals that wait for a verdict")
def get_queue(
    limit: Annotated[int, Query(ge=1, le=1000)] = 100, offset: Annotated[int, Query(ge=0)] = 0
) -> list[Queued]:
    """Undecided proposals in the order in which they are served."""
    queue = _recursion().ledger.queue.page(now=time.time(), limit=limit, offset=offset)
    return [
        Queued(
            case_id=p.case_id,
            proposal=p.sha256,
            round=p.round,
            second_look=bool(p.chance),
            slices=list(p.slices),
            voxels=p.voxels,
            confidence=round(p.confidence, 4),
            score=None if p.score is None else round(p.score, 4),
            client=client,
        )
        for p, client in queue
    ]


@router.post(
    "/outbox/retry",
    dependencies=[ADMIN],
    summary=f"{RBAC_ADMIN}Write the waiting label objects now",
)
def post_outbox_retry() -> OutboxStatus:
    """Try at once what waits for its next attempt."""
    outbox = _recursion().ledger.outbox
    outbox.retry()
    app_instance().conductor.wake()
    return OutboxStatus(**vars(outbox.count()))
