"""Section `train`: training as the app does it, against the bare loop of its steps over the same batches."""

from __future__ import annotations

import copy
import statistics
from collections.abc import Callable

import torch
from torch import Tensor, nn

from _bench.material import TASK_FILE, fresh_folder, training_examples
from _bench.report import Section, at_least
from _bench.scale import Scale
from _bench.timing import in_turn, ratio, seconds
from recursive_expand.segment.batches import Batch, epoch_order, make_batch, training_box
from recursive_expand.segment.examples import Example
from recursive_expand.segment.losses import segmentation_loss
from recursive_expand.segment.network import build_network
from recursive_expand.segment.predict import has_fast_half
from recursive_expand.segment.train import deterministic, train
from recursive_expand.segment.weights import weights_bytes
from recursive_expand.segment.windows import apply_windows
from recursive_expand.settings import Settings, load_settings

_CPU = torch.device("cpu")
_RATE = 1e-3


def measure_train(scale: Scale, threads: int) -> Section:
    """Both in turn, from the same weights."""
    settings = load_settings(TASK_FILE, {"pretrain": "none", "threads": str(threads)})
    examples = training_examples()
    torch.manual_seed(settings.method.seed)
    network = build_network(settings)
    trained: dict[str, nn.Module] = {}

    def timed(name: str, act: Callable[[nn.Module], object]) -> Callable[[], float]:
        def run() -> float:
            trained[name] = copy.deepcopy(network)
            return seconds(lambda: act(trained[name]))

        return run

    checkpoint = fresh_folder("train") / "checkpoint.safetensors"

    def ours(network: nn.Module) -> None:
        checkpoint.unlink(missing_ok=True)
        train(
            settings,
            network,
            examples,
            epochs=scale.epochs,
            learning_rate=_RATE,
            round_index=0,
            checkpoint=checkpoint,
        )

    batches = [batch for epoch in range(scale.epochs) for batch in _batches(settings, examples, epoch)]
    images = [
        apply_windows(batch.hu, settings.task.windows).contiguous(memory_format=torch.channels_last)
        for batch in batches
    ]
    paths = {
        "ours": timed("ours", ours),
        "bare loop": timed("bare loop", lambda network: _loop(network, images, batches, half=False)),
    }
    if has_fast_half(_CPU):
        paths["bare loop in bfloat16"] = timed("half", lambda network: _loop(network, images, batches, half=True))
    torch.set_num_threads(threads)
    _loop(copy.deepcopy(network), images[:2], batches[:2], half=False)  # warm up
    found = in_turn(paths, scale.repeats)
    slices = scale.epochs * len(examples)
    section = Section(
        "train",
        f"{len(examples)} slices of phantom heads, 512x512, under the app's own settings without pretraining, "
        f"{scale.epochs} epochs; medians of {scale.repeats}, in turn. Ours: all that a training does, checkpoints "
        "included. Bare loop: forward, loss, backward and Adam over the same batches, windowed before.",
    )
    for name, times in found.items():
        each = statistics.median(times) / slices
        section.add(f"{name}: ms a slice", 1000 * each, f"{1000 * each:.1f}")
    share = ratio(found["bare loop"], found["ours"])
    section.add("ours / bare loop", share, f"{share:.2f}x", at_least(0.9))
    if "bare loop in bfloat16" in found:
        half = ratio(found["bare loop in bfloat16"], found["ours"])
        section.add("ours / bare loop in bfloat16", half, f"{half:.2f}x")
    same = weights_bytes(trained["ours"]) == weights_bytes(trained["bare loop"])
    section.add("the same weights, to the bit", float(same), "yes" if same else "NO", at_least(1, ""))
    return section


def _batches(settings: Settings, examples: list[Example], epoch: int) -> list[Batch]:
    order = epoch_order(
        len(examples), settings.method.training.batch_size, seed=settings.method.seed, round_index=0, epoch=epoch
    )
    boxes = [training_box(example, settings) for example in examples]
    return [
        make_batch([examples[i] for i in part], [boxes[i] for i in part], settings, round_index=0, epoch=epoch)
        for part in order
    ]


def _loop(network: nn.Module, images: list[Tensor], batches: list[Batch], *, half: bool) -> None:
    network.to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.Adam(network.parameters(), lr=_RATE)
    with deterministic(_CPU):
        for seen, batch in zip(images, batches, strict=True):
            with torch.autocast("cpu", torch.bfloat16, enabled=half):
                logits = network(seen)
            loss = segmentation_loss(logits.float(), batch.target, batch.with_dice)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
    network.eval()
