"""How much is measured: the whole benchmark, or a quick look."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Scale:
    """Sizes of a run.

    Attributes:
        volumes: heads of the study that is proposed.
        slices: of each head; 512 x 512 pixels.
        repeats: how often each path proposes the study; medians are shown.
        epochs: of a training that is timed.
        requests: to each server.
        cases: of the small and of the large study whose queues are asked.
    """

    volumes: int
    slices: int
    repeats: int
    epochs: int
    requests: int
    cases: tuple[int, int]


FULL = Scale(volumes=2, slices=32, repeats=3, epochs=6, requests=50, cases=(250, 25_000))
QUICK = Scale(volumes=1, slices=32, repeats=1, epochs=2, requests=15, cases=(250, 2_500))
