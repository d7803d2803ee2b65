"""Section `queue`: the next sample of a large study against that of a small one."""

from __future__ import annotations

import statistics

from _bench.queue import ask_queues
from _bench.report import Section, at_most
from _bench.scale import Scale
from _bench.timing import ratio


def measure_queue(scale: Scale, threads: int) -> Section:
    """Over HTTP, and the ledger's part alone."""
    small, large = ask_queues(scale, threads)
    section = Section(
        "queue",
        f"POST /activelearning/recursive_expand; medians of {scale.requests} requests to each server in turn, an "
        "accepting verdict after each.",
    )
    for what, name in (
        ("next sample over HTTP", "over_http"),
        ("next sample, the ledger alone", "in_ledger"),
        ("a verdict over HTTP, with its label file", "verdicts"),
    ):
        few, many = getattr(small, name), getattr(large, name)
        for asked, times in ((small, few), (large, many)):
            median = statistics.median(times) * 1000
            section.add(f"{what}, {asked.cases:,} cases", median, f"{median:.1f} ms")
        longer = ratio(many, few)
        bar = None if name == "verdicts" else at_most(2)
        section.add(f"{what}: {large.cases:,} / {small.cases:,} cases", longer, f"{longer:.2f}x", bar)
    return section
