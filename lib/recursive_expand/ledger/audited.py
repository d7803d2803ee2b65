"""Which columns the audit covers, and rows of them as events keep them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

from sqlalchemy import JSON, ColumnElement, Connection, Table, select

from recursive_expand.ledger.chain import canonical
from recursive_expand.ledger.tables import (
    cases,
    judgements,
    proposal_slices,
    proposals,
    reading_facts,
    rounds,
    verdicts,
)

AUDITED: dict[Table, tuple[str, ...]] = {
    cases: ("case_id", "role", "patient", "state", "slices", "image_labels", "pixel_sha256", "validation"),
    rounds: (
        "round",
        "state",
        "base_model",
        "trained_model",
        "model",
        "promoted",
        "config",
        "config_sha256",
        "training_set",
        "training_set_sha256",
        "last_verdict",
        "head",
    ),
    proposals: (
        "proposal_id",
        "case_id",
        "round",
        "chance",
        "sha256",
        "model_sha256",
        "file",
        "made_as",
        "served",
        "unchanged_slices",
        "tool",
        "follows",
    ),
    proposal_slices: ("proposal_id", "slice", "class", "voxels"),
    verdicts: (
        "verdict_id",
        "proposal_id",
        "case_id",
        "round",
        "verdict",
        "reviewer",
        "client",
        "authenticated",
        "reason",
        "comment",
        "ts",
        "withdrawn",
    ),
    judgements: ("verdict_id", "slice", "accepted"),
    reading_facts: tuple(column.name for column in reading_facts.columns),
}
"""Columns by table: all that training, proposals and label objects follow from. Parents come before their children."""

DIGESTED = ("config", "training_set")
"""Large columns, of which events keep the SHA-256 of the canonical JSON."""


def rows_of(connection: Connection, table: Table, where: ColumnElement[bool] | None = None) -> Iterator[list[Any]]:
    """Audited rows of a table, their values in the order of `AUDITED`, in the order of the primary key."""
    columns = [table.c[name] for name in AUDITED[table]]
    query = select(*columns).order_by(*table.primary_key)
    if where is not None:
        query = query.where(where)
    digested = [index for index, column in enumerate(columns) if column.name in DIGESTED]
    assert all(isinstance(columns[index].type, JSON) for index in digested)
    for found in connection.execute(query).yield_per(1000):
        row = list(found)
        for index in digested:
            row[index] = hashlib.sha256(canonical(row[index]).encode()).hexdigest()
        yield row
