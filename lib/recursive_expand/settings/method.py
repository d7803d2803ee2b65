"""The method: everything besides the task that changes weights or proposals."""

from __future__ import annotations

from pydantic import Field

from recursive_expand.settings.network import Network
from recursive_expand.settings.refinement import Refinement
from recursive_expand.settings.section import Section
from recursive_expand.settings.training import Training


class Method(Section):
    """How f and g learn and propose. A round records it and goes on under it, whatever the settings become."""

    preset: str
    """The preset that was chosen."""
    seed: int = 0
    """Seeds first weights, the order of slices, augmentation and the choice of the validation share."""
    network: Network = Network()
    refinement: Refinement = Refinement()
    training: Training = Training()
    working_spacing: float | None = Field(default=None, gt=0)
    """In-plane spacing in mm at which f works; None: the image's own."""
    flips: bool = False
    """Average f's probabilities over each slice and its left-right mirror image; proposing takes twice as long."""
    use_image_labels: bool = True
    """Image-level labels constrain proposals, and slices labelled clean join as background."""
    gate: bool = True
    """A new model replaces the old one only if the locked validation share holds."""
    gate_tolerance: float = Field(default=0.05, ge=0, le=1)
    """By how much validation Dice and recall may fall before the gate keeps the old model."""
    validation_share: float = Field(default=0.2, ge=0, lt=1)
    """Share of the pixel slices, in whole patients, that is never trained on; 0: metrics are reported on the pixel set
    itself."""
    unchanged_dice: float = Field(default=0.95, gt=0, le=1)
    """A new proposal this close to a rejected one counts as unchanged and is not served again."""
