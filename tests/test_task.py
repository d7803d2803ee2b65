"""task.py: presets, `--conf` values and what is said of wrong ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from recursive_expand.errors import InputError
from recursive_expand.task import load_task

APP_TASK = Path(__file__).parents[1] / "apps" / "recursive_ich" / "task.yaml"


def test_the_app_s_task_has_the_five_bleeds():
    task = load_task(APP_TASK)
    assert task.label_names == {
        "epidural": 1,
        "intraparenchymal": 2,
        "intraventricular": 3,
        "subarachnoid": 4,
        "subdural": 5,
    }
    assert len(task.windows) == 3


def test_the_paper_preset_is_the_algorithm_as_published():
    task = load_task(APP_TASK, {"preset": "paper"})
    assert task.preset == "paper"
    assert (task.training.epochs, task.training.later_epochs) == (120, 3)
    assert (task.training.targets, task.training.ignore_band, task.training.crop_to_head) == ("previous", False, False)
    assert (task.gate, task.use_image_labels, task.validation_share, task.training.clean_share) == (False, False, 0, 0)


def test_the_default_preset_freezes_targets_and_keeps_the_gate():
    task = load_task(APP_TASK)
    assert task.preset == "default"
    assert (task.training.targets, task.training.ignore_band) == ("frozen", True)
    assert (task.training.confident_foreground, task.training.confident_background) == (0.7, 0.3)
    assert task.gate and task.use_image_labels


def test_conf_reaches_sections_without_naming_them():
    conf = {"epochs": "5", "mode": "grow", "channels": "[8, 16]", "seed": "7", "working_spacing": "1.0"}
    task = load_task(APP_TASK, conf)
    assert task.training.epochs == 5
    assert task.refinement.mode == "grow"
    assert task.network.channels == (8, 16)
    assert (task.seed, task.working_spacing) == (7, 1.0)
    assert task.training.targets == "frozen"  # the preset's other settings stay


def test_refinement_can_be_switched_off():
    # YAML reads a bare "off" as false.
    assert load_task(APP_TASK, {"mode": "off"}).refinement.mode == "off"


def test_conf_of_others_is_left_alone():
    assert load_task(APP_TASK, {"workspace": "/tmp/w", "server_mode": "true"}) == load_task(APP_TASK)


@pytest.mark.parametrize(
    ("conf", "message"),
    [
        ({"preset": "papr"}, r"task.yaml: there is no preset 'papr'; choose one of default, paper"),
        ({"epochs": "many"}, r"setting 'training.epochs' = 'many'"),
        ({"channels": "[8,"}, r"setting 'network.channels' = '\[8,'"),
        ({"epochs": "0"}, r"setting 'training.epochs' = 0"),
        ({"mode": "widen"}, r"setting 'refinement.mode' = 'widen'"),
        ({"validation_share": "1.5"}, r"setting 'validation_share' = 1.5"),
    ],
)
def test_a_wrong_value_is_named(conf, message):
    with pytest.raises(InputError, match=message):
        load_task(APP_TASK, conf)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- a list", "must be a mapping"),
        ("a: [", "not readable as YAML"),
        ("preset: p\npresets: {p: {}}\nname: n\ntitle: t\nclasses: [a, a]\nwindows: [{level: 1, width: 2}]", "differ"),
        ("preset: p\npresets: {p: {}}\nname: n\ntitle: t\nclasses: [a]\nwindows: [{level: 1, width: 0}]", "windows.0"),
        ("preset: p\npresets: {p: {}}\nname: n\ntitle: t\nclasses: [a]\nwindows: []", "windows"),
        (
            "preset: p\npresets: {p: {}}\ntypo: 1\nname: n\ntitle: t\nclasses: [a]\nwindows: [{level: 1, width: 2}]",
            "typo",
        ),
    ],
)
def test_a_wrong_file_is_named(tmp_path, text, message):
    path = tmp_path / "task.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=f"task.yaml: .*{message}"):
        load_task(path)


def test_a_file_that_is_no_text_is_named(tmp_path):
    (tmp_path / "task.yaml").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(InputError, match=r"task.yaml: not readable"):
        load_task(tmp_path / "task.yaml")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"task.yaml: not readable"):
        load_task(tmp_path / "task.yaml")
