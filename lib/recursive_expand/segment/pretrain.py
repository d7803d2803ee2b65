"""A start for f: trained on synthetic heads that are made while it trains, before it sees any scan."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import platformdirs
import torch
from filelock import FileLock
from torch import Tensor, nn

from recursive_expand.archives.atomic import write_atomic
from recursive_expand.errors import InputError, RecursiveExpandError
from recursive_expand.phantom import CLASSES
from recursive_expand.phantom.varied_stream import Slice, VariedSlices
from recursive_expand.segment.batch_statistics import follow_statistics, gather_statistics
from recursive_expand.segment.checkpoint import TrainingState, load_checkpoint, save_checkpoint
from recursive_expand.segment.context import repeated
from recursive_expand.segment.losses import IGNORE, segmentation_loss
from recursive_expand.segment.muon import Muon
from recursive_expand.segment.network import build_network, input_channels, size_multiple
from recursive_expand.segment.train import Precision, deterministic
from recursive_expand.segment.weights import load_weights, save_weights
from recursive_expand.segment.windows import apply_windows
from recursive_expand.settings import Settings

SLICES_ON_CPU, SLICES_ON_GPU = 4000, 24000
"""Slices where `Method.pretrain_slices` is 0: about four minutes on two CPU cores."""
BATCH_ON_GPU = 8
"""Least number of slices in a step there: an H200 takes as long for four."""
SPACING_MM = 1.2
"""In-plane spacing where `Method.working_spacing` leaves it open."""
SPACINGS_MM = (0.8, 4.0)
COARSE, COARSE_SHARE = 1.4, 0.5
"""The first share of the slices has pixels so many times as wide: shapes are learned in half the time."""
WARM_UP = 0.05
"""Share of the steps in which the learning rate rises; then it falls along half a cosine."""
SECONDS_BETWEEN_CHECKPOINTS = 20.0
SETTLING = 0.1
"""The last share of the chunks, over which batch statistics are gathered."""
_DECIDING = (
    "pretrain",
    "muon",
    "network",
    "prelu",
    "unet2015",
    "losses",
    "batch_statistics",
    "windows",
    "context",
    "train",
)
"""Modules beside the generator's whose code decides the weights."""
_LIBRARIES = ("torch", "monai", "numpy", "scipy")

OnStep = Callable[[int, int, float], None]
"""Called with (slices seen, slices in all, the mean loss of the last chunk)."""


def pretrained(
    settings: Settings, device: torch.device, *, on_step: OnStep | None = None, cache: Path | None = None
) -> nn.Module:
    """f as it starts from synthetic heads, from the cache where it is there.

    Args:
        settings: `Method.pretrain*`, classes, windows, network, working spacing, batch size, learning rate, threads.
        device: where to train.
        on_step: called after every chunk of 16 heads.
        cache: folder of weights; None: the user's cache folder.

    Returns:
        f with its weights, in eval mode, on the CPU.

    Raises:
        InputError: the task has classes that no synthetic head shows.
    """
    network = build_network(settings)
    folder = cache or cache_folder()
    path = folder / f"{pretraining_key(settings, device)}.safetensors"
    if not _load(network, path):
        folder.mkdir(parents=True, exist_ok=True)
        checkpoint = path.with_suffix(".checkpoint")
        with FileLock(path.with_suffix(".lock")):  # two studies may begin at once
            if not _load(network, path):
                network = pretrain(settings, device, on_step=on_step, checkpoint=checkpoint)
                sha256 = save_weights(network, path)
                write_atomic(path.with_suffix(".sha256"), sha256.encode())
        checkpoint.unlink(missing_ok=True)
    return network.eval()


def cache_folder() -> Path:
    """Where pretrained weights are kept, for all studies of this user."""
    return Path(platformdirs.user_cache_dir("recursive-expand")) / "pretrained"


