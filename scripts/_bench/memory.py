"""Section `memory`: the server's resident memory at many cases against few."""

from __future__ import annotations

from _bench.queue import ask_queues
from _bench.report import Section, at_most
from _bench.scale import Scale


def measure_memory(scale: Scale, threads: int) -> Section:
    """After the start, and after the requests of section `queue`."""
    small, large = ask_queues(scale, threads)
    section = Section(
        "memory",
        f"Resident memory of the server's process once its study is read, and after {scale.requests} next samples, "
        "each with a verdict.",
    )
    for when, few, many in (
        ("after the start", small.started_mib, large.started_mib),
        (f"after {scale.requests} next samples", small.ended_mib, large.ended_mib),
    ):
        for cases, mib in ((small.cases, few), (large.cases, many)):
            section.add(f"{when}, {cases:,} cases", mib, f"{mib:,.0f} MiB")
        section.add(f"{when}: {large.cases:,} / {small.cases:,} cases", many / few, f"{many / few:.3f}x", at_most(1.1))
    return section
