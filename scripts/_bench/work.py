"""The jobs that `--against` times, with this checkout's library; `work_0_1.py` does the same with that of 0.1.0."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from _bench.jobs import serve_jobs
from _bench.many_cases import fill, judge
from _bench.recursion import open_bench_recursion, open_review, propose_all, publish
from recursive_expand.expand.due import close_review
from recursive_expand.expand.recursion import Recursion
from recursive_expand.expand.registration import register_cases
from recursive_expand.expand.training_set import build_training_set

Answer = dict[str, Any]


def propose_heads(studies: str, weights: str, sha256: str, conf: dict[str, str]) -> Answer:
    """Seconds from images to frozen proposals, with nothing cached; and the proposals."""
    recursion = _open(studies, **conf)
    publish(recursion, Path(weights), sha256)

    def act() -> None:
        register_cases(recursion)
        propose_all(recursion)

    answer = _timed(act)
    ledger = recursion.ledger
    found = {case_id: ledger.proposals.current(case_id) for case_id in ledger.cases.ids()}
    ledger.close()
    return answer | {"proposals": {case_id: one.sha256 for case_id, one in found.items() if one}}


def fill_ledger(studies: str) -> None:
    """Register images of one kind and propose them all."""
    recursion = _open(studies)
    fill(recursion)
    recursion.ledger.close()


def start_review(studies: str, ledger: str = "", judged: int = 0) -> Answer:
    """Seconds of opening the review; then so many verdicts are given."""
    recursion = _open(studies, ledger)
    answer = _timed(lambda: open_review(recursion))
    if judged:
        judge(recursion, judged)
    recursion.ledger.close()
    return answer


def end_review(studies: str, ledger: str) -> Answer:
    """Seconds of closing the review, building the next training set, and beginning the round with it."""
    recursion = _open(studies, ledger)
    rounds, method = recursion.ledger.rounds, recursion.settings.method
    closed = _timed(lambda: close_review(recursion, rounds.get(0), converged=False))
    began = time.perf_counter()
    training_set, known = build_training_set(recursion.ledger, method, 1)
    built = time.perf_counter() - began
    started = _timed(
        lambda: rounds.start(
            1,
            base_model=rounds.get(0).model,
            config=recursion.settings.round_config(),
            config_sha256="0" * 64,
            training_set=training_set.to_json(),
            training_set_sha256=training_set.sha256,
            known=known,
            report={},
        )
    )
    recursion.ledger.close()
    return {
        "close": closed["seconds"],
        "build": built,
        "start": started["seconds"],
        "training_set": training_set.sha256,
    }


def verify(studies: str, ledger: str) -> Answer:
    """Seconds of verifying the ledger."""
    recursion = _open(studies, ledger)
    found: list[object] = []
    answer = _timed(lambda: found.append(recursion.ledger.audit.verify()))
    assert found == [None], found
    recursion.ledger.close()
    return answer


def _open(studies: str, ledger: str = "", **conf: str) -> Recursion:
    where = {"ledger": f"sqlite:///{ledger}"} if ledger else {}
    return open_bench_recursion(Path(studies), {"threads": "1", **conf, **where})


def _timed(act: Callable[[], object]) -> Answer:
    began, processor = time.perf_counter(), time.process_time()
    act()
    return {"seconds": time.perf_counter() - began, "processor": time.process_time() - processor}


if __name__ == "__main__":
    serve_jobs(
        {
            "propose": propose_heads,
            "fill": fill_ledger,
            "start_review": start_review,
            "end_review": end_review,
            "verify": verify,
        }
    )
