"""Tests of weights on disk."""

import copy
import hashlib

import pytest
import torch

from recursive_expand.errors import InputError
from recursive_expand.segment.network import build_network
from recursive_expand.segment.weights import keep_share, load_weights, mean_weights, save_weights


def test_weights_are_named_by_their_hash_and_come_back(settings, network, tmp_path):
    sha256 = save_weights(network, tmp_path / "models")
    path = tmp_path / "models" / f"{sha256}.safetensors"
    assert hashlib.sha256(path.read_bytes()).hexdigest() == sha256
    other = build_network(settings)
    load_weights(other, path, sha256)
    for name, value in network.state_dict().items():
        assert torch.equal(other.state_dict()[name], value)
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_equal_weights_give_equal_bytes(network, tmp_path):
    laid_out_otherwise = copy.deepcopy(network).to(memory_format=torch.channels_last)
    first = save_weights(network, tmp_path / "a.safetensors")
    assert save_weights(laid_out_otherwise, tmp_path / "b.safetensors") == first
    with torch.no_grad():
        next(network.parameters()).add_(1e-6)
    assert save_weights(network, tmp_path / "c.safetensors") != first


def test_other_bytes_are_refused_with_both_hashes(network, tmp_path):
    path = tmp_path / "w.safetensors"
    sha256 = save_weights(network, path)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    found = hashlib.sha256(content).hexdigest()
    with pytest.raises(InputError, match=f"w.safetensors.*{found}.*{sha256}"):
        load_weights(network, path, sha256)


def test_another_network_is_refused(make_settings, network, tmp_path):
    sha256 = save_weights(network, tmp_path / "w.safetensors")
    other = build_network(make_settings(network={"channels": (4, 8)}))
    with pytest.raises(InputError, match="do not fit this network"):
        load_weights(other, tmp_path / "w.safetensors", sha256)


def test_a_missing_file_is_named(network, tmp_path):
    with pytest.raises(InputError, match=r"gone.safetensors: .*No such file"):
        load_weights(network, tmp_path / "gone.safetensors", "0" * 64)


def test_the_mean_of_networks_is_that_of_their_weights(network):
    first = {name: value.clone() for name, value in network.state_dict().items()}
    second = {name: value + 2 for name, value in first.items()}
    mean = mean_weights([first, second])
    for name, value in mean.items():
        expected = first[name] + (1 if value.is_floating_point() else 2)
        assert value.dtype == first[name].dtype and torch.allclose(value, expected)
    network.load_state_dict(second)
    keep_share(network, first, 0.75)
    for name, value in network.state_dict().items():
        assert torch.allclose(value, first[name] + (0.5 if value.is_floating_point() else 2))
    network.load_state_dict(mean)
    assert all(torch.equal(value, first[name]) for name, value in mean_weights([first]).items())
