"""What a round records, and going on under it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recursive_expand.errors import InputError
from recursive_expand.settings import Settings, load_settings

TASK_FILE = Path(__file__).parents[2] / "apps" / "recursive_ich" / "task.yaml"
BY_0_1_0: dict[str, Any] = {
    "name": "recursive_ich",
    "title": "Recursive ICH",
    "description": "As it was",
    "classes": ["epidural", "subdural"],
    "windows": [{"level": 40.0, "width": 80.0}],
    "network": {"channels": [4, 8], "residual_units": 1},
    "refinement": {
        "mode": "grow",
        "scale": 30.0,
        "sigma": 0.6,
        "min_size": 10,
        "margin": 12,
        "overlap": 0.5,
        "min_agreement": 0.4,
        "min_area": 10.0,
    },
    "training": {
        "epochs": 12,
        "later_epochs": 2,
        "learning_rate": 0.02,
        "later_learning_rate": 0.001,
        "later_schedule": "cosine",
        "batch_size": 3,
        "crop_to_head": False,
        "augment": True,
        "targets": "frozen",
        "ignore_band": True,
        "accepted_loss": "cross_entropy",
        "rejects": "ignore",
        "confident_foreground": 0.7,
        "confident_background": 0.3,
        "clean_share": 0.25,
    },
    "preset": "default",
    "seed": 7,
    "threads": 2,
    "working_spacing": 1.5,
    "flips": True,
    "use_image_labels": True,
    "gate": True,
    "validation_share": 0.1,
    "gate_tolerance": 0.04,
    "min_expansion": 5,
    "unchanged_dice": 0.9,
    "verdicts_per_round": 50,
    "order": "balanced",
    "lease_minutes": 1.0,
    "edits": "promote",
}
"""A round's settings as version 0.1.0 recorded them."""


@pytest.fixture(scope="module")
def settings() -> Settings:
    return load_settings(TASK_FILE)


def test_a_round_records_what_changes_weights_or_proposals_and_nothing_else(settings):
    config = settings.round_config()
    assert json.loads(json.dumps(config)) == config
    assert set(config) == {"task", "method"}
    assert set(config["task"]) == {"name", "classes", "windows", "region"}
    others = settings.changed(title="T", description="D", order="balanced", edits="promote", threads=3, lease_minutes=1)
    assert others.round_config() == config
    for change in ({"epochs": 1}, {"min_area": 0}, {"flips": True}, {"unchanged_dice": 0.9}, {"region": "body"}):
        assert settings.changed(**change).round_config() != config


@given(
    epochs=st.integers(1, 500),
    mode=st.sampled_from(["off", "shrink", "grow", "objectness"]),
    region=st.sampled_from(["head", "body", "whole"]),
    working_spacing=st.none() | st.floats(0.1, 5),
)
def test_settings_under_their_own_record_are_themselves(settings, **changes):
    changed = settings.changed(**changes)
    assert changed.under(changed.round_config()) == changed
    other = settings.under(json.loads(json.dumps(changed.round_config())))
    assert (other.method, other.task) == (changed.method, changed.task)


def test_under_a_record_texts_review_and_machine_stay(settings):
    recorded = settings.changed(epochs=3, region="whole", title="Old", order="balanced", threads=1).round_config()
    now = settings.changed(epochs=9, title="New", threads=4, verdicts_per_round=20)
    under = now.under(recorded)
    assert (under.method.training.epochs, under.task.region) == (3, "whole")
    assert (under.task.title, under.task.description) == ("New", settings.task.description)
    assert (under.review, under.machine) == (now.review, now.machine)


def test_a_round_of_0_1_0_goes_on_under_its_own_settings(settings):
    under = settings.under(BY_0_1_0)
    assert under.task.classes == ("epidural", "subdural")
    assert under.task.windows[0].width == 80 and len(under.task.windows) == 1
    method = under.method
    assert (method.seed, method.preset, method.working_spacing, method.unchanged_dice) == (7, "default", 1.5, 0.9)
    assert (method.flips, method.validation_share, method.gate_tolerance) == (True, 0.1, 0.04)
    assert (method.training.epochs, method.training.crop_to_region, method.network.channels) == (12, False, (4, 8))
    assert (method.refinement.mode, method.refinement.min_dice) == ("grow", 0.4)
    # What came later was not so then.
    assert (method.proposing_area, method.review, method.network.kind) == ("region", "every_round", "residual")
    assert (method.refinement.refine, method.training.dice_loss) == ("before_review", "every_round")
    assert method.training.clean_slices == "sampled"
    # What 0.1.0 did not record, or what belongs to the review and the machine now, stays.
    assert (under.task.region, under.task.title) == ("head", settings.task.title)
    assert (under.review, under.machine) == (settings.review, settings.machine)


def test_what_a_record_leaves_out_is_the_method_s_own_value_not_the_server_s(settings):
    config = {name: value for name, value in BY_0_1_0.items() if name != "flips"}
    assert settings.changed(flips=True).under(config).method.flips is False


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({**BY_0_1_0, "later": 1}, "the round's recorded settings: 'later' is no setting"),
        ({**BY_0_1_0, "seed": "x"}, "the round's recorded settings: setting 'seed' = 'x'"),
        ({"method": {}, "task": {}}, "the round's recorded settings: setting 'name' is missing"),
    ],
)
def test_a_record_that_does_not_fit_is_named(settings, config, message):
    with pytest.raises(InputError, match=message):
        settings.under(config)


def test_changed_takes_settings_by_their_own_names(settings):
    changed = settings.changed(flips=True, mode="off", epochs=3, threads=2)
    assert (changed.method.flips, changed.method.refinement.mode, changed.machine.threads) == (True, "off", 2)
    assert changed.method.refinement.min_area == 10  # the section's other settings stay
    assert settings.method.flips is False
    with pytest.raises(InputError, match="settings: 'epoch' is no setting; did you mean epochs"):
        settings.changed(epoch=3)
    with pytest.raises(InputError, match=r"settings: setting 'training.epochs' = 0"):
        settings.changed(epochs=0)
