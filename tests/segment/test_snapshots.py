"""Snapshots: after which epochs, and where they lie until the model is published."""

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recursive_expand.segment.snapshots import snapshot_epochs, snapshot_file, snapshot_files
from recursive_expand.segment.train import train
from recursive_expand.segment.weights import load_weights, take_up_weights, weights_bytes


@pytest.mark.parametrize(
    ("epochs", "snapshots", "expected"),
    [(20, 3, (10, 13, 16)), (120, 3, (60, 80, 100)), (4, 3, (2, 3)), (1, 3, ()), (20, 0, ())],
)
def test_they_are_spread_over_the_second_half(epochs, snapshots, expected):
    assert snapshot_epochs(epochs, snapshots) == expected


@given(epochs=st.integers(1, 300), snapshots=st.integers(0, 8))
def test_the_last_epoch_is_the_model_s_own(epochs, snapshots):
    found = snapshot_epochs(epochs, snapshots)
    assert len(found) == snapshots or epochs < 2 * snapshots + 2
    assert all(epochs // 2 <= epoch < epochs for epoch in found) and sorted(set(found)) == list(found)


def test_training_leaves_them_beside_its_checkpoint_and_learns_the_same(make_settings, network, examples, tmp_path):
    checkpoint, run, examples = tmp_path / "r.safetensors", {"learning_rate": 1e-2, "round_index": 0}, examples[:4]
    after_two, plain = copy.deepcopy(network), copy.deepcopy(network)
    train(make_settings(threads=1), plain, examples, epochs=4, **run)
    train(make_settings(threads=1), after_two, examples, epochs=2, **run)
    train(make_settings(snapshots=1, threads=1), network, examples, epochs=4, checkpoint=checkpoint, **run)
    assert weights_bytes(network) == weights_bytes(plain)
    (file,) = snapshot_files(checkpoint)
    assert file == snapshot_file(checkpoint, 2)
    sha256 = take_up_weights(file, tmp_path / "models")
    load_weights(network, tmp_path / "models" / f"{sha256}.safetensors", sha256)
    assert weights_bytes(network) == weights_bytes(after_two)
