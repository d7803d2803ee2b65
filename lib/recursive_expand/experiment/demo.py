"""A small experiment: phantoms, two seeds, both presets; minutes on two cores."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from recursive_expand.experiment.config import ExperimentConfig, parse_config

SETTINGS: dict[str, Any] = {
    "title": "Recursive ICH: the small experiment",
    "studies": {
        "phantom": {"pixel": 60, "image": 120, "test": 60, "size": 96, "single_slices": True, "seed": 2020},
    },
    "tests": {"shifted scanner": "test"},
    "presets": ["paper-small", "default"],
    "seeds": [0, 1],
    "conf": {"channels": [16, 32, 64, 128], "epochs": 80, "pretrain": "none"},
    "expert": {"tau": 0.3},
    "max_rounds": 3,
}


def demo_config(output: Path) -> ExperimentConfig:
    """The demo's configuration, with its results in `output`."""
    return parse_config({**SETTINGS, "output": str(output)}, source="the demo", folder=Path.cwd())
