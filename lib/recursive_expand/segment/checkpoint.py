"""Checkpoints: a training that was stopped goes on where it was, to the same bits."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from recursive_expand.archives.atomic import write_atomic
from recursive_expand.segment.examples import Example, examples_sha256
from recursive_expand.segment.weights import weights_bytes
from recursive_expand.settings import Settings

_NETWORK, _ADAM = "network.", "adam."
_DECIDING = {"network", "training", "seed", "working_spacing", "pretrain", "context"}


@dataclass(frozen=True)
class TrainingState:
    """How far a training is, besides the weights.

    Attributes:
        losses: mean loss of every finished epoch.
        scaler: state of the gradient scaler; empty without one.
    """

    losses: tuple[float, ...] = ()
    scaler: dict[str, Any] | None = None


def fingerprint(
    settings: Settings,
    network: nn.Module,
    examples: Sequence[Example],
    *,
    epochs: int,
    learning_rate: float,
    round_index: int,
    world_size: int,
) -> str:
    """Identity of a training: everything that decides its result.

    Args:
        settings: classes, windows, region, seed, network, working spacing and training settings count.
        network: its weights as training begins.
        examples: the training set.
        epochs, learning_rate, round_index, world_size: of this training.

    Returns:
        SHA-256, hex.
    """
    method = settings.method.model_dump(mode="json", include=_DECIDING)
    # Names and content of version 0.1.0, so that a training that it began goes on: its one region was the head.
    for name in ("dice_loss", "clean_slices", "painted_share", "pasted_share", "slice_label_share"):
        del method["training"][name]  # the examples tell
    del method["training"]["base_share"]  # counts once it is over
    if method["training"]["slice_label_weight"] == 0:
        del method["training"]["slice_label_weight"]
    if method["training"]["accepted_loss"] != "lopsided":
        del method["training"]["background_trust"]
    if method["network"]["kind"] == "residual":
        del method["network"]["kind"]
    if method["context"] == 0:
        del method["context"]
    if method["training"]["replay_share"] == 0:
        del method["training"]["replay_share"]
    if method["pretrain"] == "none":
        del method["pretrain"], method["training"]["tune_epochs"], method["training"]["tune_learning_rate"]
    method["training"]["crop_to_head"] = method["training"].pop("crop_to_region")
    task = settings.task.model_dump(mode="json", include={"classes", "windows", "region"})
    if task["region"] == "head":
        del task["region"]
    body = {
        "settings": {**task, **method},
        "weights": hashlib.sha256(weights_bytes(network)).hexdigest(),
        "examples": examples_sha256(examples),
        "run": [epochs, learning_rate, round_index, world_size],
    }
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def save_checkpoint(
    path: Path, identity: str, state: TrainingState, network: nn.Module, optimizer: torch.optim.Optimizer
) -> None:
    """Write weights, the optimizer's moments and the state as one safetensors file, atomically: no pickle.

    Args:
        path: the file; its folder must exist.
        identity: the training's `fingerprint`.
        state: how far it is.
        network: what is trained, not wrapped.
        optimizer: its own.
    """
    tensors = {_NETWORK + name: value for name, value in network.state_dict().items()}
    for number, moments in optimizer.state_dict()["state"].items():
        tensors |= {f"{_ADAM}{number}.{name}": value for name, value in moments.items()}
    content = safetensors.torch.save(
        {name: value.detach().cpu().contiguous() for name, value in tensors.items()},
        metadata={"training": json.dumps({"fingerprint": identity, **asdict(state)}, sort_keys=True)},
    )
    # No fsync: after a power cut a torn file is recognised and training begins anew, verdicts are not at stake.
    write_atomic(path, content, fsync=False)


def load_checkpoint(
    path: Path, identity: str, network: nn.Module, optimizer: torch.optim.Optimizer
) -> TrainingState | None:
    """Restore a training.

    Args:
        path: the file, which may be missing.
        identity: the fingerprint that it must have.
        network: changed in place.
        optimizer: changed in place.

    Returns:
        The state; None, with nothing changed, where the file is missing, broken or of another training.
    """
    try:
        with safe_open(path, framework="pt") as file:
            stored = json.loads((file.metadata() or {}).get("training", "{}"))
            if stored.get("fingerprint") != identity:
                return None
            tensors: dict[str, Tensor] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError):
        return None
    network.load_state_dict({n.removeprefix(_NETWORK): v for n, v in tensors.items() if n.startswith(_NETWORK)})
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    moments: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        if name.startswith(_ADAM):
            number, kind = name.removeprefix(_ADAM).split(".")
            weight = weights[int(number)]
            if value.shape == weight.shape:  # a fused optimizer goes through both as they lie in memory
                value = torch.empty_like(weight, dtype=value.dtype).copy_(value)
            moments.setdefault(int(number), {})[kind] = value
    optimizer.load_state_dict({**optimizer.state_dict(), "state": moments})
    return TrainingState(tuple(stored["losses"]), stored["scaler"])
