"""What the desk's page sends and is sent, field by field."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, NonNegativeInt

from recursive_expand.ledger import Hold, ReadingFacts, VerdictKind
from recursive_expand.server.status import FetchStatus

Name = Annotated[str, Field(max_length=200)]
ClientId = Annotated[str, Field(min_length=8, max_length=64, pattern=r"^[A-Za-z0-9-]+$")]
"""An id that the page makes."""
MAX_CASES = 200
"""Most cases in one request."""
Finite = Annotated[float, Field(allow_inf_nan=False)]
Moment = Annotated[float, Field(ge=0, le=1e11, allow_inf_nan=False)]
"""Seconds since the epoch."""


class Reading(BaseModel):
    """How a verdict was read; see `ReadingFacts`."""

    model_config = ConfigDict(extra="forbid")

    session: ClientId
    seed: int = Field(ge=-(2**63), le=2**63 - 1)
    position: int = Field(ge=0, le=2**31)
    first_paint: Moment
    first_input: Moment | None = None
    decided: Moment
    visible_seconds: NonNegativeFloat = Field(allow_inf_nan=False)
    slices_seen: list[NonNegativeInt] = Field(max_length=4096)
    window_level: Finite
    window_width: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    zoom: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    overlay: bool
    overlay_off_seconds: NonNegativeFloat = Field(allow_inf_nan=False)
    view: Literal["sheet", "case"]
    input_device: Literal["keyboard", "mouse", "touch"]
    client_version: str = Field(max_length=40)
    bulk: bool = False

    def facts(self, client_verdict_id: str) -> ReadingFacts:
        """As the ledger keeps them."""
        fields = self.model_dump() | {"slices_seen": tuple(self.slices_seen)}
        return ReadingFacts(client_verdict_id=client_verdict_id, **fields)


class DeskVerdict(BaseModel):
    """A verdict given at the desk."""

    model_config = ConfigDict(extra="forbid")

    id: ClientId = Field(description="Made by the page: the same id twice is the same verdict.")
    case_id: str = Field(max_length=255)
    proposal: str = Field(min_length=1, max_length=128)
    verdict: VerdictKind
    rejected_slices: list[NonNegativeInt] = Field(default=[], max_length=4096)
    reason: Name | None = None
    comment: str | None = Field(default=None, max_length=2000)
    reviewer: Name | None = None
    client: Name | None = None
    reading: Reading


class Cases(BaseModel):
    """Cases that a reader sees, or gives back."""

    model_config = ConfigDict(extra="forbid")

    case_ids: list[Annotated[str, Field(max_length=255)]] = Field(max_length=MAX_CASES)
    reviewer: Name | None = None
    client: Name | None = None


class Leases(BaseModel):
    """What became of the leases that were asked for."""

    cases: dict[str, Hold]
    seconds: float = Field(description="How long they hold without another request.")


class Window(BaseModel):
    """A display window in HU."""

    level: float
    width: float


class DeskState(BaseModel):
    """What the page shows while one reads: nothing of scores, other readers or speed."""

    title: str
    version: str
    classes: list[str] = Field(description="Class k, counted from 1, has the mask value k.")
    window: Window
    round: int | None
    state: str
    message: str
    remaining: int = Field(description="Proposals that wait for a verdict, whoever reads them.")
    lease_seconds: float
    reader: str | None = Field(description="Who is signed in; null where readers give their names themselves.")
    may_judge: bool = Field(description="Whether whoever asks may give verdicts.")
    bulk_accept: bool = Field(description="Whether all that a sheet shows may be accepted at once.")
    seed: int
    fetching: list[FetchStatus] = Field(description="Series on their way from the PACS.")


class Item(BaseModel):
    """A proposal to judge. Its confidence is left out on purpose."""

    case_id: str
    proposal: str
    model_sha256: str
    round: int
    second_look: bool = Field(description="Whether a mask that was rejected comes once more, stricter.")
    slices: list[int] = Field(description="Numbers of the slices with a mask.")
    classes: list[str] = Field(description="What it marks.")
    image_labels: dict[str, list[str]] = Field(
        description="Classes said to be present by slice number, `case` for the whole; an empty list means clean."
    )


class Given(BaseModel):
    """A verdict of this reader that can still be taken back."""

    id: str = Field(description="The page's own id of it.")
    verdict: VerdictKind
    reason: str | None
    rejected_slices: list[int]
    item: Item


class Earlier(BaseModel):
    """An earlier proposal, and what became of it."""

    round: int
    proposal: str
    slices: list[int]
    state: str


class Acceptance(BaseModel):
    """How much of a class was accepted in a round."""

    round: int
    name: str
    accepted: int
    judged: int
