"""Settings of g."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator

from recursive_expand.settings.section import Section

F_ALONE: dict[str, Any] = {"mode": "off", "min_area": 0.0, "min_depth": 0.0}
"""For `Settings.changed`: what f marks, nothing refined and nothing dropped."""


class Refinement(Section):
    """g: Felzenszwalb-Huttenlocher (2004) on each component's box; the paper's section 3, second stage."""

    mode: Literal["off", "shrink", "grow", "objectness"] = "shrink"
    """shrink: fewer false positives (result within the mask); grow: more true positives (result contains the mask);
    objectness: the mask is replaced by the segments that it mostly covers."""
    refine: Literal["before_review", "after_review"] = "before_review"
    """before_review: experts judge what g made; after_review: they judge f's masks, and g refines the accepted ones
    before they join the training set (the paper)."""
    scale: float = Field(default=30.0, gt=0)
    """Felzenszwalb's scale: larger makes larger segments."""
    sigma: float = Field(default=0.6, ge=0)
    """Gaussian smoothing before segmentation, in pixels."""
    min_size: int = Field(default=10, ge=1)
    """Smallest segment, in pixels."""
    margin: int = Field(default=12, ge=1)
    """Margin around a component's box, in pixels."""
    overlap: float = Field(default=0.5, ge=0, le=1)
    """A segment belongs to the object where at least this share of it lies in the mask."""
    min_dice: float = Field(default=0.5, ge=0, le=1)
    """A refined component whose Dice with f's component is below this is g's failure (thin objects): f's stays."""
    min_area: float = Field(default=0.0, ge=0)
    """Components smaller than this, in mm2, are dropped as specks; 0 keeps all, as the paper does."""

    min_depth: float = Field(default=0.0, ge=0)
    """Components of which no pixel is so many mm from bone are dropped as its rims; 0 keeps all, as the paper does."""

    @field_validator("mode", mode="before")
    @classmethod
    def _off(cls, mode: Any) -> Any:
        """YAML reads a bare `off` as false."""
        return "off" if mode is False else mode