def _load(network: nn.Module, path: Path) -> bool:
    """Read cached weights; whatever is wrong with them, they are made again."""
    try:
        load_weights(network, path, path.with_suffix(".sha256").read_text(encoding="ascii").strip())
    except (OSError, InputError):
        return False
    return True


def pretraining_key(settings: Settings, device: torch.device) -> str:
    """SHA-256 of all that decides the weights: settings, code of generator, network, losses and optimizer, libraries,
    kind of device, threads."""
    method = settings.method
    digest = hashlib.sha256()
    sources = Path(__file__).parents[1] / "phantom"
    here = [Path(__file__).with_name(f"{name}.py") for name in _DECIDING]
    for path in (*here, *sorted(sources.glob("*.py"))):
        digest.update(path.read_bytes())
    body = {
        "code": digest.hexdigest(),
        "libraries": {name: importlib.metadata.version(name) for name in _LIBRARIES},
        "device": device.type,
        "threads": _threads_and_processes(settings, device)[0],
        "task": settings.task.model_dump(mode="json", include={"classes", "windows"}),
        "network": method.network.model_dump(mode="json"),
        "context": method.context,
        "run": [method.pretrain_seed, _heads(settings, device), method.pretrain_epochs, method.working_spacing],
        "training": [_batch_size(settings, device), method.training.learning_rate],
    }
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def pretrain(
    settings: Settings, device: torch.device, *, on_step: OnStep | None = None, checkpoint: Path | None = None
) -> nn.Module:
    """Train f on synthetic heads; arguments and result as `pretrained`'s.

    On the CPU the same settings and threads give the same bits, interrupted or not.

    Args:
        settings, device, on_step: as `pretrained` takes them.
        checkpoint: file to resume from and to write to, in a folder that exists; left in place.
    """
    training, (threads, processes) = settings.method.training, _threads_and_processes(settings, device)
    table, key = class_table(settings), pretraining_key(settings, device)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    torch.manual_seed(settings.method.pretrain_seed)
    network = build_network(settings).to(device).to(memory_format=torch.channels_last)
    outer = input_channels(settings), len(settings.task.classes) + 1
    optimizer = Muon(network, training.learning_rate, outer=outer)
    state = (load_checkpoint(checkpoint, key, network, optimizer) if checkpoint else None) or TrainingState()
    precision = Precision(device, state)
    losses = list(state.losses)  # one a chunk
    parts = _parts(settings, device)
    sizes = [part.chunk_size(number) for part in parts for number in range(part.chunks)]
    network.train()
    settling = int(len(sizes) * (1 - SETTLING))  # from this chunk on
    written = time.monotonic()
    try:
        with deterministic(device):
            for chunk in _chunks(parts, processes, len(losses)):
                seen, total, loss_sum = sum(sizes[: len(losses)]), sum(sizes), torch.zeros((), device=device)
                if len(losses) >= settling:
                    gather_statistics(network, anew=len(losses) == settling)
                for hu, mask in _batches(chunk, settings, _batch_size(settings, device)):
                    optimizer.set_share_of_rate(share_of_rate(seen / total))
                    hu = repeated(hu.to(device), settings.method.context)  # a synthetic slice stands alone
                    images = apply_windows(hu, settings.task.windows)
                    with precision.autocast():
                        logits = network(images.contiguous(memory_format=torch.channels_last))
                    target = table[mask.long()].to(device)
                    loss = segmentation_loss(logits.float(), target, torch.ones(len(hu), dtype=torch.bool))
                    optimizer.zero_grad(set_to_none=True)
                    precision.step(loss, optimizer)
                    seen += len(hu)
                    loss_sum += loss.detach() * len(hu)
                losses.append(float(loss_sum) / len(chunk))
                if not math.isfinite(losses[-1]):
                    rate = training.learning_rate
                    raise RecursiveExpandError(
                        f"the loss became {losses[-1]}; lower --conf learning_rate (now {rate:g})"
                    )
                if checkpoint and time.monotonic() - written >= SECONDS_BETWEEN_CHECKPOINTS:
                    reached = TrainingState(tuple(losses), precision.state_dict())
                    save_checkpoint(checkpoint, key, reached, network, optimizer)
                    written = time.monotonic()
                if on_step is not None:
                    on_step(seen, total, losses[-1])
    finally:
        torch.set_num_threads(before)
        follow_statistics(network)
    return network.cpu().eval()


