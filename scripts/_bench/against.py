"""Section `against`: an older checkout and this one do the same work in turn, each in processes of its own."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from _bench.material import bench_settings, fresh_folder, heads, weights
from _bench.report import Row, Section, at_most
from _bench.scale import Scale
from _bench.server import Server
from _bench.sides import Side, both_do, both_sides, copy_ledger, ledger_of
from _bench.timing import seconds

MOST = 1.1
"""How many times the older checkout's time or memory is still no loss: ratios of the same code vary that much."""

TRAINING_SIZE = 128
"""Pixels of the sides of the heads that f is trained on: both sides take its weights, and need masks to show alone."""

SAME_SETTINGS = {"region": "head", "working_spacing": "null"}
"""What the presets of different checkouts do not agree on: both sides propose under these settings of 0.1.0."""

Samples = dict[str, list[float]]
"""What was measured, by side."""
Units = dict[str, Callable[[float], str]]

_UNITS: Units = {
    "ms": lambda value: f"{value * 1000:,.1f}",
    "s": lambda value: f"{value:,.2f}",
    "MiB": lambda value: f"{value:,.0f}",
}


def measure_against(old: Path, scale: Scale, threads: int) -> Section:
    """Everything that issue 7 names, before and after.

    Args:
        old: the older checkout; its own `_bench/work.py` is used where it has one.
        scale: how much.
        threads: CPU threads.
    """
    few, many = scale.cases
    section = Section(
        "against",
        f"Before: {old}. Each in its own processes, in turn; fastest / median / slowest of {scale.repeats} or "
        f"{scale.requests} (requests). The ratio is now / before of the medians, in brackets of the fastest; it is met "
        f"where either is at most {MOST:g}: other load on the machine only ever adds. Of {many:,} cases half are "
        "judged while the server is asked, all of them when the round is closed.",
    )
    with both_sides(old) as sides:
        _proposing(section, sides, scale, threads)
        _memory_of_few(section, sides, few, threads)
        _many_cases(section, sides, scale, many, threads)
    return section


def compared(what: str, samples: Samples, unit: str, *, asked: bool = True) -> Row:
    """A row of both sides' samples.

    Args:
        what: what was measured.
        samples: of `now`, and of `before` where it can do that.
        unit: `ms` and `s` take seconds, `MiB` takes MiB.
        asked: whether it must be no more than before.
    """
    now, before = samples["now"], samples.get("before")
    if not before:
        return Row(f"{what} [{unit}]", statistics.median(now), "", None, "-", _spread(now, unit))
    medians = statistics.median(now) / statistics.median(before)
    fastest = min(now) / min(before)
    return Row(
        f"{what} [{unit}]",
        min(medians, fastest),
        f"{medians:.2f}x ({fastest:.2f}x)",
        at_most(MOST) if asked else None,
        _spread(before, unit),
        _spread(now, unit),
    )


def _add(section: Section, row: Row) -> None:
    """Add a row, and show it on the way: all of them take minutes."""
    section.rows.append(row)
    print(f"{row.what}: before {row.before}, now {row.now} {row.shown}", file=sys.stderr, flush=True)


def _spread(values: list[float], unit: str) -> str:
    shown = values if len(values) == 1 else [min(values), statistics.median(values), max(values)]
    return " / ".join(_UNITS[unit](value) for value in shown)


def _in_turn(sides: tuple[Side, Side], repeats: int, act: Callable[[Side], Any]) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {side.name: [] for side in sides}
    for repeat in range(repeats):
        for side in sides if repeat % 2 == 0 else sides[::-1]:  # neither always follows the other
            found[side.name].append(act(side))
    return found


def _pick(answers: dict[str, list[dict[str, Any]]], key: str) -> Samples:
    return {name: [answer[key] for answer in given] for name, given in answers.items()}


def _proposing(section: Section, sides: tuple[Side, Side], scale: Scale, threads: int) -> None:
    file, sha256 = weights(bench_settings(threads), TRAINING_SIZE)
    images = heads(scale.volumes, scale.slices)
    slices = scale.volumes * scale.slices
    studies: dict[str, Path] = {}

    def propose(side: Side) -> dict[str, Any]:
        studies[side.name] = side.heads(images)
        arguments = {"weights": str(file), "sha256": sha256, "conf": {**SAME_SETTINGS, "threads": str(threads)}}
        return side.worker.do("propose", studies=str(studies[side.name]), **arguments)

    _in_turn(sides, 1, propose)  # warm up
    answers = _in_turn(sides, scale.repeats, propose)
    took, processor = _pick(answers, "seconds"), _pick(answers, "processor")
    _add(section, compared(f"proposing {slices} slices of 512x512", took, "s"))
    _add(section, compared("the same, processor time", processor, "s"))
    for side in sides:
        rate = slices / statistics.median(took[side.name])
        section.add(f"slices per second, {side.name}", rate, f"{rate:.1f}")
    same = answers["before"][0]["proposals"] == answers["now"][0]["proposals"]
    section.add("the same proposals, by their hashes", float(same), "yes" if same else "NO")
    both_do(sides, "start_review", studies)
    with ExitStack() as stack:
        servers = _start(stack, sides, studies, threads)
        case_id = next(iter(answers["now"][0]["proposals"]))
        ask: Callable[[Side], float] = lambda side: seconds(  # noqa: E731
            lambda: servers[side.name].infer("recursive_ich", case_id)
        )
        _in_turn(sides, 2, ask)  # warm up
        _add(section, compared("POST /infer of a proposal that exists", _in_turn(sides, scale.requests, ask), "ms"))


