"""Weights on disk: safetensors files that are named by the SHA-256 of their bytes and held against it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from recursive_expand.archives.atomic import write_atomic
from recursive_expand.errors import InputError

SUFFIX = ".safetensors"


def save_weights(network: nn.Module, path: Path) -> str:
    """Write a network's weights; equal weights give equal bytes.

    Args:
        network: any module; buffers (batch normalisation's statistics) are saved too.
        path: a file ending in .safetensors, or a folder, in which the file is named `<sha256>.safetensors`.

    Returns:
        SHA-256 of the file's bytes, hex.
    """
    content = weights_bytes(network)
    if path.suffix != SUFFIX:
        return _write_named(content, path)
    write_atomic(path, content)
    return hashlib.sha256(content).hexdigest()


def take_up_weights(file: Path, folder: Path) -> str:
    """Copy a file of weights into a folder, where it is named by the SHA-256 of its bytes, which is returned."""
    return _write_named(file.read_bytes(), folder)


def load_weights(network: nn.Module, path: Path, sha256: str) -> None:
    """Read weights into a network, after checking that they are the ones meant.

    Args:
        network: of the configuration that the weights were saved from; changed in place.
        path: the file.
        sha256: hex digest that the file's bytes must have.

    Raises:
        InputError: where the file is missing, has another digest, or does not fit the network.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(path.name, f"weights are not readable ({error.strerror}); restore the file") from error
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise InputError(path.name, f"weights have SHA-256 {found}, not {sha256}; restore the file")
    try:
        network.load_state_dict(safetensors.torch.load(content))
    except (SafetensorError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(path.name, f"weights do not fit this network ({reason}); check task.yaml's network") from error


def mean_weights(states: Sequence[Mapping[str, Tensor]], shares: Sequence[float] | None = None) -> dict[str, Tensor]:
    """The mean of networks of one configuration.

    Args:
        states: their `state_dict`s, at least one.
        shares: of each in the mean, 1 together; None: all alike.

    Returns:
        A `state_dict`: means of what is floating-point; the rest (batch counters) from the last.
    """
    weights = torch.tensor(shares or [1 / len(states)] * len(states), dtype=torch.float64)

    def mean(values: Sequence[Tensor]) -> Tensor:
        if not values[-1].is_floating_point():
            return values[-1]
        together = torch.tensordot(weights, torch.stack([value.cpu().double() for value in values]), 1)
        return together.to(values[-1].dtype)

    return {name: mean([state[name] for state in states]) for name in states[-1]}


def keep_share(network: nn.Module, before: Mapping[str, Tensor], share: float) -> None:
    """Put the mean of earlier and present weights into a network, on whatever device it is.

    Args:
        network: changed in place.
        before: an earlier `state_dict` of it.
        share: of the earlier weights, 0 to 1.
    """
    network.load_state_dict(mean_weights([before, network.state_dict()], (share, 1 - share)))


def _write_named(content: bytes, folder: Path) -> str:
    sha256 = hashlib.sha256(content).hexdigest()
    folder.mkdir(parents=True, exist_ok=True)
    write_atomic(folder / f"{sha256}{SUFFIX}", content)
    return sha256


def weights_bytes(network: nn.Module) -> bytes:
    """A network's weights as the bytes of a safetensors file."""
    return safetensors.torch.save({name: value.cpu().contiguous() for name, value in network.state_dict().items()})
