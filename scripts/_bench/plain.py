"""The network's plain float32 forward pass over whole slices, and the masks that go with it."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from _bench.timing import seconds
from recursive_expand.archives.images import read_volume
from recursive_expand.cases import Volume
from recursive_expand.segment.plain import predict_plain
from recursive_expand.segment.refine import refine
from recursive_expand.segment.specks import drop_specks
from recursive_expand.segment.windows import apply_windows
from recursive_expand.settings import Settings

BATCHES = (1, 8)


def volumes(heads: Path) -> Iterator[tuple[str, Volume]]:
    """(case id, volume) of every image."""
    for path in sorted(heads.glob("*.nii.gz")):
        yield path.name.removesuffix(".nii.gz"), read_volume(path)


class PlainForward:
    """The forward pass alone: reading, windows, argmax and g are left out.

    Args:
        settings: the windows.
        network: f in eval mode.
        heads: the images.
        threads: CPU threads.
    """

    def __init__(self, settings: Settings, network: nn.Module, heads: Path, threads: int) -> None:
        self._windows, self._network, self._heads, self._threads = settings.task.windows, network, heads, threads
        hu = next(volumes(heads))[1].hu[: max(BATCHES)]
        images = apply_windows(torch.from_numpy(np.ascontiguousarray(hu)), self._windows)
        torch.set_num_threads(threads)
        self._forward(images, max(BATCHES))  # warm up
        self.batch = min(BATCHES, key=lambda batch: seconds(lambda: self._forward(images, batch)))
        """Slices in one pass: the fastest of `BATCHES`."""

    def run(self) -> float:
        """Seconds of the forward passes over all slices."""
        torch.set_num_threads(self._threads)
        total = 0.0
        for _, volume in volumes(self._heads):
            images = apply_windows(torch.from_numpy(np.ascontiguousarray(volume.hu)), self._windows)
            began = time.perf_counter()
            self._forward(images, self.batch)
            total += time.perf_counter() - began
        return total

    @torch.inference_mode()
    def _forward(self, images: torch.Tensor, batch: int) -> None:
        for part in images.split(batch):
            self._network(part)


def plain_masks(settings: Settings, network: nn.Module, heads: Path) -> dict[str, NDArray[np.uint8]]:
    """Case id to the (S, R, C) mask of f on whole slices in float32, then g; specks dropped."""
    found = {}
    refinement = settings.method.refinement
    for case_id, volume in volumes(heads):
        mask = np.zeros(volume.hu.shape, np.uint8)
        spacing = volume.geometry.spacing[1:]
        for number, hu in enumerate(volume.hu):
            f = predict_plain(settings, network, hu, spacing).argmax(0).astype(np.uint8)
            refined = refine(f, hu, refinement, settings.task.windows[0])
            area = math.prod(volume.geometry.spacing[1:])
            mask[number] = drop_specks(refined, min_pixels=refinement.min_area / area)
        found[case_id] = mask
    return found
