"""Routes under /recursive/desk: items, pixels, leases, verdicts and the live status of the review desk."""

from __future__ import annotations

import asyncio
import json
import shutil
import time
from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal

from fastapi import APIRouter, HTTPException, Query, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse
from monailabel.config import RBAC_ANNOTATOR, RBAC_USER, settings
from monailabel.endpoints.user.auth import User
from monailabel.interfaces.utils.app import app_instance

from recursive_expand import __version__
from recursive_expand.expand.frozen import frozen_label
from recursive_expand.expand.judging import Answer, Unnamed, judge, withdraw
from recursive_expand.expand.recursion import Recursion
from recursive_expand.ledger import Actor, ProposalRecord, StaleProposal
from recursive_expand.server.actors import ACTOR
from recursive_expand.server.desk.fields import (
    MAX_CASES,
    Acceptance,
    Cases,
    DeskState,
    DeskVerdict,
    Earlier,
    Given,
    Item,
    Leases,
    Window,
)
from recursive_expand.server.desk.pixels import encode
from recursive_expand.server.refusals import as_http
from recursive_expand.server.roles import USER, may_judge
from recursive_expand.server.routes import Refusal, Verdict
from recursive_expand.server.status import read_status

SLICES_AT_ONCE = 64
"""Slices in one answer: 32 MiB of 512 x 512."""
SECONDS_BETWEEN_EVENTS = 1.0
EVENT_STREAM_SECONDS = 20.0
"""A stream of events ends after this and the page asks again: a server that ends would wait for it."""
NOT_KEPT = {"Cache-Control": "no-store"}
"""Patients' pictures are not for the browser's disk."""

router = APIRouter(prefix="/recursive/desk", tags=["Desk"])


def _recursion() -> Recursion:
    return app_instance().recursion


@router.get("/state", summary=f"{RBAC_USER}What the desk shows while one reads")
def get_state(user: Annotated[User, USER]) -> DeskState:
    """Classes, window, round, state, how many proposals remain, and what the one who asks may do."""
    app = app_instance()
    recursion: Recursion = app.recursion
    status = read_status(recursion, app.conductor)
    task, review = recursion.settings.task, recursion.settings.review
    return DeskState(
        title=task.title,
        version=__version__,
        classes=list(task.classes),
        window=Window(level=task.windows[0].level, width=task.windows[0].width),
        round=status.round,
        state=status.state,
        message=status.message,
        remaining=status.undecided,
        lease_seconds=review.lease_minutes * 60,
        reader=user.username if settings.MONAI_LABEL_AUTH_ENABLE else None,
        may_judge=may_judge(user),
        bulk_accept=review.bulk_accept,
        seed=recursion.settings.method.seed,
        fetching=status.fetching,
    )


@router.get("/items", dependencies=[USER], summary=f"{RBAC_USER}What waits for this reader")
def get_items(
    reviewer: Annotated[str, Query(max_length=200)] = "", limit: Annotated[int, Query(ge=1, le=MAX_CASES)] = 24
) -> list[Item]:
    """Proposals in the queue's order, without those that other readers hold. Nothing is leased by looking ahead."""
    recursion = _recursion()
    found = recursion.ledger.queue.waiting(reviewer, now=time.time(), limit=limit)
    return [_item(recursion, proposal) for proposal in found]


@router.get(
    "/pixels",
    dependencies=[USER],
    summary=f"{RBAC_USER}Slices and masks",
    response_class=Response,
    responses={200: {"content": {"application/octet-stream": {}}}, 404: {"model": Refusal}, 409: {"model": Refusal}},
)
def get_pixels(
    case_id: str,
    proposal: Annotated[str, Query(max_length=128)],
    which: Literal["marked", "all"] = "marked",
    first: Annotated[int, Query(ge=0)] = 0,
    count: Annotated[int, Query(ge=1, le=SLICES_AT_ONCE)] = SLICES_AT_ONCE,
) -> Response:
    """Some slices of a case as int16 HU, with a proposal's mask as run lengths; the form is that of `pixels.encode`.

    `first` and `count` choose from the list of slices with a mask, or of all.
    """
    recursion = _recursion()
    with as_http():
        frozen = proposal_of(recursion, case_id, proposal)
        volume = recursion.volume(case_id)
        label = frozen_label(recursion.workspace, frozen, recursion.settings.task.classes)
        numbers = list(frozen.slices) if which == "marked" else list(range(volume.hu.shape[0]))
        facts = {
            "case_id": case_id,
            "proposal": proposal,
            "spacing": list(volume.geometry.spacing),
            "slices": volume.hu.shape[0],
            # Whether the last slice is the highest: sections are shown with the head up.
            "superior_last": bool(volume.geometry.affine[2, volume.geometry.orientation.axes[0]] > 0),
            "first": first,
            "total": len(numbers),
        }
        content = encode(volume.hu, label.slices, numbers[first : first + count], facts)
    return Response(content, media_type="application/octet-stream", headers=NOT_KEPT)


