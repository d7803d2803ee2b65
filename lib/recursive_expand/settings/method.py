"""The method: everything besides the task that changes weights or proposals."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import Field, field_validator

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
    pretrain: str = "none"
    """f's start: `synthetic`, trained on synthetic heads that are made while it trains; `none`, fresh weights; or the
    SHA-256 of an earlier study's weights (`models/<sha256>.safetensors` in its workspace)."""
    pretrain_slices: int = Field(default=0, ge=0)
    """Synthetic slices, each of a head of its own; 0: 4,000, on a GPU 24,000."""
    pretrain_epochs: int = Field(default=2, ge=1)
    """How often each is seen, every time as another scanner shows it."""
    pretrain_seed: int = Field(default=0, ge=0)
    """Seeds the synthetic heads, apart from `seed`: recursions of all seeds can share a start."""
    network: Network = Network()
    refinement: Refinement = Refinement()
    training: Training = Training()
    working_spacing: float | None = Field(default=None, gt=0)
    """In-plane spacing in mm at which f works; None: the image's own."""
    context: int = Field(default=0, ge=0, le=4)
    """Slices on each side that f sees beside the one it marks, as further input channels (2.5-D): neighbours by
    position, the volume's last slice repeated. 0: the slice alone, as in the paper."""
    flips: bool = False
    """Average f's probabilities over each slice and its left-right mirror image; proposing takes twice as long."""
    snapshots: int = Field(default=0, ge=0, le=8)
    """Weights that are kept on the way of every training, from its second half; how far their masks agree with the
    model's helps to foretell acceptance (Zenk et al., 2024). Proposing takes (1 + snapshots) times as long. 0: none."""
    foreground_threshold: float | dict[str, float] | None = None
    """With a pretrained start: probability of any class together above which a pixel is proposed, as its most probable
    class. None, or with fresh weights: where one class alone is more probable than background. An f from synthetic
    heads is careful on scans, and halves its probability where it doubts which type a bleed is; one that knows a few
    scans alone marks noise at the same threshold. By class name, each class has its own, with fresh weights too; a
    class without one is proposed where it is more probable than background."""
    operating_point: Literal["fixed", "steady", "precision", "conformal"] = "fixed"
    """fixed: `foreground_threshold` and `min_area`. Else every round chooses for its model where the truth is known
    (expand/operating_point.py). steady: `foreground_threshold` is the first model's, each later one's moves towards
    that at which it is as precise on unseen synthetic slices (not without a pretrained start). precision: the smallest
    component, then thresholds by class, so that experts accept as many slices as possible and reject few. conformal:
    the lowest threshold at which they accept at least 1 - `conformal_alpha` of what is proposed."""
    conformal_alpha: float = Field(default=0.3, gt=0, lt=1)
    """Largest share of a patient's proposed slices, in the mean over patients, of which more than `tau` is wrong."""
    conformal_delta: float = Field(default=0.1, gt=0, lt=1)
    """Probability, over the patients that were drawn to choose on, that the promise does not hold."""
    tau: float = Field(default=0.35, ge=0, lt=1)
    """Largest share of wrong voxels in a slice's mask with which experts are taken to accept it: what acceptance is
    predicted from until their verdicts say more."""
    proposing_area: Literal["region", "as_trained"] = "as_trained"
    """Where f looks when it proposes: as it is trained, at the region's box on slices that may hold any class, or with
    `crop_to_region` off at the whole of every slice; or at the region's box in any case (until version 0.2)."""
    review: Literal["every_round", "once"] = "every_round"
    """Experts judge every round's proposals; or round 0's alone (the paper): from then on slices on which f marks
    something for the first time join without a verdict, until none is left."""
    use_image_labels: bool = True
    """Image-level labels constrain proposals, and slices labelled clean join as background."""
    gate: bool = True
    """A new model replaces the old one only if the locked validation share holds."""
    gate_tolerance: float = Field(default=0.05, ge=0, le=1)
    """By how much validation Dice and recall may fall before the gate keeps the old model."""
    validation_share: float = Field(default=0.2, ge=0, lt=1)
    """Share of the pixel slices, in whole patients, that is never trained on; 0: metrics are reported on the pixel set
    itself."""
    accepted_validation_share: float = Field(default=0.1, ge=0, le=0.5)
    """Share of the accepted slices, in whole patients, that is never trained on either and has a say in the gate; none
    while few are accepted (expand/locked.py), or without a gate."""
    unchanged_dice: float = Field(default=0.95, gt=0, le=1)
    """A new proposal this close to a rejected one counts as unchanged and is not served again."""
    second_chance: Literal["none", "stricter", "components"] = "none"
    """Rejected masks come once more in the same round, when everything was seen once: only their confident foreground
    (`stricter`), or of several components the one with most of it (`components`). The rest of what was rejected is left
    out of the loss."""

    def rate_setting(self, *, first: bool) -> str:
        """Which setting of `training` is the learning rate of the first round, or of a later one."""
        if self.pretrain != "none":
            return "tune_learning_rate"
        return "learning_rate" if first else "later_learning_rate"

    @field_validator("pretrain", mode="before")
    @classmethod
    def _start(cls, pretrain: object) -> str:
        """YAML reads a bare `none` as text, `~` as nothing."""
        value = "none" if pretrain is None else str(pretrain)
        if value not in ("none", "synthetic") and not re.fullmatch(r"[0-9a-f]{64}", value):
            raise ValueError("must be synthetic, none or the SHA-256 of weights (64 hex digits)")
        return value

    @field_validator("foreground_threshold", mode="before")
    @classmethod
    def _probabilities(cls, threshold: object) -> object:
        each = threshold.values() if isinstance(threshold, Mapping) else () if threshold is None else (threshold,)
        if not all(isinstance(one, int | float) and 0 < one < 1 for one in each):
            raise ValueError("must be a probability above 0 and below 1, or one for each class by its name")
        return threshold

    def thresholds(self, classes: Sequence[str]) -> tuple[float | None, ...]:
        """The probability of any class together above which a pixel is proposed, by the class that is most probable
        there; None where that has to be more probable than background."""
        threshold = self.foreground_threshold
        if isinstance(threshold, Mapping):
            return tuple(threshold.get(name) for name in classes)
        return (threshold if self.pretrain != "none" else None,) * len(classes)

    def thresholds_by_class(self, classes: Sequence[str]) -> dict[str, float]:
        """The same by name, of the classes that have one."""
        pairs = zip(classes, self.thresholds(classes), strict=True)
        return {name: threshold for name, threshold in pairs if threshold is not None}
