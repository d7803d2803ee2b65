"""Training of f: Adam over seeded epochs, resumable, on one device or on one of several in step."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from pathlib import Path

import torch
from torch import distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from recursive_expand.errors import RecursiveExpandError
from recursive_expand.segment.batch_statistics import follow_statistics, gather_statistics
from recursive_expand.segment.batches import Batch, WorkingGrid, epoch_order, make_batch, training_box
from recursive_expand.segment.box import Box
from recursive_expand.segment.checkpoint import TrainingState, fingerprint, load_checkpoint, save_checkpoint
from recursive_expand.segment.epochs import seen_in_epoch
from recursive_expand.segment.examples import Example
from recursive_expand.segment.losses import IGNORE, segmentation_loss
from recursive_expand.segment.slice_label_loss import LABELLED, slice_label_loss
from recursive_expand.segment.snapshots import snapshot_epochs, snapshot_file
from recursive_expand.segment.threads import one_thread_in_this_thread
from recursive_expand.segment.weights import save_weights
from recursive_expand.segment.windows import apply_windows
from recursive_expand.settings import Settings

SECONDS_BETWEEN_CHECKPOINTS = 3.0
"""A checkpoint is written after an epoch unless the last one is younger than this; after the last epoch, always."""
SETTLING = 0.25
"""The last share of the epochs of an f with a pretrained start, over which batch statistics are gathered."""
_BATCHES_AHEAD = 4

OnEpoch = Callable[[int, int, float], None]
"""Called with (epochs done, epochs in all, the last one's mean loss)."""


def train(
    settings: Settings,
    network: nn.Module,
    examples: Sequence[Example],
    *,
    epochs: int,
    learning_rate: float,
    round_index: int,
    device: str | torch.device = "cpu",
    checkpoint: Path | None = None,
    on_epoch: OnEpoch | None = None,
) -> list[float]:
    """Train f on slices.

    On the CPU the same settings, weights and examples give the same bits, interrupted or not, for a given number of
    threads. With torch.distributed initialised, every process calls this with the same arguments and its own
    device: each takes its share of every epoch's batches, gradients are averaged, and rank 0 writes checkpoints.

    Args:
        settings: batch size, augmentation, region, windows, seed and threads.
        network: what `build_network` returned, with its first weights; trained in place, and left in eval mode on
            `device`.
        examples: at least one.
        epochs: number of epochs, those done before an interruption included.
        learning_rate: Adam's.
        round_index: the recursion's round: seeds order and augmentation.
        device: where to train. CUDA uses mixed precision, the CPU float32.
        checkpoint: file to resume from and to write to, in a folder that exists; a broken file or one of another
            training is written over. It is left in place at the end: the caller removes it once the weights are safe.
            So are, beside it, the weights after some epochs (`Method.snapshots`).
        on_epoch: called after each epoch, on rank 0.

    Returns:
        The mean loss of every epoch, those before an interruption included.

    Raises:
        ValueError: without examples.
        RecursiveExpandError: the loss is no number any more.
    """
    if not examples:
        raise ValueError("there is nothing to train on: no examples")
    device = torch.device(device)
    rank, world_size = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
    if settings.machine.threads:
        torch.set_num_threads(settings.machine.threads)
    identity = fingerprint(
        settings,
        network,
        examples,
        epochs=epochs,
        learning_rate=learning_rate,
        round_index=round_index,
        world_size=world_size,
    )
    network.to(device).to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(network.parameters(), lr=learning_rate)
    state = (load_checkpoint(checkpoint, identity, network, optimizer) if checkpoint else None) or TrainingState()
    losses = list(state.losses)
    if len(losses) >= epochs:
        network.eval()
        return losses
    network.train()
    precision = Precision(device, state)
    boxes = [training_box(example, settings) for example in examples]
    grid = WorkingGrid(settings)
    # Wrapping is a meeting point: no rank writes a checkpoint before all have read the old one.
    model = DistributedDataParallel(network) if world_size > 1 else network
    written = time.monotonic()
    kept = snapshot_epochs(epochs, settings.method.snapshots)
    settling = epochs if settings.method.pretrain == "none" else int(epochs * (1 - SETTLING))
    with deterministic(device), _readers(_BATCHES_AHEAD if device.type == "cuda" else 1) as readers:
        for epoch in range(len(losses), epochs):
            if epoch >= settling:
                gather_statistics(network, anew=epoch == settling)
            for group in optimizer.param_groups:
                group["lr"] = learning_rate * _share_of_rate(settings, round_index, epoch, epochs)
            batches = _batches(settings, examples, boxes, grid, readers, round_index, epoch, rank, world_size)
            losses.append(_train_epoch(model, optimizer, precision, batches, settings, device, world_size))
            if not math.isfinite(losses[-1]):
                setting = settings.method.rate_setting(first=round_index == 0)
                raise RecursiveExpandError(
                    f"the loss became {losses[-1]} in epoch {epoch + 1}; lower --conf {setting} (now {learning_rate:g})"
                )
            if checkpoint and rank == 0 and epoch + 1 in kept:  # before a checkpoint that says that it is there
                save_weights(network, snapshot_file(checkpoint, epoch + 1))
            due = time.monotonic() - written >= SECONDS_BETWEEN_CHECKPOINTS or epoch + 1 == epochs
            if checkpoint and rank == 0 and due:
                save_checkpoint(
                    checkpoint, identity, TrainingState(tuple(losses), precision.state_dict()), network, optimizer
                )
                written = time.monotonic()
            if on_epoch and rank == 0:
                on_epoch(epoch + 1, epochs, losses[-1])
    follow_statistics(network)
    network.eval()
    return losses


def _share_of_rate(settings: Settings, round_index: int, epoch: int, epochs: int) -> float:
    """By what the learning rate is multiplied in an epoch, from 1 down; never 0. Of a pretrained f round 0 is a later
    round: what it knows is to be kept."""
    if (
        round_index == 0 and settings.method.pretrain == "none"
    ) or settings.method.training.later_schedule == "constant":
        return 1.0
    return (1 + math.cos(math.pi * epoch / epochs)) / 2


def _train_epoch(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    precision: Precision,
    batches: Iterator[Batch],
    settings: Settings,
    device: torch.device,
    world_size: int,
) -> float:
    """One pass over this process's batches: the mean loss over all processes."""
    training = settings.method.training
    total, steps = torch.zeros((), device=device), 0
    for batch in batches:
        images = apply_windows(batch.hu.to(device, non_blocking=True), settings.task.windows)
        target = batch.target.to(device, non_blocking=True)
        with precision.autocast():
            logits = model(images.contiguous(memory_format=torch.channels_last))
        # The loss is taken in float32: its mean runs over 250,000 pixels.
        logits = logits.float()
        loss = segmentation_loss(
            logits,
            torch.where(target == LABELLED, IGNORE, target) if training.slice_label_weight else target,
            batch.with_dice,
            accepted=batch.accepted,
            accepted_loss=training.accepted_loss,
            background_trust=training.background_trust,
            rejected_limit=training.confident_foreground if training.rejects == "not_confident" else None,
        )
        if training.slice_label_weight:
            loss = loss + training.slice_label_weight * slice_label_loss(logits, target, batch.labels)
        optimizer.zero_grad(set_to_none=True)
        precision.step(loss, optimizer)
        total += loss.detach()
        steps += 1
    if world_size > 1:
        dist.all_reduce(total)
    return float(total) / (steps * world_size)


def _batches(
    settings: Settings,
    examples: Sequence[Example],
    boxes: Sequence[Box],
    grid: WorkingGrid,
    readers: ThreadPoolExecutor,
    round_index: int,
    epoch: int,
    rank: int,
    world_size: int,
) -> Iterator[Batch]:
    """This process's batches of an epoch, made a few ahead of their use."""
    method = settings.method
    seen = seen_in_epoch(settings, examples, epoch)
    order = epoch_order(len(seen), method.training.batch_size, seed=method.seed, round_index=round_index, epoch=epoch)
    # Every process must take as many steps as the others: the first batches fill the last ones' gaps.
    steps = -(-len(order) // world_size)
    mine = [order[(step * world_size + rank) % len(order)] for step in range(steps)]

    def make(places: list[int]) -> Batch:
        indices = [seen[place] for place in places]
        return make_batch(
            [examples[i] for i in indices],
            [boxes[i] for i in indices],
            settings,
            round_index=round_index,
            epoch=epoch,
            grid=grid,
        )

    waiting = [readers.submit(make, indices) for indices in mine[:_BATCHES_AHEAD]]
    for step in range(steps):
        if step + _BATCHES_AHEAD < steps:
            waiting.append(readers.submit(make, mine[step + _BATCHES_AHEAD]))
        yield waiting.pop(0).result()


@contextmanager
def _readers(number: int) -> Iterator[ThreadPoolExecutor]:
    """Threads that make batches beside the one that trains, with one core each."""
    threads = torch.get_num_threads()
    with ThreadPoolExecutor(number, initializer=one_thread_in_this_thread) as readers:
        try:
            yield readers
        finally:
            torch.set_num_threads(threads)


class Precision:
    """Mixed precision on CUDA: bfloat16 where the card has it, else float16 with scaled gradients."""

    def __init__(self, device: torch.device, state: TrainingState | None = None) -> None:
        self._device = device.type
        self._half: torch.dtype | None = None
        if device.type == "cuda":
            self._half = torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
        self._scaler = torch.amp.GradScaler(device.type, enabled=self._half is torch.float16)
        if state is not None and state.scaler:
            self._scaler.load_state_dict(state.scaler)

    def autocast(self) -> torch.autocast | nullcontext[None]:
        return torch.autocast(self._device, self._half) if self._half else nullcontext()

    def step(self, loss: torch.Tensor, optimizer: torch.optim.Optimizer) -> None:
        self._scaler.scale(loss).backward()
        self._scaler.step(optimizer)
        self._scaler.update()

    def state_dict(self) -> dict[str, float | int]:
        return self._scaler.state_dict()


@contextmanager
def deterministic(device: torch.device) -> Iterator[None]:
    """Deterministic kernels on the CPU; on CUDA they would cost more than equal bits are worth."""
    before = torch.are_deterministic_algorithms_enabled()
    fill = torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
    if device.type == "cpu":
        torch.use_deterministic_algorithms(True)
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)
        torch.utils.deterministic.fill_uninitialized_memory = fill  # type: ignore[attr-defined]
