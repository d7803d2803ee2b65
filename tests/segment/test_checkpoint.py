"""Tests of a training's identity."""

import numpy as np
import pytest
import torch

from recursive_expand.segment.checkpoint import fingerprint
from recursive_expand.segment.examples import Example

BY_0_1_0 = "4094f12b083d14f366e7f45393fd221a412727a3cd74f2422cd2602ad6f4571f"
"""What version 0.1.0 gave for the training below."""


def _identity(settings):
    network = torch.nn.Linear(2, 1, bias=False)
    torch.nn.init.zeros_(network.weight)
    examples = [Example("a:0", np.zeros((4, 5), np.int16), np.eye(4, 5, dtype=np.uint8), with_dice=True)]
    return fingerprint(settings, network, examples, epochs=3, learning_rate=1e-2, round_index=1, world_size=1)


def test_a_training_that_0_1_0_began_is_known(settings):
    assert _identity(settings) == BY_0_1_0


@pytest.mark.parametrize(
    "change",
    [
        {"epochs": 7},
        {"crop_to_region": False},
        {"region": "body"},
        {"seed": 1},
        {"working_spacing": 1.0},
        {"kind": "unet2015"},
        {"accepted_loss": "lopsided"},
        {"windows": [{"level": 40, "width": 80}, {"level": 80, "width": 200}]},
    ],
)
def test_what_decides_the_weights_decides_the_identity(make_settings, change):
    assert _identity(make_settings(**change)) != BY_0_1_0


@pytest.mark.parametrize(
    "change",
    [
        {"title": "Other"},
        {"order": "risk"},
        {"threads": 1},
        {"mode": "grow"},
        {"review": "once"},
        {"background_trust": 0.5},
        {"base_share": 0.5},
    ],
)
def test_what_does_not_decide_the_weights_does_not_decide_the_identity(make_settings, change):
    assert _identity(make_settings(**change)) == BY_0_1_0
