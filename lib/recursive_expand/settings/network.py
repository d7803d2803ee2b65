"""Settings of f's network."""

from __future__ import annotations

from pydantic import Field

from recursive_expand.settings.section import Section


class Network(Section):
    """The 2-D U-Net (Ronneberger et al., 2015), as MONAI builds it."""

    channels: tuple[int, ...] = (16, 32, 64, 128, 256)
    """Feature maps of each level, the finest first; every level halves the grid."""
    residual_units: int = Field(default=1, ge=0)
    """Residual units of each level; 0: plain convolutions."""
