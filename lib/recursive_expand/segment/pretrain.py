"""A start for f: trained on synthetic heads that are made while it trains, before it sees any scan."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import math
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import platformdirs
import torch
from torch import nn

from recursive_expand.errors import InputError, RecursiveExpandError
from recursive_expand.phantom import CLASSES
from recursive_expand.phantom.varied_stream import Slice, VariedSlices
from recursive_expand.segment.losses import IGNORE, segmentation_loss
from recursive_expand.segment.network import build_network, size_multiple
from recursive_expand.segment.threads import available_cores
from recursive_expand.segment.train import Precision, deterministic
from recursive_expand.segment.weights import load_weights, save_weights
from recursive_expand.segment.windows import apply_windows
from recursive_expand.settings import Settings

SLICES_ON_CPU, SLICES_ON_GPU = 2000, 20000
"""Slices where `Method.pretrain_slices` is 0: about four minutes on two CPU cores."""
SPACING_MM = 1.2
"""In-plane spacing where `Method.working_spacing` leaves it open."""
SPACINGS_MM = (0.8, 4.0)
COARSE, COARSE_SHARE = 1.4, 0.5
"""The first share of the slices has pixels so many times as wide: shapes are learned in half the time."""
WARM_UP = 0.05
"""Share of the steps in which the learning rate rises; then it falls along half a cosine."""
_VERSION = 1
_LIBRARIES = ("torch", "monai", "numpy", "scipy")

OnStep = Callable[[int, int, float], None]
"""Called with (slices seen, slices in all, the last steps' mean loss)."""


def pretrained(
    settings: Settings, device: torch.device, *, on_step: OnStep | None = None, cache: Path | None = None
) -> nn.Module:
    """f as it starts from synthetic heads, from the cache where it is there.

    Args:
        settings: `Method.pretrain*`, classes, windows, network, working spacing, batch size, learning rate, threads.
        device: where to train.
        on_step: called about once in a hundred slices.
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
        network = pretrain(settings, device, on_step=on_step)
        folder.mkdir(parents=True, exist_ok=True)
        sha256 = save_weights(network, path)
        path.with_suffix(".sha256").write_text(sha256, encoding="ascii")
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
    """SHA-256 of all that decides the weights: settings, generator, libraries, kind of device, threads."""
    method = settings.method
    digest = hashlib.sha256()
    sources = Path(__file__).parents[1] / "phantom"
    for path in (Path(__file__), *sorted(sources.glob("*.py"))):
        digest.update(path.read_bytes())
    body = {
        "version": _VERSION,
        "code": digest.hexdigest(),
        "libraries": {name: importlib.metadata.version(name) for name in _LIBRARIES},
        "device": device.type,
        "threads": _threads(settings),
        "task": settings.task.model_dump(mode="json", include={"classes", "windows"}),
        "network": method.network.model_dump(mode="json"),
        "run": [method.pretrain_seed, _heads(settings, device), method.pretrain_epochs, method.working_spacing],
        "training": [method.training.batch_size, method.training.learning_rate],
    }
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def pretrain(settings: Settings, device: torch.device, *, on_step: OnStep | None = None) -> nn.Module:
    """Train f on synthetic heads; arguments and result as `pretrained`'s.

    On the CPU the same settings and threads give the same bits.
    """
    method, training = settings.method, settings.method.training
    table = class_table(settings)
    before = torch.get_num_threads()
    torch.set_num_threads(_threads(settings))
    torch.manual_seed(method.pretrain_seed)
    network = build_network(settings).to(device).to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.Adam(network.parameters(), lr=training.learning_rate)
    precision = Precision(device)
    parts = _parts(settings, device)
    total, seen, losses = sum(map(len, parts)), 0, []
    try:
        with deterministic(device):
            for batch in (batch for part in parts for batch in _batches(part, settings)):
                for group in optimizer.param_groups:
                    group["lr"] = training.learning_rate * share_of_rate(seen / total)
                hu, mask = (torch.from_numpy(np.stack(arrays)) for arrays in zip(*batch, strict=True))
                images = apply_windows(hu.to(device), settings.task.windows)
                with precision.autocast():
                    logits = network(images.contiguous(memory_format=torch.channels_last))
                target = table[mask.long()].to(device)
                loss = segmentation_loss(logits.float(), target, torch.ones(len(batch), dtype=torch.bool))
                optimizer.zero_grad(set_to_none=True)
                precision.step(loss, optimizer)
                seen += len(batch)
                losses.append(loss.detach())
                if len(losses) == 25 or seen == total:
                    mean = float(torch.stack(losses).mean())
                    losses.clear()
                    if not math.isfinite(mean):
                        rate = training.learning_rate
                        raise RecursiveExpandError(f"the loss became {mean}; lower --conf learning_rate (now {rate:g})")
                    if on_step is not None:
                        on_step(seen, total, mean)
    finally:
        torch.set_num_threads(before)
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


def _batches(slices: VariedSlices, settings: Settings) -> Iterator[list[Slice]]:
    """Batches of slices, padded to what f can take."""
    stream = slices.stream(_threads(settings))
    multiple, size = size_multiple(settings), settings.method.training.batch_size
    padding = [(0, max(2 * multiple, -(-length // multiple) * multiple) - length) for length in slices.shape]
    while batch := list(islice(stream, size)):
        yield [(np.pad(hu, padding, mode="edge"), np.pad(mask, padding)) for hu, mask in batch]


def _heads(settings: Settings, device: torch.device) -> int:
    return settings.method.pretrain_slices or (SLICES_ON_GPU if device.type == "cuda" else SLICES_ON_CPU)


def _threads(settings: Settings) -> int:
    return settings.machine.threads or available_cores()
