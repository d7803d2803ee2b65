"""POST /activelearning: which case a client sees next."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from monailabel.interfaces.utils.app import app_instance

from recursive_expand.server.refusals import as_http
from recursive_expand.server.roles import USER
from recursive_expand.server.stock.fields import SampleFields
from recursive_expand.server.stock.offered import check_offered

router = APIRouter(prefix="/activelearning", tags=["ActiveLearning"], dependencies=[USER])


@router.post("/{strategy}", summary="Next sample")
def post_sample(strategy: str, params: SampleFields | None = None) -> dict[str, Any]:
    """The next case by a strategy of GET /info/, with what is known of its image; {} when nothing is left."""
    check_offered(strategy, "strategies")
    app = app_instance()
    asked = params.model_dump(exclude_none=True) if params else {}
    with as_http():
        sample = app.next_sample({"strategy": strategy, **asked})
        # What the server says of the case stands over what clients attached to its image.
        return app.datastore().get_image_info(sample["id"]) | sample if sample else {}
