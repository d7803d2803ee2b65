"""The jobs of `work.py` with the library of 0.1.0, whose ledger is one class and keeps its state in columns."""

# ruff: noqa: I001
# mypy: ignore-errors
# What it imports is another checkout's.

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import recursive_expand
from sqlalchemy import insert, select, update

from _bench.files import link
from _bench.jobs import serve_jobs
from recursive_expand.expand.frozen import freeze_files
from recursive_expand.expand.labels import write_labels
from recursive_expand.expand.ordering import queue_order
from recursive_expand.expand.proposing import cases_to_propose, propose
from recursive_expand.expand.registration import _signature, register_cases
from recursive_expand.expand.rounds import _close
from recursive_expand.expand.study import open_study
from recursive_expand.expand.training_set import build_training_set
from recursive_expand.ledger import CaseEntry, ProposalState, VerdictKind, chain
from recursive_expand.ledger.store import utc_now
from recursive_expand.ledger.tables import cases, proposals, verdicts
from recursive_expand.phantom import CLASSES, make_slice
from recursive_expand.segment.predict import Predictor

TASK_FILE = Path(recursive_expand.__file__).parents[2] / "apps" / "recursive_ich" / "task.yaml"
MODEL = "0" * 64
READER = "bench"
REJECTED_OF = 5


def propose_heads(studies, weights, sha256, conf):
    study = _open(studies, **conf)  # 0.1.0 passes over what it does not know
    link(Path(weights), study.workspace.model(sha256))
    _begin_round(study, sha256)

    def act():
        register_cases(study)
        predictor = Predictor(study.task, study.network(sha256))
        for _ in propose(study, predictor, sha256, 0, cases_to_propose(study, 0)):
            pass

    answer = _timed(act)
    found = {case_id: study.ledger.current_proposal(case_id) for case_id in study.ledger.case_ids()}
    study.ledger.close()
    return answer | {"proposals": {case_id: one.sha256 for case_id, one in found.items() if one}}


def fill_ledger(studies):
    study = _open(studies)
    found = study.archive.scan().cases
    study.ledger.register([CaseEntry(one.case_id, one.role, str(one.path), _signature(one), slices=1) for one in found])
    _begin_round(study, MODEL)
    mask = make_slice(1, size=64, bleeds=["intraparenchymal"]).mask
    first = found[0].case_id
    geometry = study.volume(study.ledger.case(first)).geometry
    sha256 = freeze_files(study.workspace, 0, first, mask, np.zeros(mask.shape, bool), geometry)
    rows = []
    for number, one in enumerate(found):
        if number:
            link(study.workspace.proposal(0, first), study.workspace.proposal(0, one.case_id))
        name = CLASSES[number % len(CLASSES)]
        rows.append(
            {
                "case_id": one.case_id,
                "round": 0,
                "sha256": sha256,
                "model_sha256": MODEL,
                "state": ProposalState.OPEN,
                "slices": [0],
                "unchanged_slices": [],
                "voxels": {name: int(np.count_nonzero(mask))},
                "confidence": (number * 7919 % 1000) / 1000,
                "leading_class": name,
            }
        )
    logged = ("case_id", "round", "state")
    with study.ledger.write() as connection:
        connection.execute(insert(proposals), rows)
        events = [
            ("proposal_frozen", {key: row[key] for key in logged} | {"proposal": sha256, "model": MODEL})
            for row in rows
        ]
        chain.append(connection, utc_now(), events)
    study.ledger.close()


def start_review(studies, ledger="", judged=0):
    study = _open(studies, ledger)

    def act():
        candidates = study.ledger.open_candidates()
        order = queue_order((one.proposal_id, one.leading_class, one.confidence) for one in candidates)
        study.ledger.open_review(0, order=order, report={})

    answer = _timed(act)
    if judged:
        _judge(study, judged)
    study.ledger.close()
    return answer


def end_review(studies, ledger):
    study = _open(studies, ledger)
    closed = _timed(lambda: _close(study, study.ledger.round(0), converged=False))
    began = time.perf_counter()
    training_set = build_training_set(study.ledger, study.task, 1)
    built = time.perf_counter() - began
    started = _timed(
        lambda: study.ledger.start_round(
            1,
            base_model=study.ledger.round(0).model,
            config=study.task.model_dump(mode="json"),
            config_sha256="0" * 64,
            training_set=training_set.to_json(),
            training_set_sha256=training_set.sha256,
            verdict_ids=training_set.verdict_ids,
            report={},
        )
    )
    study.ledger.close()
    return {
        "close": closed["seconds"],
        "build": built,
        "start": started["seconds"],
        "training_set": training_set.sha256,
    }


def verify(studies, ledger):
    study = _open(studies, ledger)
    answer = _timed(study.ledger.first_broken_event)
    study.ledger.close()
    return answer


def _judge(study, number):
    with study.ledger.write() as connection:
        waiting = select(proposals).where(proposals.c.state == ProposalState.OPEN).order_by(proposals.c.position)
        rows = []
        for index, row in enumerate(connection.execute(waiting.limit(number)), start=1):
            accepted = index % REJECTED_OF > 0
            rows.append(
                {
                    "proposal_id": row.proposal_id,
                    "case_id": row.case_id,
                    "round": 0,
                    "verdict": VerdictKind.ACCEPT if accepted else VerdictKind.REJECT,
                    "accepted_slices": [0] if accepted else [],
                    "rejected_slices": [] if accepted else [0],
                    "reviewer": READER,
                    "client": READER,
                    "ts": utc_now(),
                }
            )
        connection.execute(insert(verdicts), rows)
        chain.append(connection, utc_now(), [("verdict", row) for row in rows])
        judged = select(verdicts.c.proposal_id)
        decided = {"state": ProposalState.DECIDED, "position": None}
        connection.execute(update(proposals).where(proposals.c.proposal_id.in_(judged)).values(decided))
        for kind, shown in (
            (VerdictKind.ACCEPT, {"has_final": True, "settled": True}),
            (VerdictKind.REJECT, {"has_rejected": True}),
        ):
            of_kind = select(verdicts.c.case_id).where(verdicts.c.verdict == kind)
            connection.execute(update(cases).where(cases.c.case_id.in_(of_kind)).values(shown))
    for kind, tag in ((VerdictKind.ACCEPT, "final"), (VerdictKind.REJECT, "rejected")):
        case_ids = [row["case_id"] for row in rows if row["verdict"] is kind]
        if not case_ids:
            continue
        write_labels(study, case_ids[0])
        folder = study.archive.label_path(case_ids[0], tag).parent
        for case_id in case_ids[1:]:
            for extension in (".nii.gz", ".json"):
                if not (folder / f"{case_id}{extension}").exists():
                    link(folder / f"{case_ids[0]}{extension}", folder / f"{case_id}{extension}")


def _begin_round(study, sha256):
    training_set = build_training_set(study.ledger, study.task, 0)
    study.ledger.start_round(
        0,
        base_model=None,
        config=study.task.model_dump(mode="json"),
        config_sha256="0" * 64,
        training_set=training_set.to_json(),
        training_set_sha256=training_set.sha256,
        verdict_ids=[],
        report={},
    )
    study.ledger.publish_model(0, trained_model=sha256, model=sha256, promoted=True, report={})


def _open(studies, ledger="", **conf):
    where = {"ledger": f"sqlite:///{ledger}"} if ledger else {}
    return open_study(studies, TASK_FILE, {"flips": "false", "threads": "1", **conf, **where})


def _timed(act):
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
