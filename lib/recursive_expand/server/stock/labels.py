"""/datastore/label: labels, which are verdicts when they come in and masks when they go out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, File, Form, HTTPException, UploadFile
from fastapi.responses import FileResponse
from monailabel.interfaces.utils.app import app_instance
from monailabel.utils.others.generic import get_mime_type

from recursive_expand.ledger import Actor, VerdictKind, VerdictRecord
from recursive_expand.server.actors import ACTOR
from recursive_expand.server.inputs import parse_object
from recursive_expand.server.listing import META
from recursive_expand.server.refusals import as_http
from recursive_expand.server.reviewer import LabelReview, take_review
from recursive_expand.server.roles import ADMIN, ANNOTATOR, USER
from recursive_expand.server.stock.fields import SubmissionFields, form_fields
from recursive_expand.server.submissions import submit_label
from recursive_expand.server.uploads import uploaded

router = APIRouter(prefix="/datastore", tags=["Datastore"])


@router.put("/label", summary="Submit a label")
def put_label(
    actor: Annotated[Actor, ACTOR],
    image: str,
    label: Annotated[UploadFile, File()],
    params: Annotated[str, Form(description="JSON object: client_id, reviewer, verdict, reason, ...")] = "{}",
    tag: str = "final",
) -> dict[str, Any]:
    """The proposal unchanged accepts it, emptied rejects it, with some slices emptied rejects those."""
    app = app_instance()
    if tag not in ("", "final"):
        raise HTTPException(
            422, f"label tag {tag[:40]!a} cannot be submitted; submit `final`: it is held against the proposal"
        )
    with as_http():
        said = form_fields(SubmissionFields, params).model_dump(exclude_unset=True)
        with uploaded(label) as path:
            verdict = submit_label(app.recursion, actor, image, path, said)
    app.conductor.wake()
    return _told(verdict) | {"undecided": app.recursion.ledger.queue.count(), "image": image, "label": image}


@router.head("/label", dependencies=[USER], summary="Whether a label exists")
def head_label(image: str, tag: str) -> None:
    """404 where it does not."""
    _file_of(image, tag)


@router.get("/label", dependencies=[USER], summary="Download a label", response_class=FileResponse)
def get_label(label: str, tag: str) -> FileResponse:
    """Tags: final, rejected, original (the proposal), version_<round>."""
    path = _file_of(label, tag)
    return FileResponse(path, media_type=get_mime_type(str(path)), filename=path.name)


@router.delete("/label", dependencies=[ADMIN], include_in_schema=False)
def delete_label(id: str, tag: str) -> dict[str, Any]:
    """The datastore says why not: a verdict is taken back, a label is not erased."""
    with as_http():
        app_instance().datastore().remove_label(id, tag)
    return {}


@router.get("/label/info", dependencies=[USER], summary="What is known of a label")
def get_label_info(label: str, tag: str) -> dict[str, Any]:
    """The verdict behind it, and what clients attached to it."""
    with as_http():
        return app_instance().datastore().get_label_info(label, tag)


@router.put("/label/info", dependencies=[ANNOTATOR], summary="Attach something to a label")
def put_label_info(label: str, tag: str, info: Annotated[str, Form(description="JSON object.")] = "{}") -> None:
    """Merged into what is attached already; the verdict does not change."""
    with as_http():
        app_instance().datastore().update_label_info(label, tag, parse_object(info, "info"))


@router.put("/updatelabelinfo", summary="Approve or flag, as 3D Slicer's reviewer module does")
def put_review(
    actor: Annotated[Actor, ACTOR],
    label: str,
    tag: str,
    params: Annotated[str, Form(description="JSON object with `segmentationMeta` and its five keys.")],
) -> dict[str, Any]:
    """`approved` accepts the proposal under this tag, `flagged` rejects it; the rest is kept as a note on the label."""
    app = app_instance()
    with as_http():
        meta = form_fields(LabelReview, params).segmentationMeta
        verdict = take_review(app.recursion, actor, label, tag, meta)
        app.datastore().update_label_info(label, tag, {META: meta.model_dump()})
    if verdict is None:
        return {}
    app.conductor.wake()
    return _told(verdict)


def _told(verdict: VerdictRecord | None) -> dict[str, Any]:
    """What a client is told of its submission: the verdict it became."""
    if verdict is None:
        return {"verdict": "expert mask"}
    told: dict[str, Any] = {"verdict": verdict.verdict, "verdict_id": verdict.verdict_id, "round": verdict.round}
    if verdict.verdict is VerdictKind.ACCEPT and verdict.rejected_slices:
        told["rejected_slices"] = list(verdict.rejected_slices)
    return told


def _file_of(label: str, tag: str) -> Path:
    with as_http():
        path = Path(app_instance().datastore().get_label_uri(label, tag))
    if not path.is_file():
        raise HTTPException(404, f"case {label[:40]!a} has no label {tag[:40]!a}")
    return path
