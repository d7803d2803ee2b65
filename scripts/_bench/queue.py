"""Synthetic studies of many cases under review, and what their servers need for the next sample."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from rich.progress import track
from sqlalchemy import Engine, event

from _bench.material import APP, fresh_folder
from _bench.scale import Scale
from _bench.server import Server, serve
from _bench.study import link, open_bench_study, open_review
from _bench.timing import seconds
from recursive_expand.expand.frozen import freeze_files
from recursive_expand.expand.registration import register_cases
from recursive_expand.expand.study import Study
from recursive_expand.ledger import Ledger, ProposalDraft, VerdictKind
from recursive_expand.phantom import CLASSES, make_slice
from recursive_expand.phantom.studies import to_native, write_nifti

SIDE = 64
CLIENT = "bench"
MODEL = "0" * 64


@dataclass
class Asked:
    """What was measured of one study.

    Attributes:
        cases: its number of cases.
        over_http: seconds of each next sample asked of the server.
        in_ledger: seconds of each `Ledger.next_proposal`.
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
    studies = [many_cases(asked.cases, threads) for asked in found]
    with ExitStack() as stack:
        servers = []
        for asked, folder in zip(found, studies, strict=True):
            server = stack.enter_context(serve(APP, folder, {"threads": threads}, folder.with_suffix(".log")))
            server.wait(lambda status: status["state"] == "reviewing" and status["undecided"] > 0)
            _next_sample(server)  # warm up; the lease stays
            asked.started_mib = server.resident_mib()
            servers.append(server)
        for _ in range(scale.requests):
            for asked, server in zip(found, servers, strict=True):
                began = time.perf_counter()
                case_id = _next_sample(server)
                asked.over_http.append(time.perf_counter() - began)
                asked.verdicts.append(seconds(partial(_accept, server, case_id)))
        for asked, server in zip(found, servers, strict=True):
            asked.ended_mib = server.resident_mib()
    ledgers = [open_bench_study(folder, {"threads": str(threads)}).ledger for folder in studies]
    for _ in range(scale.requests):
        for asked, ledger in zip(found, ledgers, strict=True):
            began = time.perf_counter()
            next_id = ledger.next_proposal(CLIENT, now=time.time(), lease_seconds=900)
            asked.in_ledger.append(time.perf_counter() - began)
            assert next_id is not None
            proposal = ledger.current_proposal(next_id)
            assert proposal is not None
            ledger.decide(next_id, proposal.sha256, VerdictKind.REJECT, reviewer=CLIENT, client=CLIENT)
    return found


def _next_sample(server: Server) -> str:
    return server.post("/activelearning/recursive_expand", {"client_id": CLIENT})["id"]


def _accept(server: Server, case_id: str) -> None:
    proposal = server.get(f"/datastore/label/info?label={case_id}&tag=original")["proposal_sha256"]
    server.post("/recursive/verdicts", {"case_id": case_id, "proposal": proposal, "verdict": "accept"})


def many_cases(cases: int, threads: int) -> Path:
    """A study of `cases` cases, all of them one small slice under other names, with a proposal each and open review."""
    studies = fresh_folder(f"queue_{cases}")
    head = make_slice(1, size=SIDE, bleeds=["intraparenchymal"])
    image = studies.parent / "queue_image.nii.gz"
    write_nifti(image, to_native(head.hu, head), head.affine)
    for number in range(cases):
        link(image, studies / f"{_id(number)}.nii.gz")
    with _unsynced():
        study = open_bench_study(studies, {"threads": str(threads)})
        register_cases(study)
        _begin_round(study)
        _freeze(study, head.mask, cases)
        open_review(study)
        study.ledger.close()
    return studies


def _id(number: int) -> str:
    return f"case-{number:06d}"


def _begin_round(study: Study) -> None:
    study.ledger.start_round(
        0,
        base_model=None,
        config=study.settings.round_config(),
        config_sha256=MODEL,
        training_set={"pixel": [], "validation": [], "accepted": [], "clean": [], "verdict_ids": [], "new_slices": 0},
        training_set_sha256=MODEL,
        verdict_ids=[],
        report={},
    )
    study.ledger.publish_model(0, trained_model=MODEL, model=MODEL, promoted=True, report={})


def _freeze(study: Study, mask: np.ndarray, cases: int) -> None:
    """The first case's mask is written; the others' are further names of its file."""
    geometry = study.volume(study.ledger.case(_id(0))).geometry
    sha256 = freeze_files(study.workspace, 0, _id(0), mask, np.zeros(mask.shape, bool), geometry)
    voxels = int(np.count_nonzero(mask))
    for number in track(range(cases), f"Filling a ledger of {cases:,} cases", transient=True):
        if number:
            link(study.workspace.proposal(0, _id(0)), study.workspace.proposal(0, _id(number)))
        draft = ProposalDraft(
            case_id=_id(number),
            sha256=sha256,
            model_sha256=MODEL,
            slices=(0,),
            unchanged_slices=(),
            voxels={CLASSES[number % len(CLASSES)]: voxels},
            confidence=(number * 7919 % 1000) / 1000,
            unchanged=False,
        )
        study.ledger.freeze(0, draft)


@contextmanager
def _unsynced() -> Iterator[None]:
    """Within, ledgers are opened without waiting for the disk: the filling is not what is measured."""
    make = Ledger._engine

    def engine(url: str, *, begin: str) -> Engine:
        made = make(url, begin=begin)

        @event.listens_for(made, "connect")
        def _connect(connection: sqlite3.Connection, _record: Any) -> None:
            connection.execute("PRAGMA synchronous=OFF")

        return made

    with mock.patch.object(Ledger, "_engine", staticmethod(engine)):
        yield
