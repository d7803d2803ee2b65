"""Settings of f's network."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from recursive_expand.settings.section import Section


class Network(Section):
    """The 2-D U-Net."""

    kind: Literal["residual", "unet2015"] = "residual"
    """residual: MONAI's, with strided convolutions, residual units, batch normalisation and PReLU; unet2015: as
    Ronneberger et al. (2015) describe it, with max-pooling and ReLU."""
    channels: tuple[int, ...] = (16, 32, 64, 128, 256)
    """Feature maps of each level, the finest first; every level halves the grid."""
    residual_units: int = Field(default=1, ge=0)
    """Of `residual`: residual units of each level; 0: plain convolutions."""
