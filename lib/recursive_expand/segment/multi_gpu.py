"""Training on all GPUs of a machine: one process each, as MONAI Label's own train tasks do."""

from __future__ import annotations

import copy
import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from queue import Empty
from typing import Any

import torch
from torch import distributed as dist
from torch import multiprocessing, nn

from recursive_expand.segment.examples import Example
from recursive_expand.segment.train import OnEpoch, train
from recursive_expand.segment.weights import load_weights, save_weights
from recursive_expand.settings import Settings


@dataclass(frozen=True)
class _Job:
    """What every process is given: picklable."""

    settings: Settings
    network: nn.Module
    examples: Sequence[Example]
    arguments: dict[str, Any]
    folder: Path
    world_size: int
    cuda: bool


def spawn_training(
    settings: Settings,
    network: nn.Module,
    examples: Sequence[Example],
    *,
    epochs: int,
    learning_rate: float,
    round_index: int,
    checkpoint: Path | None = None,
    on_epoch: OnEpoch | None = None,
    device: str | torch.device | None = None,
    world_size: int | None = None,
) -> list[float]:
    """Train on every GPU; in this process where there are fewer than two.

    Args:
        settings, network, examples, epochs, learning_rate, round_index, checkpoint, on_epoch: as `train` takes them.
            Examples on memory-mapped files are handed over as places in these files.
        device: where to train when in one process; None: the GPU if there is one. A named device ("cpu", "cuda:1")
            means one process, unless `world_size` says otherwise.
        world_size: number of processes; None: one for each GPU.

    Returns:
        The mean loss of every epoch. `network` holds the trained weights, on the CPU where several processes trained.
    """
    cuda = torch.cuda.is_available() and str(device or "cuda").startswith("cuda")
    if world_size is None:
        world_size = torch.cuda.device_count() if cuda and (device is None or str(device) == "cuda") else 1
    arguments: dict[str, Any] = {
        "epochs": epochs,
        "learning_rate": learning_rate,
        "round_index": round_index,
        "checkpoint": checkpoint,
    }
    if world_size < 2:
        return train(
            settings, network, examples, **arguments, device=device or ("cuda" if cuda else "cpu"), on_epoch=on_epoch
        )
    context = multiprocessing.get_context("spawn")
    finished_epochs = context.Queue()
    with tempfile.TemporaryDirectory(prefix="recursive_expand_") as folder:
        job = _Job(settings, network.cpu(), examples, arguments, Path(folder), world_size, cuda)
        processes = multiprocessing.spawn(_worker, args=(job, finished_epochs), nprocs=world_size, join=False)
        running = True
        while running:
            running = not processes.join(timeout=0.2)  # raises what a process raised
            _report(finished_epochs, on_epoch)
        result = json.loads((job.folder / "result.json").read_text())
        load_weights(network, job.folder / "trained.safetensors", result["sha256"])
    network.eval()
    return list(result["losses"])


def _report(finished_epochs: Any, on_epoch: OnEpoch | None) -> None:
    """Hand on what rank 0 has told so far."""
    while True:
        try:
            told = finished_epochs.get_nowait()
        except Empty:
            return
        if on_epoch:
            on_epoch(*told)


def _worker(rank: int, job: _Job, finished_epochs: Any) -> None:
    dist.init_process_group(
        "nccl" if job.cuda else "gloo",
        init_method=(job.folder / "rendezvous").as_uri(),
        world_size=job.world_size,
        rank=rank,
    )
    try:
        if job.cuda:
            torch.cuda.set_device(rank)
        network = copy.deepcopy(job.network)  # torch hands weights over in memory that all processes share
        losses = train(
            job.settings,
            network,
            job.examples,
            **job.arguments,
            device=f"cuda:{rank}" if job.cuda else "cpu",
            on_epoch=lambda *told: finished_epochs.put(told),
        )
        if rank == 0:
            sha256 = save_weights(network, job.folder / "trained.safetensors")
            (job.folder / "result.json").write_text(json.dumps({"losses": losses, "sha256": sha256}))
    finally:
        dist.destroy_process_group()
