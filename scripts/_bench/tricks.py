"""What each trick of the fast path buys: f and g with it, against f and g without it alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from unittest import mock

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from _bench.stock_infer import refine_whole_slice
from _bench.timing import in_turn, seconds
from recursive_expand.cases import Volume
from recursive_expand.segment.box import Box
from recursive_expand.segment.predict import Predictor, has_fast_half
from recursive_expand.segment.regions.head import Head
from recursive_expand.segment.regions.registry import REGIONS
from recursive_expand.settings import Settings

_MODULE = "recursive_expand.segment.predict"
EVERYTHING = "everything"


def trick_ratios(settings: Settings, network: nn.Module, volumes: list[Volume], repeats: int) -> dict[str, float]:
    """Trick to how many times longer f and g take without it, by the best of the repeats.

    The differences are small and other load only ever adds: on a shared machine medians do not tell them apart.

    Args:
        settings: with the number of threads.
        network: f with its weights.
        volumes: in memory.
        repeats: how often each is measured.
    """
    fast = Predictor(settings, network)
    one_thread = Predictor(settings.changed(threads=1), network)
    every_slice = Predictor(settings.changed(region="body"), network)  # the head's box, without its rule for brain
    with mock.patch.dict(REGIONS, uncropped=_UncroppedHead()):
        uncropped = Predictor(settings.changed(region="uncropped"), network)

    def timed(predictor: Predictor, **without: Callable) -> Callable[[], float]:
        def run() -> float:
            with _replaced(without):
                return seconds(lambda: propose_in_memory(predictor, volumes))

        return run

    paths = {
        EVERYTHING: timed(fast),
        "the head's box instead of whole slices": timed(uncropped),
        "slices without brain skipped": timed(every_slice),
        "g on components' boxes instead of whole slices": timed(fast, refine=refine_whole_slice),
    }
    if has_fast_half(torch.device("cpu")):
        paths["half precision"] = timed(Predictor(settings, network, half=False))
    if settings.machine.threads > 1:
        paths[f"{settings.machine.threads} threads, a slice each"] = timed(one_thread)
    found = in_turn(paths, repeats)
    return {name: min(found[name]) / min(found[EVERYTHING]) for name in paths if name != EVERYTHING}


def propose_in_memory(predictor: Predictor, volumes: list[Volume]) -> None:
    """f and g over volumes, whose masks are dropped."""
    for _ in predictor.propose_volumes((str(number), volume) for number, volume in enumerate(volumes)):
        pass


class _UncroppedHead(Head):
    """Slices that may hold brain, whole."""

    def box(self, hu: NDArray[np.int16]) -> Box:
        return Box.whole(hu.shape)


@contextmanager
def _replaced(functions: dict[str, Callable]) -> Iterator[None]:
    with ExitStack() as stack:
        for name, function in functions.items():
            stack.enter_context(mock.patch(f"{_MODULE}.{name}", function))
        yield
