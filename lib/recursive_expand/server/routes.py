"""Our own routes under /recursive: verdicts, status, rounds, queue."""

from __future__ import annotations

import dataclasses
import time
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Query
from monailabel.config import RBAC_ADMIN, RBAC_ANNOTATOR, RBAC_USER, settings
from monailabel.endpoints.user.auth import RBAC
from monailabel.interfaces.utils.app import app_instance
from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt

from recursive_expand.expand.labels import try_to_write_labels
from recursive_expand.expand.rounds import iter_round_reports
from recursive_expand.expand.study import Study
from recursive_expand.ledger import VerdictKind, VerdictRecord
from recursive_expand.server.refusals import as_http, bad_field
from recursive_expand.server.status import Status, read_status

USER = Depends(RBAC(settings.MONAI_LABEL_AUTH_ROLE_USER))
ANNOTATOR = Depends(RBAC(settings.MONAI_LABEL_AUTH_ROLE_ANNOTATOR))
ADMIN = Depends(RBAC(settings.MONAI_LABEL_AUTH_ROLE_ADMIN))


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
    client: str = Field(default="http", max_length=200, description="The program that asks.")
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
    reason: str | None
    comment: str | None
    seconds: float | None
    ts: str
    used_by: int | None = Field(description="The round that trained with it; none while it can be taken back.")
    withdrawn: str | None = Field(description="When it was taken back.")

    @classmethod
    def of(cls, record: VerdictRecord) -> Verdict:
        """From the ledger's record."""
        fields = dataclasses.asdict(record)
        return cls(
            id=fields.pop("verdict_id"),
            proposal=fields.pop("proposal_sha256"),
            **{name: value for name, value in fields.items() if name in cls.model_fields},
        )


class Queued(BaseModel):
    """A proposal that waits for a verdict."""

    case_id: str
    proposal: str
    round: int
    slices: list[int] = Field(description="Slices with a mask.")
    voxels: dict[str, int] = Field(description="Voxels by class.")
    confidence: float
    score: float | None = Field(
        description="Probability of being accepted, as the queue's order assumed; null unless it is ordered by that."
    )
    client: str | None = Field(description="Who has it leased.")


class Refusal(BaseModel):
    """Why not, and what to do."""

    detail: str


class RoundAsked(BaseModel):
    """The round that will run."""

    round: int
    message: str


router = APIRouter(prefix="/recursive", tags=["Recursive"])


def _study() -> Study:
    return app_instance().study


@router.post(
    "/verdicts",
    status_code=201,
    dependencies=[ANNOTATOR],
    summary=f"{RBAC_ANNOTATOR}Accept or reject a proposal",
    responses={404: {"model": Refusal}, 409: {"model": Refusal}},
)
def post_verdict(body: NewVerdict) -> Verdict:
    """Accept or reject a proposal, whole or slice by slice.

    The answer is sent after the verdict is durable. Sending the same verdict again is harmless. 404: no such case;
    409: the proposal is stale, or was decided otherwise (by whom is said).
    """
    study = _study()
    if body.verdict is VerdictKind.REJECT and body.rejected_slices:
        proposal = study.ledger.current_proposal(body.case_id)
        if proposal is not None and set(body.rejected_slices) != set(proposal.slices):
            message = "names some slices, but reject rejects all of them; to reject some, send accept with these"
            raise bad_field("rejected_slices", body.rejected_slices, message)
    with as_http():
        try:
            verdict = study.ledger.decide(
                body.case_id,
                body.proposal,
                body.verdict,
                rejected_slices=body.rejected_slices,
                reviewer=body.reviewer or body.client,
                client=body.client,
                reason=body.reason,
                comment=body.comment,
                seconds=body.seconds,
            )
        except ValueError as error:
            raise bad_field("rejected_slices", body.rejected_slices, str(error)) from error
    try_to_write_labels(study, body.case_id)
    app_instance().conductor.wake()
    return Verdict.of(verdict)


@router.delete(
    "/verdicts/{verdict_id}",
    dependencies=[ANNOTATOR],
    summary=f"{RBAC_ANNOTATOR}Take back one's own verdict",
    responses={403: {"model": Refusal}, 404: {"model": Refusal}, 409: {"model": Refusal}},
)
def delete_verdict(
    verdict_id: int, reviewer: Annotated[str | None, Query(description="Who takes it back.")] = None
) -> Verdict:
    """Take back one's own verdict while the round is open. It is recorded as withdrawn, not erased."""
    study = _study()
    with as_http():
        verdict = study.ledger.withdraw(verdict_id, reviewer=reviewer)
    try_to_write_labels(study, verdict.case_id)
    return Verdict.of(verdict)


@router.get("/status", dependencies=[USER], summary=f"{RBAC_USER}Where the recursion stands")
def get_status() -> Status:
    """Round, state, progress, counts, cases set aside, last error."""
    app = app_instance()
    return read_status(app.study, app.conductor)


@router.get("/rounds", dependencies=[USER], summary=f"{RBAC_USER}All rounds")
def get_rounds() -> list[dict[str, Any]]:
    """Per round: training set by source, losses, validation, verdicts, hashes, seconds. Oldest first."""
    return list(iter_round_reports(_study()))


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


closed = APIRouter()
"""Stock routes that are closed; they are put before the stock ones."""


@closed.post("/reload", include_in_schema=False)
def post_reload() -> None:
    """MONAI Label lets anybody rebuild the app, past the conductor; refused."""
    raise HTTPException(403, "restart the server instead")


@closed.put("/model/{model}", include_in_schema=False)
@closed.delete("/model/{model}", include_in_schema=False)
def put_model(model: str) -> None:
    """MONAI Label lets annotators replace the file that it loads; refused: models come from rounds alone."""
    raise HTTPException(403, "models are made by rounds; they cannot be replaced or removed over HTTP")


@router.get("/queue", dependencies=[USER], summary=f"{RBAC_USER}Proposals that wait for a verdict")
def get_queue(
    limit: Annotated[int, Query(ge=1, le=1000)] = 100, offset: Annotated[int, Query(ge=0)] = 0
) -> list[Queued]:
    """Undecided proposals in the order in which they are served."""
    queue = _study().ledger.queue(now=time.time(), limit=limit, offset=offset)
    return [
        Queued(
            case_id=p.case_id,
            proposal=p.sha256,
            round=p.round,
            slices=list(p.slices),
            voxels=p.voxels,
            confidence=round(p.confidence, 4),
            score=None if p.score is None else round(p.score, 4),
            client=client,
        )
        for p, client in queue
    ]
