"""Tests of training in several processes, on the CPU."""

import copy

import pytest

from recursive_expand.segment.multi_gpu import spawn_training
from recursive_expand.segment.train import train
from recursive_expand.segment.weights import weights_bytes

RUN = {"epochs": 2, "learning_rate": 1e-2, "round_index": 0}


def test_one_process_is_this_one(settings, network, examples):
    twin = copy.deepcopy(network)
    assert spawn_training(settings, network, examples, device="cpu", **RUN) == train(
        settings, twin, examples, device="cpu", **RUN
    )
    assert weights_bytes(network) == weights_bytes(twin)


def test_two_processes_train_in_step(make_settings, network, examples, tmp_path):
    settings = make_settings(threads=1)
    before, told = weights_bytes(network), []
    checkpoint = tmp_path / "round.safetensors"
    losses = spawn_training(
        settings,
        network,
        examples,
        device="cpu",
        world_size=2,
        checkpoint=checkpoint,
        on_epoch=lambda *epoch: told.append(epoch),
        **RUN,
    )
    assert losses[1] < losses[0]
    assert told == [(1, 2, pytest.approx(losses[0])), (2, 2, pytest.approx(losses[1]))]
    assert weights_bytes(network) != before
    assert checkpoint.exists()
