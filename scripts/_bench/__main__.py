"""Run the sections that were asked for, print them, and keep them as JSON where asked."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch
from rich.console import Console

from _bench.against import measure_against
from _bench.desk import measure_desk
from _bench.infer import measure_infer
from _bench.machine import machine, machine_line
from _bench.memory import measure_memory
from _bench.next_sample import measure_queue
from _bench.pacs import measure_pacs
from _bench.propose import measure_propose
from _bench.report import Section, as_json, table
from _bench.scale import FULL, QUICK, Scale
from _bench.start import measure_start
from _bench.train import measure_train
from recursive_expand.settings.machine import available_cores

WIDTH = 150
"""Columns of the tables where they go into a file."""
SECTIONS: dict[str, Callable[[Scale, int], Section]] = {
    "propose": measure_propose,
    "train": measure_train,
    "infer": measure_infer,
    "queue": measure_queue,
    "memory": measure_memory,
    "desk": measure_desk,
    "pacs": measure_pacs,
    "start": measure_start,
}


def parse_arguments(arguments: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="bench.py", description="Ratios measured in one run on this machine.")
    parser.add_argument("sections", nargs="*", metavar="SECTION", help="these sections (all), as with --only")
    parser.add_argument("--only", nargs="+", choices=list(SECTIONS), help="these sections (all)")
    parser.add_argument(
        "--against",
        type=Path,
        metavar="CHECKOUT",
        help="compare with an older checkout of this repository; without --only nothing else is measured",
    )
    parser.add_argument("--threads", type=int, default=available_cores(), help="CPU threads of all paths (all cores)")
    parser.add_argument("--quick", action="store_true", help="smaller studies, fewer repeats: a look, no result")
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep all numbers in this file")
    options = parser.parse_args(arguments)
    if options.threads < 1:
        parser.error(f"--threads {options.threads}: give at least 1")
    if options.against is not None:
        options.against = options.against.resolve()
        if not (options.against / "lib" / "recursive_expand").is_dir():
            parser.error(f"--against {options.against}: give the root of a checkout, with lib/recursive_expand in it")
    unknown = [name for name in options.sections if name not in SECTIONS]
    if unknown:
        parser.error(f"no section {unknown[0]}: choose from {', '.join(SECTIONS)}")
    options.only = options.only or options.sections or None
    if options.only is None:
        options.only = [] if options.against else list(SECTIONS)
    return options


def main(arguments: Sequence[str]) -> int:
    """0; the table says what was missed: a benchmark is no test."""
    options = parse_arguments(arguments)
    torch.set_num_threads(options.threads)
    os.environ["OMP_NUM_THREADS"] = str(options.threads)  # of the servers
    scale = QUICK if options.quick else FULL
    console, facts = Console(), machine(options.threads)
    if not console.is_terminal:
        console.width = WIDTH
    sections: list[Section] = []
    console.print(machine_line(facts))
    wanted = [partial(SECTIONS[name], scale) for name in options.only]
    if options.against is not None:
        wanted.append(partial(measure_against, options.against, scale))
    for measure in wanted:
        section = measure(options.threads)
        sections.append(section)
        console.print(table(section))
        if options.json is not None:
            options.json.write_text(json.dumps(as_json(facts, sections), indent=1), encoding="utf-8")
    missed = [f"{section.name}: {what}" for section in sections for what in section.missed]
    console.print(f"Missed: {'; '.join(missed)}" if missed else "Everything asked is met.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
