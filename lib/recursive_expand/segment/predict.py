"""The fast path of f and g: proposals for many cases, on the part of each slice that f needs to see."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import combinations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from recursive_expand.cases import AIR_HU, Volume
from recursive_expand.segment.box import Box
from recursive_expand.segment.cleaned import cleaned
from recursive_expand.segment.constrain import AllowedClasses, SliceProbabilities, constrain
from recursive_expand.segment.context import seen_slices
from recursive_expand.segment.metrics import Counts
from recursive_expand.segment.network import fold_batch_norm, size_multiple
from recursive_expand.segment.refine import refine
from recursive_expand.segment.regions.registry import region_named
from recursive_expand.segment.resample import to_native, to_working, working_shape
from recursive_expand.segment.threads import one_thread_per_operation
from recursive_expand.segment.windows import apply_windows
from recursive_expand.settings import Settings

SLICES_PER_WINDOW = 64
"""Cases are taken up in windows of at least this many slices; two windows are under way: what bounds the memory."""
_CUDA_BATCH = 16
_PADDING_STEPS = 2
"""Boxes grow to multiples of this many size steps, so that the slices of a study share a few shapes."""


@dataclass(frozen=True)
class Prediction:
    """What f and g make of one case.

    Attributes:
        mask: (slices, rows, columns) uint8 class values, image-level labels obeyed; after g, unless
            `Refinement.refine` leaves that for after the review.
        ignore: (slices, rows, columns) bool, the ignore band: foreground probability between confident background
            and confident foreground, or at odds with the mask.
        confidence: (slices,) float32, mean probability of the mask's class over the mask's voxels; nan where the
            slice's mask is empty.
        flip_dice: (slices,) float32, Dice of f's foreground with and without the mirror image (1 where both are
            empty); nan where f did not look at the slice, and without `Method.flips`.
        snapshot_dice: (slices,) float32, mean Dice of the foreground of every two of f and its snapshots, in the
            region, before g (1 where both are empty); nan where f did not look at the slice, and without snapshots.
    """

    mask: NDArray[np.uint8]
    ignore: NDArray[np.bool_]
    confidence: NDArray[np.float32]
    flip_dice: NDArray[np.float32]
    snapshot_dice: NDArray[np.float32]


class Predictor:
    """f and g, ready to propose.

    On the CPU each worker thread takes one slice at a time from reading to refining, whatever case it is of: that
    scales better than splitting one convolution over all cores, and a slice's result cannot depend on what else is
    in flight, so that a run that was interrupted proposes the same voxels as one that was not. On CUDA, slices of
    all cases in flight are batched by the shape of their boxes while threads cut, and refine, other slices.

    Args:
        settings: windows, region, context, working spacing, refinement, confidence limits, threads.
        network: f with its weights; copied, so later training does not change this predictor.
        device: where f runs.
        half: run f in half precision; None: where the device has fast instructions for it.
        batch_size: slices in one forward pass; None: 1 on the CPU, 16 on CUDA.
        snapshots: networks like `network`, which are asked too: (1 + snapshots) forward passes a slice.
    """

    def __init__(
        self,
        settings: Settings,
        network: nn.Module,
        device: str | torch.device = "cpu",
        *,
        half: bool | None = None,
        batch_size: int | None = None,
        snapshots: Sequence[nn.Module] = (),
    ) -> None:
        self._settings = settings
        self._region = region_named(settings.task.region)
        whole = settings.method.proposing_area == "as_trained" and not settings.method.training.crop_to_region
        self._area = region_named("whole") if whole else self._region
        self._device = torch.device(device)
        self._half = has_fast_half(self._device) if half is None else half
        self._dtype = _half_type(self._device) if self._half else torch.float32
        self._network = self._ready(network)
        self._snapshots = [self._ready(snapshot) for snapshot in snapshots]
        self._batch_size = batch_size or (_CUDA_BATCH if self._device.type == "cuda" else 1)
        self._workers = settings.machine.cores

    def _ready(self, network: nn.Module) -> nn.Module:
        folded = fold_batch_norm(network).requires_grad_(False).to(self._device, self._dtype)
        return folded.to(memory_format=torch.channels_last)

    def predict(self, volume: Volume, allowed: AllowedClasses | None = None) -> Prediction:
        """One case; see `propose_volumes`."""
        labels = {"case": allowed} if allowed is not None else {}
        ((_, prediction),) = self.propose_volumes([("case", volume)], labels)
        return prediction

    def propose_volumes(
        self, volumes: Iterable[tuple[str, Volume]], allowed: Mapping[str, AllowedClasses] | None = None
    ) -> Iterator[tuple[str, Prediction]]:
        """Propose masks for cases.

        Image-level labels are obeyed exactly: a slice that is labelled clean is all background; where one class is
        present, all foreground is that class; where several are, each pixel gets the most probable of these and
        background. Slices that are not worth a look, and what is outside the region's box, are background, unless
        `Method.proposing_area` is the whole of every slice.

        Args:
            volumes: (case id, volume); taken from a few at a time, as memory allows.
            allowed: case id to constraints, one for each slice; a case that is missing has none.

        Yields:
            (case id, prediction), in the order of `volumes`, at most two windows behind it.

        Raises:
            ValueError: where the constraints of a case are not one for each slice.
        """
        with one_thread_per_operation():
            pool = ThreadPoolExecutor(self._workers, initializer=torch.set_num_threads, initargs=(1,))
            try:
                before: list[_Case] = []
                window: list[_Case] = []
                for case_id, volume in volumes:
                    window.append(self._begin(case_id, volume, None if allowed is None else allowed.get(case_id), pool))
                    if sum(len(case.prediction.mask) for case in window) >= SLICES_PER_WINDOW:
                        self._forward(window, pool)
                        yield from map(_finished, before)
                        before, window = window, []
                self._forward(window, pool)
                yield from map(_finished, before + window)
            finally:
                pool.shutdown(wait=True, cancel_futures=True)

    def _begin(self, case_id: str, volume: Volume, allowed: AllowedClasses | None, pool: ThreadPoolExecutor) -> _Case:
        """Take up a case: its slices start through the pool."""
        slices = len(volume.hu)
        allowed = [None] * slices if allowed is None else allowed
        if len(allowed) != slices:
            raise ValueError(f"{len(allowed)} image-level constraints for {slices} slices; give one for each slice")
        prediction = Prediction(
            mask=np.zeros(volume.hu.shape, np.uint8),
            ignore=np.zeros(volume.hu.shape, np.bool_),
            confidence=np.full(slices, np.nan, np.float32),
            flip_dice=np.full(slices, np.nan, np.float32),
            snapshot_dice=np.full(slices, np.nan, np.float32),
        )
        case = _Case(case_id, prediction)
        spacing = volume.geometry.spacing[1:]
        first_stage = self._whole_way if self._batch_size == 1 else self._cut
        for number, names in enumerate(allowed):
            if names is None or names:
                seen = tuple(volume.hu[n] for n in seen_slices(number, slices, self._settings.method.context))
                taken = _Slice(prediction, number, seen, spacing, names)
                case.jobs.append(pool.submit(first_stage, taken))
        return case

    def _whole_way(self, taken: _Slice) -> None:
        """One slice from reading to refining, in a worker."""
        cut = self._cut(taken)
        if cut is not None:
            self._refine(cut, *self._decide(taken, self._views([cut])[0]))

    def _cut(self, taken: _Slice) -> _Cut | None:
        """The part of a slice that f sees, or None where there is nothing to look at."""
        hu = np.array(taken.seen[len(taken.seen) // 2])  # read from the file once; torch writes to its arrays
        box = self._area.box(hu) if self._area.worth_a_look(hu, taken.spacing) else None
        if box is None:
            return None
        box = _on_common_shapes(box, hu.shape, size_multiple(self._settings))
        centre = np.ascontiguousarray(box.read(hu, AIR_HU))
        if len(taken.seen) == 1:
            return _Cut(taken, box, centre, centre[None])
        return _Cut(taken, box, centre, np.stack([box.read(plane, AIR_HU) for plane in taken.seen]))

    def _forward(self, window: list[_Case], pool: ThreadPoolExecutor) -> None:
        """Run f over batches of slices of all cases of a window, handing each slice on to g in the pool."""
        if self._batch_size == 1:
            return
        by_shape: dict[tuple[int, ...], list[tuple[_Case, _Cut]]] = {}
        for case in window:
            cuts = [job.result() for job in case.jobs]
            case.jobs.clear()
            for cut in cuts:
                if cut is not None:
                    key = (*cut.box.shape, *self._working_shape(cut))
                    by_shape.setdefault(key, []).append((case, cut))
        for group in by_shape.values():
            for first in range(0, len(group), self._batch_size):
                batch = group[first : first + self._batch_size]
                for (case, cut), views in zip(batch, self._views([cut for _, cut in batch]), strict=True):
                    case.jobs.append(pool.submit(self._refine, cut, *self._decide(cut.taken, views)))

    def _working_shape(self, cut: _Cut) -> tuple[int, int]:
        return working_shape(cut.box.shape, cut.taken.spacing, self._settings.method.working_spacing)

    @torch.inference_mode()
    def _views(self, cuts: Sequence[_Cut]) -> Tensor:
        """f on boxes of one shape (h, w), as they are and, with flips, mirrored; then its snapshots: (B, views, K + 1,
        h, w)."""
        hu = torch.stack([torch.from_numpy(cut.seen) for cut in cuts]).to(self._device)
        shape = self._working_shape(cuts[0])
        hu = to_working(hu, shape)
        native = cuts[0].box.shape
        views = [self._logits(self._network, hu, shape)]
        if self._settings.method.flips:
            views.append(self._logits(self._network, hu.flip(-1), shape).flip(-1))
        views += [self._logits(snapshot, hu, shape) for snapshot in self._snapshots]
        at_home = [to_native(view, native) for view in views]
        return torch.stack(at_home, dim=1) if len(at_home) > 1 else at_home[0][:, None]

    def _logits(self, network: nn.Module, hu: Tensor, shape: tuple[int, int]) -> Tensor:
        """A network on (B, S, *shape) HU: (B, K + 1, *shape) on the device."""
        multiple = size_multiple(self._settings)
        hu = functional.pad(hu, (0, -shape[1] % multiple, 0, -shape[0] % multiple), value=AIR_HU)
        images = apply_windows(hu, self._settings.task.windows).to(self._dtype, memory_format=torch.channels_last)
        logits: Tensor = network(images)
        return logits[:, :, : shape[0], : shape[1]]

    @torch.inference_mode()
    def _decide(self, taken: _Slice, views: Tensor) -> tuple[SliceProbabilities, list[SliceProbabilities]]:
        """What f finds, and each of its snapshots."""
        method = self._settings.method
        decide = partial(
            constrain,
            allowed=taken.allowed,
            classes=self._settings.task.classes,
            limit=method.training.confident_background,
            thresholds=method.thresholds(self._settings.task.classes),
        )
        first_snapshot = len(views) - len(self._snapshots)
        snapshots = [decide(view) for view in views[first_snapshot:]]
        views = views[:first_snapshot]
        plain = decide(views[0])
        if len(views) == 1:
            return plain, snapshots
        # The softmax of these logits is the mean of the views' probabilities.
        mean = views.float().log_softmax(1).logsumexp(0) - math.log(len(views))
        found = decide(mean)
        taken.prediction.flip_dice[taken.number] = _foreground_dice(plain.mask, found.mask)
        return found, snapshots

    def _refine(self, cut: _Cut, found: SliceProbabilities, snapshots: Sequence[SliceProbabilities]) -> None:
        """What lies in the region, g, and what can be trusted; into the case's prediction."""
        training, out, number = self._settings.method.training, cut.taken.prediction, cut.taken.number
        refinement = self._settings.method.refinement
        looked_at = any(len(one.pixels) for one in (found, *snapshots))
        inside = self._region.inside(cut.hu, cut.taken.spacing) if looked_at else None
        if inside is not None:
            found, snapshots = found.within(inside), [one.within(inside) for one in snapshots]
        if snapshots:
            pairs = combinations([found.mask, *(one.mask for one in snapshots)], 2)
            out.snapshot_dice[number] = np.mean([_foreground_dice(a, b) for a, b in pairs])
        mask, min_pixels = found.mask, refinement.min_area / math.prod(cut.taken.spacing)
        if refinement.refine == "before_review":
            mask = refine(mask, cut.hu, refinement, self._settings.task.windows[0], min_pixels=min_pixels)
        mask = cleaned(mask, cut.hu, cut.taken.spacing, refinement)
        ignore = found.ignore_band(mask, training.confident_background, training.confident_foreground)
        cut.box.write(out.mask[number], mask)
        cut.box.write(out.ignore[number], ignore)
        out.confidence[number] = found.confidence(mask)


