"""POST /infer: a case's proposal, or the current model's mask of an upload."""

from __future__ import annotations

import json
from contextlib import ExitStack
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, File, Form, HTTPException, Query, UploadFile
from fastapi.responses import JSONResponse, Response
from monailabel.interfaces.utils.app import app_instance
from monailabel.utils.others.generic import get_mime_type
from requests_toolbelt import MultipartEncoder

from recursive_expand.errors import InputError
from recursive_expand.server.refusals import as_http
from recursive_expand.server.roles import USER
from recursive_expand.server.stock.fields import infer_fields
from recursive_expand.server.stock.offered import check_offered
from recursive_expand.server.uploads import uploaded

router = APIRouter(prefix="/infer", tags=["Infer"], dependencies=[USER])

_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Parts `params` (JSON) and `image` (the mask); or one of them.",
        "content": {"multipart/form-data": {}, "application/json": {}, "application/octet-stream": {}},
    }
}


class Output(Enum):
    """Which parts are answered."""

    IMAGE = "image"
    JSON = "json"
    ALL = "all"


@router.post("/{model}", summary="A mask", response_class=Response, responses=_ANSWERS)
def post_infer(
    model: str,
    image: Annotated[str, Query(description="Id of a case; none where a file is sent.")] = "",
    session_id: Annotated[str, Query(include_in_schema=False)] = "",
    params: Annotated[str, Form(description="JSON object: result_extension, result_dtype.")] = "{}",
    file: Annotated[UploadFile | None, File(description="An image that is no case; nothing of it is kept.")] = None,
    label: Annotated[UploadFile | None, File(description="Not used.")] = None,
    output: Output = Output.ALL,
) -> Response:
    """The frozen proposal of a case, made where there is none; of an upload the current model's mask."""
    check_offered(model, "models")
    with as_http(), ExitStack() as held:
        if session_id:
            raise InputError("session_id", "is not taken: there are no sessions; send the file with the request")
        if not image and file is None:
            raise InputError("image", "is missing; give the id of a case, or send a file")
        asked = infer_fields(params).model_dump(exclude_none=True, exclude={"save_label"})
        source = str(held.enter_context(uploaded(file))) if file is not None else image
        result = app_instance().infer({"model": model, "image": source, **asked})
        if not result:
            raise HTTPException(503, "no mask was made")
        mask = Path(result["file"]) if result.get("file") else None
        if mask is not None:
            held.callback(mask.unlink, missing_ok=True)
        return _answer(result["params"], mask, output)


def _answer(params: dict[str, Any], mask: Path | None, output: Output) -> Response:
    if output is Output.JSON or mask is None:
        return JSONResponse(params)
    kind = get_mime_type(str(mask))
    if output is Output.IMAGE:
        return Response(
            mask.read_bytes(), media_type=kind, headers={"Content-Disposition": f'attachment; filename="{mask.name}"'}
        )
    parts = MultipartEncoder(
        fields={
            "params": (None, json.dumps(params), "application/json"),
            "image": (mask.name, mask.read_bytes(), kind),
        }
    )
    return Response(parts.to_string(), media_type=parts.content_type)
