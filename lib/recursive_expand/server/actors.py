"""Who acts: one dependency for every route that takes or withdraws a verdict."""

from __future__ import annotations

import json
from typing import Annotated, Any

from fastapi import Depends, HTTPException, Request
from monailabel.config import settings
from monailabel.endpoints.user.auth import RBAC, User

from recursive_expand.ledger import Actor

LONGEST_NAME = 200
"""Longest name of a reviewer or client, in characters."""
_ANNOTATOR = RBAC(settings.MONAI_LABEL_AUTH_ROLE_ANNOTATOR)


async def acting(request: Request, user: Annotated[User, Depends(_ANNOTATOR)]) -> Actor:
    """The actor of a request.

    A reviewer who logged in is who the token says. Otherwise the name is self-declared: `reviewer` (or else `client`)
    in the query, in a JSON body or in the form's JSON field `params`, where MONAI Label's clients call themselves
    `client_id`; 3D Slicer's reviewer module names its reader in `segmentationMeta`. A program that gives no reviewer
    acts in its own name.

    Raises:
        HTTPException: 403, a verdict is given in another name than the one that logged in.
    """
    body = await _body(request)
    declared = {**_of_reviewer_module(body), **body, **request.query_params}
    reviewer, client = (_name(declared.get(key)) for key in ("reviewer", "client"))
    client = client or _name(declared.get("client_id"))
    if settings.MONAI_LABEL_AUTH_ENABLE:
        if reviewer and reviewer != user.username:
            raise HTTPException(403, f"you are logged in as {user.username}; leave `reviewer` out, or give that name")
        return Actor(user.username, client or "http", authenticated=True)
    return Actor(reviewer or client, client or "http")


ACTOR = Depends(acting)
"""For a route's signature: `actor: Annotated[Actor, ACTOR]`."""


async def _body(request: Request) -> dict[str, Any]:
    """What a request's body says as JSON; what is no JSON is for the handler's own checks to refuse."""
    kind = request.headers.get("content-type", "")
    if kind.startswith("multipart/form-data") or kind.startswith("application/x-www-form-urlencoded"):
        text: Any = (await request.form()).get("params")
    else:
        text = await request.body()
    try:
        found = json.loads(text) if isinstance(text, str | bytes) and text else {}
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _of_reviewer_module(body: dict[str, Any]) -> dict[str, Any]:
    meta = body.get("segmentationMeta")
    return {"reviewer": meta.get("approvedBy")} if isinstance(meta, dict) else {}


def _name(value: object) -> str:
    return value.strip()[:LONGEST_NAME] if isinstance(value, str) else ""
