"""Section `start`: how soon a review without a model answers, and what it weighs, against the normal start."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path

from _bench.many_cases import fill, link_cases
from _bench.material import APP, fresh_folder
from _bench.recursion import open_bench_recursion, open_review
from _bench.report import Section, at_least
from _bench.scale import Scale
from _bench.server import OUR_ENTRY, STOCK_ENTRY, serve
from _bench.timing import in_turn, ratio

CASES = 100
STARTS = 3
WAYS = {
    "recursive-expand serve --conf train off": (OUR_ENTRY, {"train": "off"}),
    "monailabel start_server": (STOCK_ENTRY, {}),
}


def measure_start(scale: Scale, threads: int) -> Section:
    """From the command to the first answer, and resident memory once the server has settled."""
    studies = fresh_folder("start")
    link_cases(studies, CASES)
    recursion = open_bench_recursion(studies, {"threads": str(threads)})
    fill(recursion)
    open_review(recursion)
    recursion.ledger.close()
    resident: dict[str, list[float]] = {name: [] for name in WAYS}
    times = in_turn({name: _starting(name, studies, resident[name]) for name in WAYS}, min(STARTS, scale.repeats))
    ours, normal = WAYS
    section = Section(
        "start",
        f"A study of {CASES} proposals under review; medians of {len(times[ours])} starts in turn. A server whose "
        "masks are all there does not import PyTorch.",
    )
    for name in WAYS:
        median = statistics.median(times[name])
        section.add(f"{name}: until it answers", median, f"{median:.1f} s")
    section.add(
        "until it answers, normal / ours",
        ratio(times[normal], times[ours]),
        f"{ratio(times[normal], times[ours]):.1f}x",
        at_least(1),
    )
    for name in WAYS:
        section.add(f"{name}: resident memory", resident[name][-1], f"{statistics.median(resident[name]):.0f} MiB")
    lighter = ratio(resident[normal], resident[ours])
    section.add("resident memory, normal / ours", lighter, f"{lighter:.1f}x", at_least(2))
    return section


def _starting(name: str, studies: Path, resident: list[float]) -> Callable[[], float]:
    """Starts a server; returns the seconds until it answers, and notes its MiB."""
    entry, conf = WAYS[name]

    def start() -> float:
        began = time.perf_counter()
        with serve(APP, studies, conf, studies.with_suffix(".log"), entry=entry) as server:
            took = time.perf_counter() - began
            server.settle()
            resident.append(server.resident_mib())
        return took

    return start
