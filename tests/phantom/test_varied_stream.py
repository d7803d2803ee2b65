"""varied_stream.py: the same slices whoever makes them, and no process left behind."""

from __future__ import annotations

from itertools import chain

import numpy as np
import pytest

from recursive_expand.errors import RecursiveExpandError
from recursive_expand.phantom import varied_stream
from recursive_expand.phantom.varied_stream import VariedSlices

SLICES = VariedSlices(seed=3, heads=20, looks=2, pixel=6.0)


def test_any_number_of_processes_makes_the_same_slices():
    alone, together = (list(chain.from_iterable(SLICES.stream(processes))) for processes in (0, 3))
    assert len(alone) == len(together) == len(SLICES) == 40
    for (hu, mask), (other_hu, other_mask) in zip(alone, together, strict=True):
        assert hu.shape == mask.shape == SLICES.shape and hu.dtype == np.int16 and mask.dtype == np.uint8
        assert np.array_equal(hu, other_hu) and np.array_equal(mask, other_mask)


def test_later_heads_are_others():
    later = VariedSlices(seed=3, heads=2, looks=1, pixel=6.0, first=20)
    ours = [hu.tobytes() for hu, _ in chain.from_iterable(SLICES.stream(0))]
    assert not any(hu.tobytes() in ours for hu, _ in later.chunk(0))


@pytest.mark.parametrize("processes", [0, 2])
def test_a_stream_can_begin_at_any_chunk(processes):
    [last] = SLICES.stream(processes, first_chunk=1)
    assert len(last) == SLICES.chunk_size(1) == 8
    assert all(np.array_equal(a[0], b[0]) for a, b in zip(last, SLICES.chunk(1), strict=True))


def test_whoever_stops_reading_leaves_no_process(monkeypatch):
    started = []
    popen = varied_stream.subprocess.Popen
    monkeypatch.setattr(
        varied_stream.subprocess, "Popen", lambda *a, **k: started.append(popen(*a, **k)) or started[-1]
    )
    stream = SLICES.stream(2)
    next(stream)
    stream.close()
    assert len(started) == 2 and all(process.poll() is not None for process in started)


def test_a_process_that_dies_is_told(monkeypatch):
    monkeypatch.setattr(varied_stream.sys, "executable", "false")
    with pytest.raises(RecursiveExpandError, match="a process that makes synthetic slices ended"):
        next(SLICES.stream(1))
