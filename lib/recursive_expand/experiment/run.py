"""One run of an experiment: one preset with one seed."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recursive_expand.expand.workspace import Workspace
from recursive_expand.experiment.config import ExperimentConfig, PresetSettings, slug
from recursive_expand.experiment.data import ExperimentData
from recursive_expand.ledger.chain import canonical
from recursive_expand.settings import Review, Settings


@dataclass(frozen=True)
class Run:
    """One preset with one seed.

    Attributes:
        experiment: the configuration.
        preset: its settings.
        seed: of training, of the choice of validation cases and of the expert's errors.
        data: what it works on.
        settings: under this preset and seed.
    """

    experiment: ExperimentConfig
    preset: PresetSettings
    seed: int
    data: ExperimentData
    settings: Settings

    @property
    def name(self) -> str:
        """Its name in progress lines and tables."""
        return f"{self.preset.name}, seed {self.seed}"

    @property
    def folder(self) -> Path:
        """Holds all its files."""
        return self.experiment.output / "runs" / slug(self.preset.name) / f"seed-{self.seed}"

    @property
    def workspace(self) -> Workspace:
        """The workspace of its server, or the one in which people reviewed."""
        return Workspace(self.experiment.studies.workspace or self.folder / "workspace")

    @property
    def identity(self) -> dict[str, Any]:
        """Everything that the results depend on except the code, as JSON."""
        experiment = self.experiment
        return {
            **self.settings.round_config(),
            "review": self.settings.review.model_dump(mode="json"),
            "data_sha256": self.data.sha256,
            "expert": "people" if experiment.reviewers == "people" else experiment.expert.model_dump(mode="json"),
            "max_rounds": experiment.max_rounds,
            "max_verdicts": experiment.max_verdicts,
            "surface_tolerance": experiment.surface_tolerance,
            "tests": sorted(experiment.tests),
        }

    @property
    def settings_sha256(self) -> str:
        """Hash of `identity`."""
        return _sha256(self.identity)

    def is_run_of(self, identity: dict[str, Any]) -> bool:
        """Whether it has the identity of a run that was started earlier, possibly by version 0.1.0.

        Raises:
            InputError: the earlier run's settings are invalid.
        """
        if "method" not in identity:  # in 0.1.0, all settings were the task's
            flat = identity["task"]
            review = {name: flat[name] for name in Review.model_fields}
            identity = {**identity, **self.settings.under(flat).round_config(), "review": review}
        return _sha256(identity) == self.settings_sha256


def _sha256(value: dict[str, Any]) -> str:
    return hashlib.sha256(canonical(value).encode()).hexdigest()
