"""Varied slices as a stream: made in processes of their own while somebody trains on them, never many in memory."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from recursive_expand.errors import RecursiveExpandError
from recursive_expand.phantom.acquisition import acquire
from recursive_expand.phantom.varied_head import EXTENT_MM, paint_varied

HEADS_PER_CHUNK = 16
"""Heads whose images are shuffled with each other."""

Slice = tuple[NDArray[np.int16], NDArray[np.uint8]]


@dataclass(frozen=True)
class VariedSlices:
    """Which slices are made; the same attributes give the same slices in the same order, by however many processes.

    Attributes:
        seed: 0 or more.
        heads: number of slices painted, each of a head of its own.
        looks: how often each is imaged, every time by another scanner in another pose.
        pixel: mm.
        first: number of the first head.
    """

    seed: int
    heads: int
    looks: int
    pixel: float
    first: int = 0

    def __len__(self) -> int:
        return self.heads * self.looks

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns) of every slice."""
        rows, columns = (round(extent / self.pixel) for extent in EXTENT_MM)
        return rows, columns

    def chunk(self, number: int) -> list[Slice]:
        """The slices of one chunk, (R, C) int16 HU and (R, C) uint8 mask each, shuffled."""
        numbers = range(self.first + number * HEADS_PER_CHUNK, self.first + self.heads)[:HEADS_PER_CHUNK]
        found = []
        for head in numbers:
            painted = paint_varied(self.seed, head, pixel=self.pixel)
            found += [acquire(painted, np.random.default_rng([self.seed, head, look])) for look in range(self.looks)]
        order = np.random.default_rng([self.seed, self.first, number]).permutation(len(found))
        return [found[i] for i in order]

    @property
    def chunks(self) -> int:
        """Number of chunks."""
        return -(-self.heads // HEADS_PER_CHUNK)

    def chunk_size(self, number: int) -> int:
        """Number of slices in a chunk."""
        return min(HEADS_PER_CHUNK, self.heads - number * HEADS_PER_CHUNK) * self.looks

    def stream(self, processes: int, *, first_chunk: int = 0) -> Iterator[list[Slice]]:
        """All chunks in order.

        Args:
            processes: how many make them; 0: this one. Each is at most a few slices ahead: it waits while its pipe is
                full, and ends when the pipe is closed.
            first_chunk: where to begin.

        Raises:
            RecursiveExpandError: a process died.
        """
        if processes < 1:
            yield from map(self.chunk, range(first_chunk, self.chunks))
            return
        numbers = range(first_chunk, self.chunks)
        with ExitStack() as stack:
            every = min(processes, len(numbers))
            makers = [stack.enter_context(_Maker(self, number, every)) for number in numbers[:every]]
            for number in numbers:
                maker = makers[(number - first_chunk) % every]
                yield [maker.read(self.shape) for _ in range(self.chunk_size(number))]


class _Maker:
    """A process that makes every n-th chunk and writes it to its pipe as raw bytes.

    A plain command and not `multiprocessing`, which would import the program's main module, MONAI Label's server, into
    every process.
    """

    def __init__(self, slices: VariedSlices, first: int, every: int) -> None:
        lib = str(Path(__file__).parents[2])
        path = os.pathsep.join([lib, *filter(None, [os.environ.get("PYTHONPATH")])])
        values = [str(value) for value in (*asdict(slices).values(), first, every)]
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__, *values],
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        )

    def __enter__(self) -> _Maker:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._process.terminate()
        self._process.wait()

    def read(self, shape: tuple[int, int]) -> Slice:
        """The next slice."""
        assert self._process.stdout is not None
        pixels = shape[0] * shape[1]
        content = self._process.stdout.read(3 * pixels)
        if len(content) != 3 * pixels:
            raise RecursiveExpandError(
                f"a process that makes synthetic slices ended ({self._process.wait()}); try again"
            )
        hu = np.frombuffer(content, "<i2", pixels).reshape(shape)
        return hu, np.frombuffer(content, np.uint8, pixels, offset=2 * pixels).reshape(shape)


def _make(slices: VariedSlices, first: int, every: int, out: BinaryIO) -> None:
    for number in range(first, slices.chunks, every):
        for hu, mask in slices.chunk(number):
            out.write(hu.astype("<i2").tobytes() + mask.tobytes())
        out.flush()


if __name__ == "__main__":
    seed, heads, looks, pixel, start, first_chunk, step = sys.argv[1:]
    wanted = VariedSlices(int(seed), int(heads), int(looks), float(pixel), int(start))
    try:
        _make(wanted, int(first_chunk), int(step), sys.stdout.buffer)
    except BrokenPipeError:
        os._exit(0)  # whoever read has what it wanted; the interpreter would complain about the pipe
