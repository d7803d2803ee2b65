"""The experiment's configuration: data, test sets, presets, seeds and the simulated expert, read from YAML."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from recursive_expand.errors import InputError
from recursive_expand.ledger.chain import canonical

APP = Path(__file__).resolve().parents[3] / "apps" / "recursive_ich"
"""The default app."""


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PhantomSettings(_Settings):
    """Synthetic studies: the parameters of `phantom.write_study`."""

    pixel: int = Field(default=60, ge=1)
    image: int = Field(default=300, ge=0)
    unlabelled: int = Field(default=0, ge=0)
    test: int = Field(default=60, ge=0)
    size: int = Field(default=96, ge=32)
    slices: int = Field(default=8, ge=1)
    single_slices: bool = True
    shifted: bool = True
    """All cases except the pixel cases come from the other scanner."""
    seed: int = Field(default=0, ge=0)
    new_heads_per_seed: bool = False
    """Each seed of the experiment gets its own heads (`seed` + that seed) instead of the same ones."""


class StudiesSettings(_Settings):
    """Where the recursion's cases come from: a studies folder, phantoms, or a workspace in which people reviewed."""

    folder: Path | None = None
    """Same layout as for the server: scans, `labels/final/`, `cases.csv`, `image_labels.csv`. It is only read."""
    truth: Path | None = None
    """True masks `<case>.nii.gz|.nii|.nrrd` of the cases without an expert mask, for the simulated expert. A case that
    has none, and is not labelled clean, is left out if the simulated expert would have to judge it."""
    leave_one_patient_out: bool = False
    """Each seed holds out a different patient of the pixel cases: seed 0 the first by name, and so on."""
    phantom: PhantomSettings | None = None
    workspace: Path | None = None
    """The workspace of a study that people review: `experiment measure` measures its rounds, and nothing is run.
    `folder` is then its studies, which are not needed."""

    @model_validator(mode="after")
    def _one_source(self) -> StudiesSettings:
        if self.workspace is not None:
            if self.phantom is not None or self.truth is not None or self.leave_one_patient_out:
                raise ValueError("workspace goes with folder alone")
            return self
        if (self.folder is None) == (self.phantom is None):
            raise ValueError("give either folder or phantom")
        if self.leave_one_patient_out and self.folder is None:
            raise ValueError("leave_one_patient_out goes with folder, not with phantom")
        return self


class ImagesAndMasks(_Settings):
    """A test set in two folders; an image and its mask have the same name."""

    images: Path
    masks: Path


class PresetSettings(_Settings):
    """The settings of one of the compared recursions.

    Attributes:
        name: its name in tables and figures.
        preset: a preset of task.yaml.
        conf: `--conf` settings that override the preset's.
    """

    name: str = Field(pattern=r"^[\w][\w .+-]*$")
    preset: str
    conf: dict[str, Any] = {}


class ExpertSettings(_Settings):
    """The simulated expert."""

    tau: float = Field(default=0.2, le=1)
    """A slice is accepted if at most this share of its marked voxels is wrong."""
    error_rate: float = Field(default=0.0, ge=0, le=1)
    """Probability that the answer for a slice is flipped."""
    seconds: float = Field(default=2.0, ge=0)
    """Duration of a verdict; recorded, not waited for."""


class ExperimentConfig(_Settings):
    """One experiment: every preset is run with every seed."""

    title: str = "Train, learn, expand, repeat"
    studies: StudiesSettings
    tests: dict[str, Literal["test"] | Path | ImagesAndMasks] = {"held out": "test"}
    """By name: `test` (the studies' cases with that role), another studies folder, or `{images, masks}`."""
    presets: tuple[PresetSettings, ...] = Field(min_length=1)
    """Each a preset's name, or `{name, preset, conf}`."""
    seeds: tuple[int, ...] = Field(default=(0,), min_length=1)
    conf: dict[str, Any] = {}
    """`--conf` settings for all presets."""
    reviewers: Literal["simulated", "people"] = "simulated"
    """Who reviews: the simulated expert, or people, for whom the run's server waits."""
    expert: ExpertSettings = ExpertSettings()
    max_rounds: int = Field(default=6, ge=0)
    """Recursions after round 0, unless it converges earlier."""
    max_verdicts: int = Field(default=0, ge=0)
    """Largest number of verdicts that the expert gives; one more round is trained on them. 0: no limit."""
    surface_tolerance: float = Field(default=2.0, ge=0)
    """Tolerance of the normalised surface distance, in mm."""
    app: Path = APP
    output: Path

    @field_validator("presets", mode="before")
    @classmethod
    def _names(cls, presets: Any) -> Any:
        if isinstance(presets, list | tuple):
            return [{"name": item, "preset": item} if isinstance(item, str) else item for item in presets]
        return presets

    @model_validator(mode="after")
    def _distinct(self) -> ExperimentConfig:
        slugs = [slug(preset.name) for preset in self.presets]
        if len(set(slugs)) != len(slugs) or len(set(self.seeds)) != len(self.seeds):
            raise ValueError("presets and seeds must differ from each other")
        return self

    def conf_of(self, preset: PresetSettings, seed: int) -> dict[str, str]:
        """`--conf` pairs of a run, in the form that the server's command line takes."""
        settings = {**self.conf, **preset.conf, "preset": preset.preset, "seed": seed}
        return {key: value if isinstance(value, str) else json.dumps(value) for key, value in settings.items()}

    def sha256(self) -> str:
        """Hash of every setting except `output`."""
        body = self.model_dump(mode="json", exclude={"output"})
        return hashlib.sha256(canonical(body).encode()).hexdigest()


def slug(name: str) -> str:
    """A name in a form that fits a folder."""
    return re.sub(r"[^a-z0-9.+]+", "-", name.lower()).strip("-")


def load_config(path: Path) -> ExperimentConfig:
    """Read an experiment's YAML file; relative paths in it are relative to its folder.

    Raises:
        InputError: the file is unreadable or a setting is invalid; names the setting.
    """
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(path.name, f"not readable as YAML ({error})") from error
    if not isinstance(raw, dict):
        raise InputError(path.name, "must be a mapping of settings; docs/experiment.md shows one")
    return parse_config(raw, source=path.name, folder=path.resolve().parent)


def parse_config(raw: dict[str, Any], *, source: str, folder: Path) -> ExperimentConfig:
    """Validate an experiment's settings.

    Args:
        raw: the settings.
        source: their name in error messages.
        folder: the base of relative paths.

    Raises:
        InputError: a setting is invalid; names it.
    """
    try:
        config = ExperimentConfig.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise InputError(source, f"setting {where!r}: {first['msg']}") from error
    return _resolved(config, folder)


def _resolved(config: ExperimentConfig, folder: Path) -> ExperimentConfig:
    def at(path: Path | None) -> Path | None:
        return None if path is None else (folder / path.expanduser()).resolve()

    def test(source: Literal["test"] | Path | ImagesAndMasks) -> Any:
        if isinstance(source, ImagesAndMasks):
            return ImagesAndMasks.model_validate({"images": at(source.images), "masks": at(source.masks)})
        return source if source == "test" else at(Path(source))

    studies = config.studies.model_copy(
        update={name: at(getattr(config.studies, name)) for name in ("folder", "truth", "workspace")}
    )
    tests = {name: test(source) for name, source in config.tests.items()}
    update = {"studies": studies, "tests": tests, "output": at(config.output), "app": at(config.app)}
    return config.model_copy(update=update)
