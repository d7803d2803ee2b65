"""task.yaml: presets, `--conf` values and what is said of wrong ones."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from recursive_expand.errors import InputError
from recursive_expand.settings import load_settings

APPS = Path(__file__).parents[2] / "apps"
APP_TASK = APPS / "recursive_ich" / "task.yaml"


def test_the_app_s_task_has_the_five_bleeds():
    task = load_settings(APP_TASK).task
    assert task.label_names == {
        "epidural": 1,
        "intraparenchymal": 2,
        "intraventricular": 3,
        "subarachnoid": 4,
        "subdural": 5,
    }
    assert len(task.windows) == 3


@pytest.mark.parametrize("path", sorted(APPS.glob("*/task.yaml")), ids=lambda path: path.parent.name)
def test_every_preset_of_every_app_loads(path):
    for preset in yaml.safe_load(path.read_text(encoding="utf-8"))["presets"]:
        settings = load_settings(path, {"preset": preset})
        assert (settings.method.preset, settings.task.name) == (preset, path.parent.name)


def test_conf_reaches_sections_without_naming_them():
    conf = {"epochs": "5", "mode": "grow", "channels": "[8, 16]", "seed": "7", "working_spacing": "1.0"}
    settings = load_settings(APP_TASK, conf | {"order": "balanced", "threads": "2", "max_case_bytes": "1000"})
    method = settings.method
    assert method.training.epochs == 5
    assert method.refinement.mode == "grow"
    assert method.network.channels == (8, 16)
    assert (method.seed, method.working_spacing) == (7, 1.0)
    assert (settings.review.order, settings.machine.threads, settings.machine.max_case_bytes) == ("balanced", 2, 1000)
    assert (method.training.later_epochs, method.refinement.min_area) == (20, 10)  # the preset's others stay


def test_conf_values_may_be_typed_already():
    settings = load_settings(APP_TASK, {"channels": [8, 16], "flips": True, "working_spacing": None})
    assert (settings.method.network.channels, settings.method.flips) == ((8, 16), True)


def test_refinement_can_be_switched_off():
    # YAML reads a bare "off" as false.
    assert load_settings(APP_TASK, {"mode": "off"}).method.refinement.mode == "off"


def test_old_names_are_still_taken(tmp_path):
    settings = load_settings(APP_TASK, {"crop_to_head": "false", "min_agreement": "0.4"})
    assert (settings.method.training.crop_to_region, settings.method.refinement.min_dice) == (False, 0.4)
    text = APP_TASK.read_text(encoding="utf-8").replace("crop_to_region", "crop_to_head")
    (tmp_path / "task.yaml").write_text(text, encoding="utf-8")
    assert load_settings(tmp_path / "task.yaml", {"preset": "paper"}) == load_settings(APP_TASK, {"preset": "paper"})


@pytest.mark.parametrize(
    "key", ["workspace", "ledger", "server_mode", "models", "preload", "use_pretrained_model", "skip_scoring"]
)
def test_conf_of_others_is_left_alone(key):
    assert load_settings(APP_TASK, {key: "true"}) == load_settings(APP_TASK)


@pytest.mark.parametrize(
    ("conf", "message"),
    [
        ({"epoch": "30"}, r"--conf epoch: is no setting; did you mean epochs\?"),
        ({"workspce": "/tmp/w"}, r"--conf workspce: is no setting; did you mean workspace\?"),
        ({"presett": "paper"}, r"--conf presett: is no setting; did you mean preset\?"),
        ({"xyz": "1"}, r"--conf xyz: is no setting; docs/ml-engineer.md lists them"),
        ({"training": "{}"}, r"--conf training: is a section; give one of its settings: epochs, later_epochs"),
        ({"preset": "papr"}, r"task.yaml: there is no preset 'papr'; choose one of default, paper"),
        ({"epochs": "many"}, r"setting 'training.epochs' = 'many'"),
        ({"channels": "[8,"}, r"setting 'network.channels' = '\[8,'"),
        ({"epochs": "0"}, r"setting 'training.epochs' = 0"),
        ({"mode": "widen"}, r"setting 'refinement.mode' = 'widen'"),
        ({"validation_share": "1.5"}, r"setting 'validation_share' = 1.5"),
        ({"pretrain": "synthetc"}, r"setting 'pretrain' = 'synthetc'"),
        ({"order": "random"}, r"setting 'order' = 'random'"),
        ({"max_case_bytes": "0"}, r"setting 'max_case_bytes' = 0"),
    ],
)
def test_a_wrong_value_is_named(conf, message):
    with pytest.raises(InputError, match=message):
        load_settings(APP_TASK, conf)


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
            "'typo' is no setting",
        ),
        (
            "preset: p\npresets: {p: {training: {epoch: 1}}}\nname: n\ntitle: t\nclasses: [a]\n"
            "windows: [{level: 1, width: 2}]",
            r"'training.epoch' is no setting; did you mean epochs\?",
        ),
        ("preset: p\npresets: {p: {}}\nname: n\nclasses: [a]\nwindows: [{level: 1, width: 2}]", "'title' is missing"),
        ("preset: p\npresets: [p]\nname: n", r"presets = \['p'\] must map"),
        ("preset: [p]\npresets: {p: {}}\nname: n", r"there is no preset \['p'\]; choose one of p"),
        ("preset: p\npresets: {p: [1]}\nname: n", "preset 'p' must be a mapping"),
        (
            "preset: p\npresets: {p: {}}\nname: n\ntitle: t\nclasses: [a]\nwindows: [{level: 1, width: 2}]\n"
            "training: 3",
            "setting 'training' = 3",
        ),
    ],
)
def test_a_wrong_file_is_named(tmp_path, text, message):
    path = tmp_path / "task.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=f"task.yaml: .*{message}"):
        load_settings(path)


def test_a_file_that_is_no_text_is_named(tmp_path):
    (tmp_path / "task.yaml").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(InputError, match=r"task.yaml: not readable"):
        load_settings(tmp_path / "task.yaml")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"task.yaml: not readable"):
        load_settings(tmp_path / "task.yaml")