@dataclass
class _Case:
    """A case under way: its prediction is filled in by `jobs`."""

    case_id: str
    prediction: Prediction
    jobs: list[Future] = field(default_factory=list)


@dataclass(frozen=True)
class _Slice:
    """One slice of a case: `seen` are the (R, C) int16 that f sees, itself in the middle; `spacing` in mm along rows
    and columns."""

    prediction: Prediction
    number: int
    seen: tuple[NDArray[np.int16], ...]
    spacing: tuple[float, float]
    allowed: frozenset[str] | None


@dataclass(frozen=True)
class _Cut:
    """The box of a slice: `hu` is the slice in it, `seen` (S, h, w) all that f sees."""

    taken: _Slice
    box: Box
    hu: NDArray[np.int16]
    seen: NDArray[np.int16]


def _finished(case: _Case) -> tuple[str, Prediction]:
    for job in case.jobs:
        job.result()
    return case.case_id, case.prediction


def _foreground_dice(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    both = np.count_nonzero((a > 0) & (b > 0))
    return Counts(both, np.count_nonzero(a) - both, np.count_nonzero(b) - both).dice


def _on_common_shapes(box: Box, shape: tuple[int, ...], multiple: int) -> Box:
    """A box on f's coarse grid whose size is one of few, within the slice as far as that is possible."""
    whole = Box.whole(shape).aligned(multiple)
    aligned = box.aligned(multiple)
    ends = []
    for start, end, most in ((aligned.r0, aligned.r1, whole.r1), (aligned.c0, aligned.c1, whole.c1)):
        step = _PADDING_STEPS * multiple
        size = min(most, -(-(end - start) // step) * step)
        first = min(start, most - size)
        ends.append((first, first + size))
    return Box(*ends[0], *ends[1])


def has_fast_half(device: torch.device) -> bool:
    """Whether half precision is faster than float32 there: CUDA, or a CPU with bfloat16 instructions."""
    if device.type == "cuda":
        return True
    return device.type == "cpu" and (torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def _half_type(device: torch.device) -> torch.dtype:
    """float16 is finer than bfloat16, and as fast on CUDA; CPUs are fast with bfloat16 alone."""
    return torch.float16 if device.type == "cuda" else torch.bfloat16