@router.post("/leases", summary=f"{RBAC_ANNOTATOR}Cases that a reader sees now", responses={422: {}})
def post_leases(body: Cases, actor: Annotated[Actor, ACTOR]) -> Leases:
    """Lease what was painted, or lengthen its leases. What another reader holds stays theirs."""
    recursion = _recursion()
    seconds = recursion.settings.review.lease_minutes * 60
    with as_http():
        _named(actor)
        held = recursion.ledger.queue.hold(actor.reviewer, body.case_ids, now=time.time(), lease_seconds=seconds)
    return Leases(cases=held, seconds=seconds)


@router.post("/leases/release", summary=f"{RBAC_ANNOTATOR}Give cases back", responses={422: {}})
def post_release(body: Cases, actor: Annotated[Actor, ACTOR]) -> dict[str, int]:
    """The reader has left; the cases are free at once."""
    return {"released": _recursion().ledger.queue.release(actor.reviewer, body.case_ids)}


@router.post(
    "/verdicts",
    status_code=201,
    summary=f"{RBAC_ANNOTATOR}Accept or reject, with how it was read",
    responses={403: {"model": Refusal}, 404: {"model": Refusal}, 409: {"model": Refusal}},
)
def post_verdict(body: DeskVerdict, actor: Annotated[Actor, ACTOR]) -> Verdict:
    """As POST /recursive/verdicts. The same id again answers with the verdict that it made, also one taken back."""
    reading = body.reading
    if reading.bulk and not _recursion().settings.review.bulk_accept:
        raise HTTPException(
            403, "proposals are judged one by one here; --conf bulk_accept true lets a sheet be accepted"
        )
    answer = Answer(
        body.verdict,
        tuple(body.rejected_slices),
        reason=body.reason,
        comment=body.comment,
        seconds=max(0.0, round(reading.decided - reading.first_paint, 3)),
        facts=reading.facts(body.id),
    )
    with as_http():
        verdict = judge(_recursion(), actor, body.case_id, body.proposal, answer)
    app_instance().conductor.wake()
    return Verdict.of(verdict)


@router.delete(
    "/verdicts/{client_verdict_id}",
    summary=f"{RBAC_ANNOTATOR}Take back one's own verdict by the page's id",
    responses={403: {"model": Refusal}, 404: {"model": Refusal}, 409: {"model": Refusal}},
)
def delete_verdict(
    client_verdict_id: str,
    actor: Annotated[Actor, ACTOR],
    reviewer: Annotated[str, Query(max_length=200, description="Who takes it back: the one who gave it.")] = "",
) -> Verdict:
    """It is recorded as withdrawn, not erased; again is harmless."""
    recursion = _recursion()
    verdict_id = recursion.ledger.readings.verdict_id(client_verdict_id)
    if verdict_id is None:
        raise HTTPException(404, "no verdict was given under this id")
    with as_http():
        verdict = withdraw(recursion, actor, verdict_id)
    app_instance().conductor.wake()
    return Verdict.of(verdict)


@router.get("/given", dependencies=[USER], summary=f"{RBAC_USER}One's own verdicts that can be taken back")
def get_given(
    reviewer: Annotated[str, Query(max_length=200)] = "", limit: Annotated[int, Query(ge=1, le=MAX_CASES)] = MAX_CASES
) -> list[Given]:
    """What the reader judged since the last round began, the newest last: a page that is opened anew can undo it."""
    recursion = _recursion()
    ledger, found = recursion.ledger, []
    for client_verdict_id, case_id, verdict_id in ledger.readings.given(reviewer, limit=limit):
        verdict = next((one for one in ledger.judgements.of_case(case_id) if one.verdict_id == verdict_id), None)
        if verdict is None:
            continue  # taken back just now
        proposal = ledger.proposals.of_round(case_id, verdict.round, sha256=verdict.proposal_sha256)
        assert proposal is not None
        found.append(
            Given(
                id=client_verdict_id,
                verdict=verdict.verdict,
                reason=verdict.reason,
                rejected_slices=list(verdict.rejected_slices),
                item=_item(recursion, proposal),
            )
        )
    return found


