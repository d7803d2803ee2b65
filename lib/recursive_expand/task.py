"""The task: classes, CT windows, network, refinement and training settings, read from task.yaml."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from recursive_expand.errors import InputError


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Window(_Settings):
    """A CT display window, in HU: values from level - width / 2 to level + width / 2 map to 0..1."""

    level: float
    width: float = Field(gt=0)


class Network(_Settings):
    """The 2-D U-Net (Ronneberger et al., 2015), as MONAI builds it."""

    channels: tuple[int, ...] = (16, 32, 64, 128, 256)
    residual_units: int = Field(default=1, ge=0)


class Refinement(_Settings):
    """g: Felzenszwalb-Huttenlocher (2004) on each component's box; the paper's section 3, second stage."""

    mode: Literal["off", "shrink", "grow", "objectness"] = "shrink"
    """shrink: fewer false positives (result within the mask); grow: more true positives (result contains the mask);
    objectness: the mask is replaced by the segments that it mostly covers."""
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
    min_agreement: float = Field(default=0.5, ge=0, le=1)
    """A refined component whose Dice with f's component is below this is g's failure (thin bleeds): f's stays."""
    min_area: float = Field(default=0.0, ge=0)
    """Components smaller than this, in mm2, are dropped as specks; 0 keeps all, as the paper does."""

    @field_validator("mode", mode="before")
    @classmethod
    def _off(cls, mode: Any) -> Any:
        """YAML reads a bare `off` as false."""
        return "off" if mode is False else mode


class Training(_Settings):
    """How f is trained in round 0 and in later rounds."""

    epochs: int = Field(default=120, ge=1)
    """Epochs of round 0 (the paper: 120)."""
    later_epochs: int = Field(default=3, ge=1)
    """Epochs of every later round (the paper: 3)."""
    learning_rate: float = Field(default=2e-3, gt=0)
    later_learning_rate: float = Field(default=1e-3, gt=0)
    """The paper names no learning rate; this is Adam's own default. With 1e-4 the paper's three epochs teach too
    little, with round 0's 2e-3 the rounds swing."""
    later_schedule: Literal["constant", "cosine"] = "constant"
    """The learning rate of later rounds: constant, or falling by epoch along half a cosine (Loshchilov and Hutter,
    2017), so that the last weights do not depend on the last few slices. Round 0's is constant."""
    batch_size: int = Field(default=4, ge=1)
    crop_to_head: bool = True
    """Train on the head's box instead of the whole slice. Off: equation 1's mean runs over all H x W pixels."""
    augment: bool = False
    """Left-right flips, small shifts of HU and noise."""
    targets: Literal["previous", "frozen", "teacher"] = "frozen"
    """Targets of accepted slices: the previous recursion's prediction (the paper), frozen as accepted, or the
    prediction of the mean of all published models' weights (after Tarvainen and Valpola, 2017), whose probabilities
    then decide on the ignore band."""
    ignore_band: bool = True
    """On accepted slices, leave pixels between confident background and confident foreground out of the loss."""
    accepted_loss: Literal["cross_entropy", "symmetric", "generalised"] = "cross_entropy"
    """Loss of accepted slices: the paper's cross-entropy, or one that wrong targets (missed blood) mislead less:
    symmetric (Wang et al., 2019) or generalised cross-entropy (Zhang and Sabuncu, 2018). Others keep equation 1."""
    rejects: Literal["ignore", "not_confident"] = "ignore"
    """Rejected slices: not trained on, or their rejected region is pushed below `confident_foreground` and nothing
    else of them is trained on."""
    confident_foreground: float = Field(default=0.7, ge=0, le=1)
    confident_background: float = Field(default=0.3, ge=0, le=1)
    clean_share: float = Field(default=0.25, ge=0)
    """Slices labelled clean join as exact background, up to this share of all other training slices."""


