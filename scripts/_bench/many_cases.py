"""Studies of many cases, all of them one small slice under other names, with a proposal each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import Connection, Table, func, insert, select, true

from _bench.files import link
from _bench.recursion import begin_round
from recursive_expand.cases import LabelMap
from recursive_expand.expand.frozen import freeze_files
from recursive_expand.expand.labels import write_labels
from recursive_expand.expand.recursion import Recursion
from recursive_expand.ledger import Actor, CaseEntry, ProposalState, VerdictKind, chain
from recursive_expand.ledger.audited import rows_of
from recursive_expand.ledger.states import refresh
from recursive_expand.ledger.store import utc_now
from recursive_expand.ledger.tables import judgements, outbox, proposal_slices, proposals, verdicts
from recursive_expand.phantom import CLASSES, make_slice
from recursive_expand.phantom.studies import to_native, write_nifti

SIDE = 64
MODEL = "0" * 64
READER = Actor("bench", "bench")
REJECTED_OF = 5
"""Every fifth proposal is rejected."""


def link_cases(studies: Path, cases: int, *, side: int = SIDE) -> None:
    """A folder of so many images, squares of `side` pixels: one file under many names."""
    head = make_slice(1, size=side, bleeds=["intraparenchymal"])
    image = studies.parent / f"{studies.name}_image.nii.gz"
    write_nifti(image, to_native(head.hu, head), head.affine)
    for number in range(cases):
        link(image, studies / f"{case_name(number)}.nii.gz")


def case_name(number: int) -> str:
    """The id of a case."""
    return f"case-{number:06d}"


def fill(recursion: Recursion, *, side: int = SIDE, model: str = MODEL) -> None:
    """Register every image, decoding the first alone, and begin round 0, of this model, with a proposal for each.

    The rows and events are those that freezing one by one writes, in one transaction. The review is not opened.
    """
    found = recursion.archive.scan().cases
    entries = [CaseEntry(one.case_id, one.role, f"{one.case_id}.nii.gz", one.signature, slices=1) for one in found]
    recursion.ledger.cases.register(entries)
    begin_round(recursion, model)
    mask = make_slice(1, size=side, bleeds=["intraparenchymal"]).mask
    geometry = recursion.archive.read_volume(found[0].case_id).geometry
    label = LabelMap.from_slices(mask, geometry, recursion.settings.task.classes)
    file = freeze_files(recursion.workspace, label, np.zeros(mask.shape, bool))
    made, marked = [], []
    for number, one in enumerate(found):
        confidence, name = (number * 7919 % 1000) / 1000, CLASSES[number % len(CLASSES)]
        made.append(
            {
                "proposal_id": number + 1,
                "case_id": one.case_id,
                "round": 0,
                "sha256": label.sha256,
                "chance": 0,
                "model_sha256": model,
                "file": file,
                "made_as": ProposalState.OPEN,
                "served": False,
                "state": ProposalState.OPEN,
                "unchanged_slices": [],
                "confidence": confidence,
                "leading_class": name,
                "sort_key": number,
            }
        )
        marked.append(
            {
                "proposal_id": number + 1,
                "slice": 0,
                "class": name,
                "voxels": int(np.count_nonzero(mask)),
                "confidence": confidence,
            }
        )
    with recursion.ledger._store.write() as connection:
        connection.execute(insert(proposals), made)
        connection.execute(insert(proposal_slices), marked)
        refresh(connection, true())
        bodies = [{"case_id": one["case_id"], "round": 0, "proposal": label.sha256} for one in made]
        _append(connection, "proposal_frozen", bodies, (proposals, proposal_slices), 0)


def judge(recursion: Recursion, cases: int) -> None:
    """Give a verdict on the next `cases` proposals, as one reader does, and make their label objects."""
    with recursion.ledger._store.write() as connection:
        given = connection.execute(select(func.count()).select_from(verdicts)).scalar_one()
        waiting = select(proposals).where(proposals.c.state == ProposalState.OPEN).order_by(proposals.c.sort_key)
        said, slices, written = [], [], []
        for number, row in enumerate(connection.execute(waiting.limit(cases)), start=given + 1):
            accepted = number % REJECTED_OF > 0
            said.append(
                {
                    "verdict_id": number,
                    "proposal_id": row.proposal_id,
                    "case_id": row.case_id,
                    "round": 0,
                    "verdict": VerdictKind.ACCEPT if accepted else VerdictKind.REJECT,
                    "reviewer": READER.reviewer,
                    "client": READER.client,
                    "authenticated": False,
                    "ts": utc_now(),
                }
            )
            slices.append({"verdict_id": number, "slice": 0, "accepted": accepted})
            sent = {"queued": utc_now(), "attempts": 0, "not_before": 0.0, "sent": utc_now()}
            written.append({"case_id": row.case_id, **sent})
        connection.execute(insert(verdicts), said)
        connection.execute(insert(judgements), slices)
        connection.execute(insert(outbox), written)
        refresh(connection, true())
        bodies = [{"case_id": one["case_id"]} for one in said]
        _append(connection, "verdict", bodies, (verdicts, judgements), given)
    for kind, tag in ((VerdictKind.ACCEPT, "final"), (VerdictKind.REJECT, "rejected")):
        _put_labels(recursion, [one["case_id"] for one in said if one["verdict"] is kind], tag)


def _put_labels(recursion: Recursion, case_ids: list[str], tag: str) -> None:
    """The label of the first of these cases is written, the others' are further names of its files."""
    if not case_ids:
        return
    write_labels(recursion, case_ids[0])
    written = recursion.archive.label_file(case_ids[0], tag)
    for case_id in case_ids[1:]:
        for extension in (".nii.gz", ".json"):
            target = written.with_name(f"{case_id}{extension}")
            if not target.exists():
                link(written.with_name(f"{case_ids[0]}{extension}"), target)


def _append(
    connection: Connection, kind: str, bodies: list[dict[str, Any]], tables: tuple[Table, ...], skip: int
) -> None:
    """An event for each body, with its row of each table; the first `skip` rows were recorded before."""
    rows = [list(rows_of(connection, table))[skip:] for table in tables]
    entries = [
        (kind, body | {"rows": {table.name: [row] for table, row in zip(tables, each, strict=True)}})
        for body, *each in zip(bodies, *rows, strict=True)
    ]
    chain.append(connection, utc_now(), entries)
