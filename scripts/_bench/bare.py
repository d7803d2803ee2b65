"""The limit of the machine: f alone on what it sees of each slice, in its own precision, on all cores."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor, nn

from _bench.timing import seconds
from recursive_expand.cases import Volume
from recursive_expand.segment.network import fold_batch_norm
from recursive_expand.segment.predict import Predictor, has_fast_half
from recursive_expand.segment.threads import one_thread_per_operation
from recursive_expand.settings import Settings


class BareForward:
    """f over the head's boxes: windows, cutting, argmax and g are left out.

    Args:
        settings: the predictor's.
        network: f in eval mode.
        volumes: in memory.
        threads: CPU threads.
    """

    def __init__(self, settings: Settings, network: nn.Module, volumes: list[Volume], threads: int) -> None:
        self._threads = threads
        self.precision = "bfloat16" if has_fast_half(torch.device("cpu")) else "float32"
        self._inputs = _what_f_sees(settings, network, volumes)
        dtype = self._inputs[0].dtype
        folded = fold_batch_norm(network).requires_grad_(False).to("cpu", dtype)
        self._network = folded.to(memory_format=torch.channels_last)
        ways = {"a slice a thread": self._slice_a_thread, "all threads on each slice": self._all_threads}
        for way in ways.values():
            way()  # warm up
        self.way = min(ways, key=lambda name: seconds(ways[name]))
        """The faster of the two ways to use all cores."""
        self._run = ways[self.way]

    def run(self) -> float:
        """Seconds of the forward passes over all slices."""
        return seconds(self._run)

    def _slice_a_thread(self) -> None:
        with (
            one_thread_per_operation(),
            ThreadPoolExecutor(self._threads, initializer=torch.set_num_threads, initargs=(1,)) as pool,
        ):
            for _ in pool.map(self._forward, self._inputs):
                pass

    def _all_threads(self) -> None:
        torch.set_num_threads(self._threads)
        for images in self._inputs:
            self._forward(images)

    @torch.inference_mode()
    def _forward(self, images: Tensor) -> None:
        self._network(images)


def _what_f_sees(settings: Settings, network: nn.Module, volumes: list[Volume]) -> list[Tensor]:
    """The network's inputs while the predictor proposes."""
    seen: list[Tensor] = []
    hook = network.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))  # the predictor copies it too
    predictor = Predictor(settings, network)
    hook.remove()
    for _ in predictor.propose_volumes((str(number), volume) for number, volume in enumerate(volumes)):
        pass
    return seen
