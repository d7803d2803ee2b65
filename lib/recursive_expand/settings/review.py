"""The review: what is served, in what order, for how long, and when a round ends."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator

from recursive_expand.settings.section import Section

FEWEST = 5
"""Members of the smallest cluster of alike proposals (`Review.propagate`): smaller ones spare too little."""


class Review(Section):
    """How readers judge proposals. Changes count at once, also for a round that is under way."""

    train: Literal["auto", "on", "off"] = "auto"
    """Whether rounds begin by themselves. off: only where a person asks (`POST /recursive/rounds`); until then masks of
    other tools are judged (`recursive-expand import proposals`). auto: as off while the masks that are judged were
    imported and there is no expert mask, else as on."""
    min_expansion: int = Field(default=0, ge=0)
    """The recursion stops when a round accepts no more new slices than this."""
    offer_end: float = Field(default=0.02, ge=0, le=1)
    """A round that brought fewer new slices than this share of those it trained on is not followed by the next one by
    itself: readers are offered the end, or go on (`POST /recursive/rounds`). 0: rounds go on while anything is new."""
    verdicts_per_round: int = Field(default=0, ge=0)
    """Start the next round after this many verdicts; 0: when every proposal is decided."""
    order: Literal["balanced", "risk"] = "balanced"
    """The queue: classes in turn, in each the most confident first; or the half that is most probably accepted, as the
    verdicts so far predict (expand/triage.py), before the other half, and in each the classes in turn."""
    random_share: float | None = Field(default=None, ge=0, le=1)
    """Share of the proposals that come in random order, spread over the queue: what readers accept of them tells the
    rate among all, however few are judged. A review keeps the one that it opened with. None: 0.1 with
    `operating_point: conformal`, else 0."""
    lease_minutes: float = Field(default=15.0, gt=0)
    """How long a proposal served to one client is kept from the others."""
    propagate: int = Field(default=0, ge=0)
    """Members of a cluster of alike proposals, on average (at least 5). Readers judge three of each; if all three are
    accepted, the others count as accepted without a look, marked as such (expand/clusters.py). Clusters are formed when
    a review opens, with `order: risk` and `review: every_round` alone. 0: every proposal is judged."""
    bulk_accept: bool = False
    """The desk offers to accept all that a sheet shows at once; each verdict is marked as one of many."""
    edits: Literal["refuse", "promote"] = "refuse"
    """An edited mask is refused (409), or taken as an expert mask: the case joins the pixel set."""

    @field_validator("propagate")
    @classmethod
    def _members(cls, propagate: int) -> int:
        if 0 < propagate < FEWEST:
            raise ValueError(f"must be 0 or at least {FEWEST}: three of a cluster are judged all the same")
        return propagate

    @field_validator("train", mode="before")
    @classmethod
    def _switch(cls, train: Any) -> Any:
        """YAML reads a bare `on` as true and `off` as false."""
        return {True: "on", False: "off"}.get(train, train) if isinstance(train, bool) else train