class Task(_Settings):
    """Everything that says what is segmented and how the recursion runs.

    Attributes follow task.yaml; a preset's settings are merged over the file's common ones, and `--conf` over both.
    """

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    title: str
    description: str = ""
    classes: tuple[str, ...] = Field(min_length=1, max_length=253)
    """K class names; class k has mask value k + 1, background is 0."""
    windows: tuple[Window, ...] = Field(min_length=1)
    network: Network = Network()
    refinement: Refinement = Refinement()
    training: Training = Training()
    preset: str
    seed: int = 0
    threads: int = Field(default=0, ge=0)
    """CPU threads of training and proposing; 0: all cores."""
    working_spacing: float | None = Field(default=None, gt=0)
    """In-plane spacing in mm at which f works; None: the image's own."""
    flips: bool = False
    """Average f's probabilities over each slice and its left-right mirror image; proposing takes twice as long."""
    use_image_labels: bool = True
    """Image-level labels constrain proposals, and slices labelled clean join as background."""
    gate: bool = True
    """A new model replaces the old one only if the locked validation share holds."""
    validation_share: float = Field(default=0.2, ge=0, lt=1)
    """Share of the pixel slices, in whole patients, that is never trained on; 0: metrics are reported on the pixel set
    itself."""
    gate_tolerance: float = Field(default=0.05, ge=0, le=1)
    """By how much validation Dice and recall may fall before the gate keeps the old model."""
    min_expansion: int = Field(default=0, ge=0)
    """The recursion stops when a round accepts no more new slices than this."""
    unchanged_dice: float = Field(default=0.95, gt=0, le=1)
    """A new proposal this close to a rejected one counts as unchanged and is not served again."""
    verdicts_per_round: int = Field(default=0, ge=0)
    """Start the next round after this many verdicts; 0: when every proposal is decided."""
    order: Literal["balanced", "risk"] = "balanced"
    """The queue: classes in turn, in each the most confident first; or the half that is most probably accepted, as the
    verdicts so far foretell (expand/triage.py), before the other half, and in each the classes in turn."""
    lease_minutes: float = Field(default=15.0, gt=0)
    """How long a proposal served to one client is kept from the others."""
    edits: Literal["refuse", "promote"] = "refuse"
    """An edited mask is refused (409), or taken as an expert mask: the case joins the pixel set."""

    @field_validator("classes")
    @classmethod
    def _names(cls, classes: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(classes)) != len(classes) or "background" in classes:
            raise ValueError(f"class names must differ from each other and from 'background': {', '.join(classes)}")
        return classes

    @property
    def label_names(self) -> dict[str, int]:
        """Class name to mask value (1..K)."""
        return {name: value for value, name in enumerate(self.classes, start=1)}


_SECTIONS = ("network", "refinement", "training")


def load_task(path: Path, conf: Mapping[str, str] | None = None) -> Task:
    """Read task.yaml, apply a preset and the server's `--conf` values.

    Args:
        path: the task.yaml file: the common settings, `preset` (the default's name) and `presets` (name: overrides).
        conf: `--conf KEY VALUE` pairs. KEY is a setting of the task or, without its section, of `training`,
            `network` or `refinement` (`epochs`, `channels`, `mode`); `preset` chooses one. Keys that are no
            setting (`workspace`, `server_mode`, ...) are left to others.

    Raises:
        InputError: for an unreadable file, an unknown preset or a value that does not fit, naming the setting.
    """
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(path.name, f"not readable as YAML ({error})") from error
    if not isinstance(raw, dict):
        raise InputError(path.name, "must be a mapping of settings")
    conf = dict(conf or {})
    presets: dict[str, Any] = raw.pop("presets", None) or {}
    preset = conf.pop("preset", None) or raw.get("preset")
    if preset not in presets:
        raise InputError(path.name, f"there is no preset {preset!r}; choose one of {', '.join(sorted(presets))}")
    settings = _merge(_merge(raw, presets[preset] or {}), _nest(conf))
    settings["preset"] = preset
    try:
        return Task.model_validate(settings)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise InputError(path.name, f"setting {where!r} = {first.get('input')!r}: {first['msg']}") from error


def _nest(conf: Mapping[str, str]) -> dict[str, Any]:
    sections: dict[str, type[BaseModel]] = {"network": Network, "refinement": Refinement, "training": Training}
    nested: dict[str, Any] = {}
    for key, value in conf.items():
        try:
            parsed = yaml.safe_load(value) if isinstance(value, str) else value
        except yaml.YAMLError:
            parsed = value  # left to the setting's own check, or to whoever the key belongs to
        if key in Task.model_fields and key not in sections:
            nested[key] = parsed
        for section, model in sections.items():
            if key in model.model_fields:
                nested.setdefault(section, {})[key] = parsed
    return nested


def _merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        if key in _SECTIONS and isinstance(value, Mapping):
            merged[key] = {**(merged.get(key) or {}), **value}
        else:
            merged[key] = value
    return merged
