"""The study in small: phantoms, two seeds, both presets; minutes on two cores."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from recursive_expand.study.config import StudyConfig, parse_config

SETTINGS: dict[str, Any] = {
    "title": "Recursive ICH: the study in small",
    "studies": {
        "phantom": {"pixel": 40, "image": 60, "test": 40, "size": 64, "single_slices": True, "seed": 2020},
    },
    "tests": {"shifted scanner": "test"},
    "presets": ["paper", "default"],
    "seeds": [0, 1],
    "conf": {
        "channels": [8, 16, 32, 64],
        "epochs": 40,
        "learning_rate": 0.005,
        "batch_size": 4,
    },
    "expert": {"tau": 0.3},
    "max_rounds": 2,
}


def demo_config(output: Path) -> StudyConfig:
    """The demo's configuration, with its results in `output`."""
    return parse_config({**SETTINGS, "output": str(output)}, source="the demo", folder=Path.cwd())
