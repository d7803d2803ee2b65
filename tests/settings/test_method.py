"""Thresholds: one number for all classes, or one for each."""

from pathlib import Path

import pytest

from recursive_expand.errors import InputError
from recursive_expand.settings import load_settings

TASK_FILE = Path(__file__).parents[2] / "apps" / "recursive_ich" / "task.yaml"


def thresholds(**conf):
    settings = load_settings(TASK_FILE, conf)
    return settings.method.thresholds(settings.task.classes)


def test_a_number_is_of_a_pretrained_start():
    assert thresholds(foreground_threshold="0.2") == (0.2,) * 5
    assert thresholds(foreground_threshold="0.2", pretrain="none") == (None,) * 5


def test_by_class_they_count_with_fresh_weights_too():
    own = "{epidural: 0.3, subdural: 0.6}"
    assert thresholds(foreground_threshold=own, pretrain="none") == (0.3, None, None, None, 0.6)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("{subdurall: 0.3}", "foreground_threshold names subdurall; classes are epidural"),
        ("{subdural: 1.2}", "'foreground_threshold' = .*'subdural': 1.2.*must be a probability"),
        ("high", "'foreground_threshold' = 'high'.*must be a probability"),
    ],
)
def test_a_class_or_a_probability_that_there_is_not_is_refused(value, message):
    with pytest.raises(InputError, match=message):
        load_settings(TASK_FILE, {"foreground_threshold": value})


def test_a_round_s_choice_goes_before_what_was_configured():
    settings = load_settings(TASK_FILE, {"foreground_threshold": "{subdural: 0.3}"})
    chosen = {"epidural": 0.4, "subdural": 0.5}
    under = settings.under(settings.round_config(), {"foreground_threshold": chosen, "min_area": 25.0})
    assert (under.method.foreground_threshold, under.method.refinement.min_area) == (chosen, 25.0)
    assert settings.under(under.round_config(), None) == under
    assert settings.under(settings.round_config()) == settings


def test_thresholds_by_class_take_the_place_of_others_whole():
    settings = load_settings(TASK_FILE, {"foreground_threshold": "{epidural: 0.3, subdural: 0.6}"})
    assert settings.changed(foreground_threshold={"epidural": 0.2}).method.foreground_threshold == {"epidural": 0.2}
    assert settings.changed(foreground_threshold={}).method.thresholds(settings.task.classes) == (None,) * 5