@router.get(
    "/earlier",
    dependencies=[USER],
    summary=f"{RBAC_USER}Earlier proposals, after one's own verdict",
    responses={404: {"model": Refusal}, 409: {"model": Refusal}},
)
def get_earlier(case_id: str, reviewer: Annotated[str, Query(max_length=200)] = "") -> list[Earlier]:
    """Newest first; 409 before the reader has judged the case's present proposal."""
    recursion = _recursion()
    with as_http():
        recursion.ledger.cases.get(case_id)
        known = recursion.ledger.proposals.of_case(case_id)
        newest = recursion.ledger.proposals.current(case_id)
        judged = {one.proposal_id for one in recursion.ledger.judgements.of_case(case_id) if one.reviewer == reviewer}
    if newest is None or newest.proposal_id not in judged:
        raise HTTPException(409, "judge this proposal first: earlier ones would lead the eye")
    return [
        Earlier(round=one.round, proposal=one.sha256, slices=list(one.slices), state=one.state)
        for one in reversed(known)
        if (one.round, one.chance) < (newest.round, newest.chance)
    ]


@router.get("/acceptance", dependencies=[USER], summary=f"{RBAC_USER}Accepted slices by round and class")
def get_acceptance() -> list[Acceptance]:
    """Of the verdicts that stand."""
    found = _recursion().ledger.readings.acceptance()
    return [Acceptance(round=r, name=name, accepted=accepted, judged=judged) for r, name, accepted, judged in found]


@router.get(
    "/events",
    dependencies=[USER],
    summary=f"{RBAC_USER}The status as it changes, as server-sent events",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/event-stream": {}}}},
)
def get_events(once: Annotated[bool, Query(description="Only the status as it is now.")] = False) -> Any:
    """`data:` holds the status as GET /recursive/status answers it, and the disk's free bytes."""
    return StreamingResponse(_events(once), media_type="text/event-stream", headers=NOT_KEPT)


async def _events(once: bool) -> AsyncIterator[str]:
    ends = time.monotonic() + EVENT_STREAM_SECONDS
    sent = None
    yield "retry: 1000\n\n"
    while time.monotonic() < ends:
        content = await run_in_threadpool(_event)
        if content != sent:
            sent = content
            yield f"data: {content}\n\n"
        if once:
            return
        await asyncio.sleep(SECONDS_BETWEEN_EVENTS)


def _event() -> str:
    app = app_instance()
    status = read_status(app.recursion, app.conductor).model_dump(mode="json", exclude={"workspace"})
    # In whole tenths of a gigabyte: every byte less is no event.
    free = round(shutil.disk_usage(app.recursion.workspace.root).free / 1e9, 1)
    return json.dumps(status | {"disk_free_gb": free})


def _item(recursion: Recursion, proposal: ProposalRecord) -> Item:
    labels = recursion.ledger.cases.get(proposal.case_id).image_labels
    return Item(
        case_id=proposal.case_id,
        proposal=proposal.sha256,
        model_sha256=proposal.model_sha256,
        round=proposal.round,
        second_look=bool(proposal.chance),
        slices=list(proposal.slices),
        classes=list(proposal.voxels),
        image_labels={
            "case" if number is None else str(number): sorted(said.present) for number, said in labels.items()
        },
    )


def proposal_of(recursion: Recursion, case_id: str, sha256: str) -> ProposalRecord:
    """A case's proposal by its SHA-256, the newest of that name.

    Raises:
        UnknownCase, StaleProposal: there is none.
    """
    recursion.ledger.cases.get(case_id)
    found = [one for one in recursion.ledger.proposals.of_case(case_id) if one.sha256 == sha256]
    if not found:
        raise StaleProposal(f"case {case_id!r} has no proposal {sha256[:12]}; reload the page")
    return found[-1]


def _named(actor: Actor) -> None:
    if not actor.reviewer.strip():
        raise Unnamed("who are you? give a reviewer's name; a case is kept for the one who reads it")