def share_of_rate(done: float) -> float:
    """By what the learning rate is multiplied when a share of the slices is done."""
    if done < WARM_UP:
        return (done + 0.001) / (WARM_UP + 0.001)
    return max(0.005, (1 + math.cos(math.pi * (done - WARM_UP) / (1 - WARM_UP))) / 2)


def class_table(settings: Settings) -> torch.Tensor:
    """(6,) uint8: the task's class value by a synthetic mask's; IGNORE for bleeds that the task does not name.

    Raises:
        InputError: the task has classes that no synthetic head shows.
    """
    unknown = [name for name in settings.task.classes if name not in CLASSES]
    if unknown:
        raise InputError(
            "pretrain: synthetic", f"synthetic heads show no {', '.join(unknown)}; choose --conf pretrain none"
        )
    values = settings.task.label_names
    return torch.tensor([0, *(values.get(name, IGNORE) for name in CLASSES)], dtype=torch.uint8)


def synthetic_spacing(settings: Settings) -> float:
    """Pixel size of synthetic slices: the spacing at which f works, mm."""
    low, high = SPACINGS_MM
    return min(high, max(low, settings.method.working_spacing or SPACING_MM))


def _parts(settings: Settings, device: torch.device) -> tuple[VariedSlices, ...]:
    """The slices in the order of training: coarse ones first."""
    method, heads, pixel = settings.method, _heads(settings, device), synthetic_spacing(settings)
    coarse = int(heads * COARSE_SHARE)
    parts = (
        VariedSlices(method.pretrain_seed, coarse, method.pretrain_epochs, pixel * COARSE),
        VariedSlices(method.pretrain_seed, heads - coarse, method.pretrain_epochs, pixel, first=coarse),
    )
    return tuple(part for part in parts if part.heads)


def _chunks(parts: tuple[VariedSlices, ...], processes: int, done: int) -> Iterator[list[Slice]]:
    """The chunks of all parts in order, from the first that is not done."""
    for part in parts:
        if done < part.chunks:
            yield from part.stream(processes, first_chunk=done)
        done = max(0, done - part.chunks)


def _batches(chunk: list[Slice], settings: Settings, size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of nearly equal size, (B, H, W) int16 HU and uint8 masks, padded to what f can take."""
    multiple = size_multiple(settings)
    padding = [(0, max(2 * multiple, -(-length // multiple) * multiple) - length) for length in chunk[0][0].shape]
    for part in np.array_split(np.arange(len(chunk)), -(-len(chunk) // size)):
        hu = np.stack([np.pad(chunk[i][0], padding, mode="edge") for i in part])
        mask = np.stack([np.pad(chunk[i][1], padding) for i in part])
        yield torch.from_numpy(hu), torch.from_numpy(mask)


def _batch_size(settings: Settings, device: torch.device) -> int:
    size = settings.method.training.batch_size
    return max(size, BATCH_ON_GPU) if device.type == "cuda" else size


def _heads(settings: Settings, device: torch.device) -> int:
    return settings.method.pretrain_slices or (SLICES_ON_GPU if device.type == "cuda" else SLICES_ON_CPU)


def _threads_and_processes(settings: Settings, device: torch.device) -> tuple[int, int]:
    """Threads that train and processes that paint: half of the cores each, for both take about as long; beside a GPU
    all but one paint. A team of threads that shares its cores with anybody spends most of its time waiting for its
    last member."""
    cores = settings.machine.cores
    if device.type == "cuda":
        return 1, max(1, cores - 1)
    threads = max(1, cores // 2)
    return threads, max(1, cores - threads)