def _memory_of_few(section: Section, sides: tuple[Side, Side], cases: int, threads: int) -> None:
    studies = {side.name: side.many(cases) for side in sides}
    both_do(sides, "fill", studies)
    both_do(sides, "start_review", studies, judged=cases // 2)
    with ExitStack() as stack:
        servers = _start(stack, sides, studies, threads)
        for server in servers.values():
            server.next_sample()
        _add(section, compared(f"server's resident memory, {cases:,} cases", _resident(servers), "MiB"))


def _many_cases(section: Section, sides: tuple[Side, Side], scale: Scale, cases: int, threads: int) -> None:
    studies = {side.name: side.many(cases) for side in sides}
    both_do(sides, "fill", studies)
    copies = fresh_folder("against_ledgers")
    proposed = {
        side.name: copy_ledger(ledger_of(studies[side.name]), copies / f"{side.name}_proposed.sqlite") for side in sides
    }
    both_do(sides, "start_review", studies, judged=cases // 2)
    with ExitStack() as stack:
        servers = _start(stack, sides, studies, threads)
        _ask_servers(section, sides, servers, studies, scale, cases)

    def trial(side: Side, ledgers: dict[str, Path]) -> dict[str, str]:
        ledger = copy_ledger(ledgers[side.name], copies / f"{side.name}.sqlite")
        return {"studies": str(studies[side.name]), "ledger": str(ledger)}

    opened = _in_turn(sides, scale.repeats, lambda side: side.worker.do("start_review", **trial(side, proposed)))
    _add(section, compared(f"opening a review of {cases:,}", _pick(opened, "seconds"), "s"))
    judged = {side.name: copy_ledger(proposed[side.name], copies / f"{side.name}_judged.sqlite") for side in sides}
    for side in sides:
        arguments = {"studies": str(studies[side.name]), "ledger": str(judged[side.name])}
        side.worker.do("start_review", **arguments, judged=cases)
    ended = _in_turn(sides, scale.repeats, lambda side: side.worker.do("end_review", **trial(side, judged)))
    for key, what in (
        ("close", f"closing a round of {cases:,} verdicts"),
        ("build", "building the next training set"),
        ("start", "starting the round with it"),
    ):
        _add(section, compared(what, _pick(ended, key), "s"))
    whole = {name: [sum(one[key] for key in ("close", "build", "start")) for one in ended[name]] for name in ended}
    _add(section, compared("all three", whole, "s"))
    same = ended["before"][0]["training_set"] == ended["now"][0]["training_set"]
    section.add("the same training set, by its hash", float(same), "yes" if same else "NO")
    checked = _in_turn(sides, scale.repeats, lambda side: side.worker.do("verify", **trial(side, judged)))
    what = f"verifying the ledger of {cases:,} judged cases (before: its chain alone)"
    _add(section, compared(what, _pick(checked, "seconds"), "s", asked=False))


def _ask_servers(
    section: Section,
    sides: tuple[Side, Side],
    servers: dict[str, Server],
    studies: dict[str, Path],
    scale: Scale,
    cases: int,
) -> None:
    start = {name: [sum(server.process.cpu_times()[:2])] for name, server in servers.items()}
    _add(section, compared(f"start of the server, {cases:,} cases, processor time", start, "s", asked=False))
    for server in servers.values():
        server.next_sample()  # warm up; the lease stays
    _add(section, compared(f"server's resident memory, {cases:,} cases", _resident(servers), "MiB"))

    def sample_and_judge(side: Side) -> dict[str, float]:
        server, served = servers[side.name], []
        asked = seconds(lambda: served.append(server.next_sample()))
        proposal = server.proposal(served[0])
        judged = seconds(lambda: server.accept(served[0], proposal))
        written = studies[side.name] / "labels" / "final" / f"{served[0]}.nii.gz"
        assert written.is_file(), f"{written} is not there when the verdict is answered"
        return {"next": asked, "verdict": judged}

    _in_turn(sides, 3, sample_and_judge)  # warm up
    answers = _in_turn(sides, scale.requests, sample_and_judge)
    _add(section, compared(f"next sample of {cases:,}", _pick(answers, "next"), "ms"))
    _add(section, compared("a verdict with its label file", _pick(answers, "verdict"), "ms"))
    for what, path in (("status", "/recursive/status"), ("datastore list", "/datastore/?output=all")):
        times = _in_turn(sides, scale.repeats * 2, lambda side: seconds(lambda: servers[side.name].get(path)))  # noqa: B023
        _add(section, compared(f"{what}, {cases:,} cases", times, "ms"))
    _add(section, compared("server's resident memory after all that", _resident(servers), "MiB"))


def _start(stack: ExitStack, sides: tuple[Side, Side], studies: dict[str, Path], threads: int) -> dict[str, Server]:
    servers = {}
    for side in sides:
        server = stack.enter_context(side.serve(studies[side.name], threads))
        server.wait(lambda status: status["state"] == "reviewing" and status["undecided"] > 0)
        server.settle()
        servers[side.name] = server
    return servers


def _resident(servers: dict[str, Server]) -> Samples:
    return {name: [server.resident_mib()] for name, server in servers.items()}
