"""What is measured on: phantom heads of 512 x 512 pixels, and the app's network trained on other heads; made once."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

import torch
from rich.progress import Progress, track
from torch import nn

from recursive_expand.phantom import CLASSES, make_head
from recursive_expand.phantom.scanner import Domain
from recursive_expand.phantom.studies import to_native, write_nifti
from recursive_expand.segment.examples import Example
from recursive_expand.segment.network import build_network
from recursive_expand.segment.train import train
from recursive_expand.segment.weights import load_weights, save_weights
from recursive_expand.settings import Settings, load_settings

REPOSITORY = Path(__file__).resolve().parents[2]
APP = REPOSITORY / "apps" / "recursive_ich"
TASK_FILE = APP / "task.yaml"
FOLDER = REPOSITORY / "bench"
"""Everything the benchmark makes; git-ignored."""

CONF = {"flips": "false", "working_spacing": "null", "pretrain": "none"}
"""Without test-time flips and on the image's own grid: every path then runs f once a whole slice, as the stock one
does."""
SIZE = 512
TRAINING_EPOCHS = 15
TRAINING_RATE = 3e-3
_TRAINING_SEED = 9000
_DOMAINS: tuple[Domain, Domain] = ("thick", "sharp")


def bench_settings(threads: int) -> Settings:
    """The app's own settings, under `CONF`."""
    return load_settings(TASK_FILE, {**CONF, "threads": str(threads)})


def heads(volumes: int, slices: int) -> Path:
    """A folder of `volumes` heads, one file each.

    Bleed types take turns, two a head, so that all heads hold blood; scanners take turns.
    """
    folder = FOLDER / f"heads_{volumes}x{slices}"

    def make(partial: Path) -> None:
        for number in track(range(volumes), "Making phantom heads of 512 x 512", transient=True):
            bleeds = (CLASSES[(2 * number + 1) % 5], CLASSES[(2 * number + 2) % 5])
            head = make_head(number, size=SIZE, slices=slices, bleeds=bleeds, domain=_DOMAINS[number % 2])
            write_nifti(partial / f"head-{number:03d}.nii.gz", to_native(head.hu, head), head.affine)

    _once(folder, make)
    return folder


def expert_case() -> tuple[Path, Path]:
    """(image, mask) of one head of a few slices: what a round trains on while a server is measured."""
    folder = FOLDER / "expert_case"

    def make(partial: Path) -> None:
        head = make_head(_TRAINING_SEED, size=SIZE, slices=6, bleeds=CLASSES)
        write_nifti(partial / "image.nii.gz", to_native(head.hu, head), head.affine)
        write_nifti(partial / "mask.nii.gz", to_native(head.mask, head), head.affine)

    _once(folder, make)
    return folder / "image.nii.gz", folder / "mask.nii.gz"


def weights(settings: Settings, size: int = SIZE) -> tuple[Path, str]:
    """(file, SHA-256) of the app's network, briefly trained on other heads, so that its masks mean something.

    Args:
        settings: the network's.
        size: pixels of their sides; where two checkouts are compared, masks of some size are enough.
    """
    # Of another network, or trained otherwise: other weights.
    task, method = settings.task, settings.method
    made_of = (
        *(method.network, task.windows, task.classes, task.region, method.training, method.seed),
        *(TRAINING_EPOCHS, TRAINING_RATE, size),
    )
    folder = FOLDER / f"weights_{hashlib.sha256(repr(made_of).encode()).hexdigest()[:8]}"

    def make(partial: Path) -> None:
        examples = training_examples(size)
        torch.manual_seed(method.seed)
        network = build_network(settings)
        with Progress(transient=True) as progress:
            bar = progress.add_task("Training the app's network", total=TRAINING_EPOCHS)
            train(
                settings,
                network,
                examples,
                epochs=TRAINING_EPOCHS,
                learning_rate=TRAINING_RATE,
                round_index=0,
                on_epoch=lambda epoch, total, loss: progress.update(bar, completed=epoch),
            )
        save_weights(network, partial)

    _once(folder, make)
    (file,) = folder.glob("*.safetensors")
    return file, file.stem


def training_examples(size: int = SIZE) -> list[Example]:
    """The slices of a few other heads, with their masks; `size` is the pixels of their sides."""
    heads = [
        make_head(_TRAINING_SEED + 1 + n, size=size, slices=6, bleeds=CLASSES[n % 5 :][:2], domain=_DOMAINS[n % 2])
        for n in track(range(8), "Making heads to train on", transient=True)
    ]
    return [
        Example(f"{n}:{k}", head.hu[k], head.mask[k], True, head.spacing[1:])
        for n, head in enumerate(heads)
        for k in range(len(head.hu))
    ]


def load_network(settings: Settings, file: Path, sha256: str) -> nn.Module:
    """The app's network with weights, in eval mode."""
    network = build_network(settings)
    load_weights(network, file, sha256)
    return network.eval()


def fresh_folder(name: str) -> Path:
    """An empty folder for one measurement."""
    folder = FOLDER / "runs" / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def _once(folder: Path, make: Callable[[Path], None]) -> None:
    """Make a folder whole or not at all."""
    if folder.is_dir():
        return
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    make(partial)
    partial.rename(folder)
