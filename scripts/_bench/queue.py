"""What the servers of a small and of a large study under review need for the next sample."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path

from _bench.many_cases import READER, fill, link_cases
from _bench.material import APP, fresh_folder
from _bench.recursion import open_bench_recursion, open_review
from _bench.scale import Scale
from _bench.server import Server, serve
from _bench.timing import seconds
from recursive_expand.ledger import VerdictKind


@dataclass
class Asked:
    """What was measured of one study.

    Attributes:
        cases: its number of cases.
        over_http: seconds of each next sample asked of the server.
        in_ledger: seconds of each `Queue.next`.
        verdicts: seconds of each verdict posted.
        started_mib: resident memory of the server once it had read the study.
        ended_mib: the same after all requests.
    """

    cases: int
    over_http: list[float] = field(default_factory=list)
    in_ledger: list[float] = field(default_factory=list)
    verdicts: list[float] = field(default_factory=list)
    started_mib: float = 0.0
    ended_mib: float = 0.0


@cache
def ask_queues(scale: Scale, threads: int) -> tuple[Asked, ...]:
    """Ask a small and a large study's server in turn, with a verdict after every next sample."""
    found = tuple(Asked(cases) for cases in scale.cases)
    studies = [under_review(asked.cases, threads) for asked in found]
    with ExitStack() as stack:
        servers = []
        for asked, folder in zip(found, studies, strict=True):
            server = stack.enter_context(serve(APP, folder, {"threads": threads}, folder.with_suffix(".log")))
            server.wait(lambda status: status["state"] == "reviewing" and status["undecided"] > 0)
            server.settle()
            server.next_sample()  # warm up; the lease stays
            asked.started_mib = server.resident_mib()
            servers.append(server)
        for _ in range(scale.requests):
            for asked, server in zip(found, servers, strict=True):
                began = time.perf_counter()
                case_id = server.next_sample()
                asked.over_http.append(time.perf_counter() - began)
                asked.verdicts.append(seconds(partial(_accept, server, case_id)))
        for asked, server in zip(found, servers, strict=True):
            asked.ended_mib = server.resident_mib()
    ledgers = [open_bench_recursion(folder, {"threads": str(threads)}).ledger for folder in studies]
    for _ in range(scale.requests):
        for asked, ledger in zip(found, ledgers, strict=True):
            began = time.perf_counter()
            next_id = ledger.queue.next(READER.reviewer, now=time.time(), lease_seconds=900)
            asked.in_ledger.append(time.perf_counter() - began)
            assert next_id is not None
            proposal = ledger.proposals.current(next_id)
            assert proposal is not None
            ledger.judgements.give(READER, next_id, proposal.sha256, VerdictKind.REJECT)
    return found


def under_review(cases: int, threads: int) -> Path:
    """A study of `cases` cases with a proposal each and an open review."""
    studies = fresh_folder(f"queue_{cases}")
    link_cases(studies, cases)
    recursion = open_bench_recursion(studies, {"threads": str(threads)})
    fill(recursion)
    open_review(recursion)
    recursion.ledger.close()
    return studies


def _accept(server: Server, case_id: str) -> None:
    server.accept(case_id, server.proposal(case_id))
