"""The presets of the ICH app, every setting of them: a changed value is a changed algorithm."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from recursive_expand.settings import PacsSettings, load_settings

TASK_FILE = Path(__file__).parents[2] / "apps" / "recursive_ich" / "task.yaml"

TASK: dict[str, Any] = {
    "name": "recursive_ich",
    "title": "Recursive ICH",
    "description": "Intracranial haemorrhage in head CT, learned recursively from accepted proposals "
    "(Parida et al., 2020)",
    "classes": ("epidural", "intraparenchymal", "intraventricular", "subarachnoid", "subdural"),
    "windows": ({"level": 40, "width": 80}, {"level": 80, "width": 200}, {"level": 600, "width": 2800}),
}
MACHINE = {"threads": 0, "max_case_bytes": 2147483648}

# section, setting: paper, default
TABLE: dict[str, dict[str, tuple[Any, Any]]] = {
    "task": {
        "region": ("head", "intracranial"),
    },
    "method": {
        "preset": ("paper", "default"),
        "seed": (0, 0),
        "working_spacing": (None, 1.2),
        "context": (0, 0),
        "pretrain": ("none", "synthetic"),
        "pretrain_slices": (0, 0),
        "pretrain_epochs": (2, 2),
        "pretrain_seed": (0, 0),
        "flips": (False, False),
        "snapshots": (0, 0),
        "foreground_threshold": (None, 0.1),
        "operating_point": ("fixed", "steady"),
        "conformal_alpha": (0.3, 0.3),
        "conformal_delta": (0.1, 0.1),
        "proposing_area": ("as_trained", "as_trained"),
        "review": ("once", "every_round"),
        "use_image_labels": (False, True),
        "gate": (False, True),
        "gate_tolerance": (0.05, 0.05),
        "validation_share": (0, 0.2),
        "accepted_validation_share": (0.1, 0.1),
        "tau": (0.35, 0.35),
        "unchanged_dice": (0.95, 0.95),
        "second_chance": ("none", "none"),
    },
    "network": {
        "kind": ("unet2015", "residual"),
        "channels": ((64, 128, 256, 512, 1024), (16, 32, 64, 128, 256)),
        "residual_units": (1, 1),
    },
    "refinement": {
        "mode": ("shrink", "shrink"),
        "refine": ("after_review", "before_review"),
        "scale": (30, 30),
        "sigma": (0.6, 0.6),
        "min_size": (10, 10),
        "margin": (12, 12),
        "overlap": (0.5, 0.5),
        "min_dice": (0.5, 0.5),
        "min_area": (0, 10),
        "min_depth": (0, 3),
    },
    "training": {
        "epochs": (120, 120),
        "tune_epochs": (15, 15),
        "tune_learning_rate": (0.0003, 0.0003),
        "later_epochs": (3, 20),
        "dice_loss": ("later_rounds", "every_round"),
        "learning_rate": (0.0003, 0.002),
        "later_learning_rate": (0.0001, 0.001),
        "later_schedule": ("constant", "cosine"),
        "base_share": (0, 0),
        "batch_size": (4, 4),
        "crop_to_region": (False, True),
        "augment": (False, True),
        "targets": ("previous", "frozen"),
        "ignore_band": (False, True),
        "accepted_loss": ("cross_entropy", "cross_entropy"),
        "background_trust": (0.1, 0.1),
        "rejects": ("ignore", "ignore"),
        "replay_share": (0, 0.5),
        "confident_foreground": (0.7, 0.7),
        "confident_background": (0.3, 0.3),
        "clean_slices": ("unmarked", "sampled"),
        "clean_share": (0.25, 0.25),
        "painted_share": (0, 0),
        "pasted_share": (0, 0),
        "slice_label_weight": (0, 0),
        "slice_label_share": (0.5, 0.5),
    },
    "review": {
        "train": ("auto", "auto"),
        "bulk_accept": (False, False),
        "min_expansion": (0, 0),
        "offer_end": (0, 0.02),
        "propagate": (0, 0),
        "verdicts_per_round": (0, 0),
        "order": ("balanced", "risk"),
        "random_share": (None, None),
        "lease_minutes": (15, 15),
        "edits": ("refuse", "refuse"),
    },
}


def test_paper_small_is_paper_with_a_quarter_of_the_channels():
    paper, small = (load_settings(TASK_FILE, {"preset": name}) for name in ("paper", "paper-small"))
    narrow = {"channels": (16, 32, 64, 128, 256), "learning_rate": 0.001, "later_learning_rate": 0.0005}
    assert small == paper.changed(preset="paper-small", **narrow)


@pytest.mark.parametrize(("column", "preset"), [(0, "paper"), (1, "default")])
def test_every_setting_of_the_preset(column, preset):
    found = load_settings(TASK_FILE, {"preset": preset}).model_dump()
    # The same in both: what a PACS asks for.
    assert found.pop("pacs") == PacsSettings().model_dump()
    assert found["task"].pop("codes").keys() == {*TASK["classes"], "category", "region"}
    expected = {part: {name: values[column] for name, values in rows.items()} for part, rows in TABLE.items()}
    sections = {name: expected.pop(name) for name in ("network", "refinement", "training")}
    expected["method"] |= sections
    expected["task"] |= TASK
    assert found == {"machine": MACHINE, **expected}


def test_without_a_choice_the_preset_is_default():
    assert load_settings(TASK_FILE) == load_settings(TASK_FILE, {"preset": "default"})
