"""/datastore: images, what clients attach to them, and the data set."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, File, Form, HTTPException, Query, UploadFile
from fastapi.responses import FileResponse
from monailabel.interfaces.utils.app import app_instance
from monailabel.utils.others.generic import file_checksum, get_mime_type

from recursive_expand.archives.identifiers import split_name
from recursive_expand.server.refusals import as_http
from recursive_expand.server.roles import ANNOTATOR, USER
from recursive_expand.server.stock.fields import image_info
from recursive_expand.server.uploads import SentOnce, uploaded

router = APIRouter(prefix="/datastore", tags=["Datastore"])


class Listing(Enum):
    """What GET /datastore/ tells."""

    TRAIN = "train"
    STATS = "stats"
    ALL = "all"


@router.get("/", dependencies=[USER], summary="Images and labels")
def get_datastore(output: Listing = Listing.STATS) -> Any:
    """Numbers; or every image with its labels (`all`), or those that have a final label (`train`)."""
    datastore = app_instance().datastore()
    if output is Listing.ALL:
        return datastore.json()
    return datastore.datalist() if output is Listing.TRAIN else datastore.status()


@router.put("/", dependencies=[ANNOTATOR], include_in_schema=False)
@router.put("/image", dependencies=[ANNOTATOR], summary="Add an image")
def put_image(
    file: Annotated[UploadFile, File()],
    image: Annotated[str | None, Query(description="Its id; the file's name without extension if not given.")] = None,
    params: Annotated[str, Form(description="JSON object, kept as the image's info.")] = "{}",
) -> dict[str, str]:
    """Add an image as a new case; those that are there are never replaced."""
    name = file.filename or ""
    image_id = image or (split_name(name) or (name,))[0]
    with as_http():
        info = image_info(params, "params")
        info.pop("client_id", None)
        with uploaded(file) as path:
            return {"image": app_instance().datastore().add_image(image_id, str(path), info)}


@router.head("/image", dependencies=[USER], summary="Whether an image exists")
def head_image(
    image: str, check_sum: Annotated[str | None, Query(description="SHA256:<hex>, or the digits alone.")] = None
) -> None:
    """404 where it does not, or where its file is another one."""
    path = _file_of(image)
    if check_sum:
        algorithm, _, digest = check_sum.rpartition(":")
        if algorithm.upper() not in ("", "SHA256"):
            raise HTTPException(422, f"check_sum {check_sum[:40]!a} is not known; send SHA256:<hex>")
        if digest.lower() != file_checksum(str(path), algo="SHA256").rpartition(":")[2].lower():
            raise HTTPException(404, "the image's file has another checksum")


@router.get("/image", dependencies=[USER], summary="Download an image", response_class=FileResponse)
def get_image(image: str) -> FileResponse:
    """The image's file as it is in the archive."""
    path = _file_of(image)
    return FileResponse(path, media_type=get_mime_type(str(path)), filename=path.name)


@router.get("/image/info", dependencies=[USER], summary="What is known of an image")
def get_image_info(image: str) -> dict[str, Any]:
    """What clients attached to it, and its file's name."""
    return app_instance().datastore().get_image_info(image)


@router.put("/image/info", dependencies=[ANNOTATOR], summary="Attach something to an image")
def put_image_info(image: str, info: Annotated[str, Form(description="JSON object.")] = "{}") -> None:
    """Merged into what is attached already."""
    with as_http():
        app_instance().datastore().update_image_info(image, image_info(info, "info"))


@router.get("/dataset", dependencies=[ANNOTATOR], summary="Download the data set", response_class=FileResponse)
def get_dataset(limit_cases: Annotated[int | None, Query(ge=0)] = None) -> FileResponse:
    """A ZIP of the images that have a final label, with it."""
    with as_http():
        path = app_instance().datastore().get_dataset_archive(limit_cases)
    return SentOnce(path, media_type="application/zip", filename="dataset.zip")


def _file_of(image: str) -> Path:
    with as_http():
        path = Path(app_instance().datastore().get_image_uri(image))
    if not path.is_file():
        raise HTTPException(404, f"the file of case {image[:40]!a} is gone")
    return path
