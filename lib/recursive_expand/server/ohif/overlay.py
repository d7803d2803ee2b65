"""A proposal on the PACS's own slices: what OHIF draws."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response
from monailabel.config import RBAC_USER
from monailabel.interfaces.utils.app import app_instance
from pydantic import BaseModel, Field

from recursive_expand.errors import InputError
from recursive_expand.expand.frozen import frozen_label
from recursive_expand.server.desk.api import NOT_KEPT, proposal_of
from recursive_expand.server.desk.pixels import runs
from recursive_expand.server.ohif.source import dicomweb_archive
from recursive_expand.server.refusals import as_http
from recursive_expand.server.roles import USER
from recursive_expand.server.routes import Refusal

router = APIRouter(prefix="/recursive/ohif", tags=["Desk"])


class Plane(BaseModel):
    """A slice that the proposal marks."""

    number: int = Field(description="As verdicts by slice count it.")
    runs: list[tuple[int, int, int]] = Field(description="First pixel, length and class value, in the image's order.")


class Overlay(BaseModel):
    """A proposal on a series."""

    study: str
    series: str
    rows: int
    columns: int
    images: list[tuple[str, int]] = Field(
        description="SOP Instance UID and frame, from 1, by slice number, as they were when it was proposed."
    )
    planes: list[Plane]


@router.get(
    "/overlay",
    dependencies=[USER],
    summary=f"{RBAC_USER}A proposal, by SOP Instance UID",
    responses={404: {"model": Refusal}, 409: {"model": Refusal}},
)
def get_overlay(case_id: str, proposal: Annotated[str, Query(max_length=128)], response: Response) -> Overlay:
    """The frozen mask, slice by slice, its pixels in the order of the images in the PACS."""
    archive = dicomweb_archive()
    recursion = app_instance().recursion
    response.headers.update(NOT_KEPT)
    with as_http():
        frozen = proposal_of(recursion, case_id, proposal)
        label = frozen_label(recursion.workspace, frozen, recursion.settings.task.classes)
        series = archive.reference(case_id)
        if series is None or series.study_instance_uid is None:
            raise InputError(f"case {case_id}", "is of no known series any more")
        # Native axes are column, row, image (`read_series`): the images' own order, whichever way the head lies.
        planes = label.native.T
        if label.geometry.orientation.axes[0] != 2 or len(planes) != len(series.sop_instance_uids):
            raise InputError(f"case {case_id}", "is no stack of axial images; judge it at the review desk")
        return Overlay(
            study=series.study_instance_uid,
            series=series.series_instance_uid,
            rows=planes.shape[1],
            columns=planes.shape[2],
            # An image of one slice has one frame.
            images=[(uid, frame or 1) for uid, frame in series.slice_names],
            planes=[
                Plane(number=number, runs=runs(plane).tolist()) for number, plane in enumerate(planes) if plane.any()
            ],
        )
