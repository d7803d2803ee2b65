"""Timing: several paths in turn, so that other load on the machine hits all alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping


def seconds(act: Callable[[], object]) -> float:
    """Wall-clock seconds of one call."""
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


def in_turn(paths: Mapping[str, Callable[[], float]], repeats: int) -> dict[str, list[float]]:
    """Run all paths one after the other, `repeats` times over.

    Args:
        paths: name to a call that returns the seconds it counts (preparation is left out).
        repeats: at least 1.

    Returns:
        Name to the seconds of each repeat.
    """
    found: dict[str, list[float]] = {name: [] for name in paths}
    for _ in range(repeats):
        for name, path in paths.items():
            found[name].append(path())
    return found


def ratio(slow: list[float], fast: list[float]) -> float:
    """Median time over median time."""
    return statistics.median(slow) / statistics.median(fast)
