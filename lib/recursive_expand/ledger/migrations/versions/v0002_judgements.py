"""Judgements by slice, an outbox, derived states, and rounds that keep the chain's head."""

from __future__ import annotations

import json
from pathlib import PurePath
from typing import Any

from alembic import op
from sqlalchemy import Connection, inspect, text

revision = "0002"
down_revision = "0001"

GENESIS = "0" * 64
REBUILT = ("leases", "label_notes", "verdicts", "proposals", "rounds", "cases")
"""Tables that are made anew, children before their parents."""
OLD_INDICES = (
    "cases_has_final",
    "cases_labels_pending",
    "cases_role",
    "cases_uri",
    "leases_client",
    "proposals_queue",
    "proposals_round",
    "verdicts_case",
    "verdicts_proposal",
    "verdicts_round",
)
ADDED_BEFORE = {"cases": "patient VARCHAR", "proposals": "features JSON, score FLOAT"}
"""Columns that the first builds of 0.1.0 did not have."""

TABLES = (
    """
    CREATE TABLE cases (
        case_id VARCHAR NOT NULL,
        role VARCHAR NOT NULL,
        patient VARCHAR,
        state VARCHAR NOT NULL,
        reason TEXT,
        name TEXT NOT NULL,
        signature VARCHAR NOT NULL,
        slices INTEGER NOT NULL,
        image_labels JSON NOT NULL,
        pixel_sha256 VARCHAR(64),
        validation BOOLEAN NOT NULL,
        series_instance_uid VARCHAR(64),
        info JSON NOT NULL,
        PRIMARY KEY (case_id)
    )
    """,
    """
    CREATE TABLE rounds (
        round INTEGER NOT NULL,
        state VARCHAR NOT NULL,
        error TEXT,
        started VARCHAR NOT NULL,
        opened VARCHAR,
        finished VARCHAR,
        base_model VARCHAR(64),
        trained_model VARCHAR(64),
        model VARCHAR(64),
        promoted BOOLEAN,
        config JSON NOT NULL,
        config_sha256 VARCHAR(64) NOT NULL,
        training_set JSON NOT NULL,
        training_set_sha256 VARCHAR(64) NOT NULL,
        last_verdict INTEGER NOT NULL,
        head VARCHAR(64) NOT NULL,
        report JSON NOT NULL,
        attempts INTEGER NOT NULL,
        PRIMARY KEY (round)
    )
    """,
    """
    CREATE TABLE leases (
        case_id VARCHAR NOT NULL,
        reader VARCHAR NOT NULL,
        expires FLOAT NOT NULL,
        PRIMARY KEY (case_id, reader),
        FOREIGN KEY(case_id) REFERENCES cases (case_id)
    )
    """,
    """
    CREATE TABLE outbox (
        entry_id INTEGER NOT NULL,
        case_id VARCHAR NOT NULL,
        queued VARCHAR NOT NULL,
        attempts INTEGER NOT NULL,
        not_before FLOAT NOT NULL,
        error TEXT,
        sent VARCHAR,
        PRIMARY KEY (entry_id),
        FOREIGN KEY(case_id) REFERENCES cases (case_id)
    )
    """,
    """
    CREATE TABLE proposals (
        proposal_id INTEGER NOT NULL,
        case_id VARCHAR NOT NULL,
        round INTEGER NOT NULL,
        sha256 VARCHAR(64) NOT NULL,
        model_sha256 VARCHAR(64) NOT NULL,
        file TEXT NOT NULL,
        made_as VARCHAR NOT NULL,
        served BOOLEAN NOT NULL,
        unchanged_slices JSON NOT NULL,
        confidence FLOAT NOT NULL,
        leading_class VARCHAR,
        log_area FLOAT,
        components INTEGER,
        flip_dice FLOAT,
        state VARCHAR NOT NULL,
        sort_key INTEGER NOT NULL,
        score FLOAT,
        PRIMARY KEY (proposal_id),
        UNIQUE (case_id, round),
        FOREIGN KEY(case_id) REFERENCES cases (case_id),
        FOREIGN KEY(round) REFERENCES rounds (round)
    )
    """,
    """
    CREATE TABLE proposal_slices (
        proposal_id INTEGER NOT NULL,
        slice INTEGER NOT NULL,
        class VARCHAR NOT NULL,
        voxels INTEGER NOT NULL,
        confidence FLOAT,
        PRIMARY KEY (proposal_id, slice, class),
        FOREIGN KEY(proposal_id) REFERENCES proposals (proposal_id)
    )
    """,
    """
    CREATE TABLE verdicts (
        verdict_id INTEGER NOT NULL,
        proposal_id INTEGER NOT NULL,
        case_id VARCHAR NOT NULL,
        round INTEGER NOT NULL,
        verdict VARCHAR NOT NULL,
        reviewer VARCHAR NOT NULL,
        client VARCHAR NOT NULL,
        authenticated BOOLEAN NOT NULL,
        reason TEXT,
        comment TEXT,
        seconds FLOAT,
        ts VARCHAR NOT NULL,
        withdrawn VARCHAR,
        PRIMARY KEY (verdict_id),
        FOREIGN KEY(proposal_id) REFERENCES proposals (proposal_id),
        FOREIGN KEY(case_id) REFERENCES cases (case_id)
    )
    """,
    """
    CREATE TABLE judgements (
        verdict_id INTEGER NOT NULL,
        slice INTEGER NOT NULL,
        accepted BOOLEAN NOT NULL,
        PRIMARY KEY (verdict_id, slice),
        FOREIGN KEY(verdict_id) REFERENCES verdicts (verdict_id)
    )
    """,
    """
    CREATE TABLE label_notes (
        case_id VARCHAR NOT NULL,
        tag VARCHAR NOT NULL,
        info JSON NOT NULL,
        PRIMARY KEY (case_id, tag),
        FOREIGN KEY(case_id) REFERENCES cases (case_id)
    )
    """,
)
INDICES = (
    "CREATE INDEX cases_role ON cases (state, role, case_id)",
    "CREATE INDEX leases_reader ON leases (reader, expires)",
    "CREATE INDEX outbox_case ON outbox (case_id, sent)",
    "CREATE INDEX outbox_waiting ON outbox (sent, not_before)",
    "CREATE INDEX proposals_queue ON proposals (state, sort_key)",
    "CREATE INDEX proposals_round ON proposals (round, state)",
    "CREATE INDEX proposals_sort_key ON proposals (sort_key)",
    "CREATE INDEX rounds_last_verdict ON rounds (last_verdict, round)",
    "CREATE INDEX verdicts_case ON verdicts (case_id, withdrawn, verdict)",
    "CREATE INDEX verdicts_proposal ON verdicts (proposal_id)",
    "CREATE INDEX verdicts_round ON verdicts (round, withdrawn)",
)


def upgrade() -> None:
    """Make the new tables and bring the old rows over."""
    connection = op.get_bind()
    _add_missing(connection)
    for name in OLD_INDICES:
        op.execute(f"DROP INDEX IF EXISTS {name}")
    for name in REBUILT:
        op.execute(f"ALTER TABLE {name} RENAME TO old_{name}")
    for statement in TABLES:
        op.execute(statement)
    _copy_cases(connection)
    _copy_rounds(connection)
    _copy_proposals(connection)
    _copy_verdicts(connection)
    _insert(connection, "label_notes", _rows(connection, "label_notes"))
    _insert(
        connection,
        "leases",
        [
            {"case_id": row["case_id"], "reader": row["client"], "expires": row["expires"]}
            for row in _rows(connection, "leases")
        ],
    )
    for name in REBUILT:
        op.execute(f"DROP TABLE old_{name}")
    for statement in INDICES:
        op.execute(statement)


def _add_missing(connection: Connection) -> None:
    for table, columns in ADDED_BEFORE.items():
        there = {column["name"] for column in inspect(connection).get_columns(table)}
        for column in columns.split(", "):
            if column.split()[0] not in there:
                op.execute(f"ALTER TABLE {table} ADD COLUMN {column}")


def _copy_cases(connection: Connection) -> None:
    rows = _rows(connection, "cases")
    same = (
        "case_id",
        "role",
        "patient",
        "state",
        "reason",
        "slices",
        "image_labels",
        "pixel_sha256",
        "validation",
        "info",
    )
    # Signatures are made of other things now: every image is looked at once more.
    _insert(
        connection,
        "cases",
        [
            {name: row[name] for name in same} | {"name": PurePath(row["uri"]).name or row["case_id"], "signature": ""}
            for row in rows
        ],
    )
    queued = connection.execute(text("SELECT COALESCE(MAX(ts), '') FROM events")).scalar_one()
    _insert(
        connection,
        "outbox",
        [
            {"case_id": row["case_id"], "queued": queued, "attempts": 0, "not_before": 0.0}
            for row in rows
            if row["labels_pending"]
        ],
    )


def _copy_rounds(connection: Connection) -> None:
    opened = {event["round"]: ts for ts, _, event in _events(connection, "review_opened")}
    heads = {event["round"]: previous for _, previous, event in _events(connection, "round_started")}
    used = "SELECT COALESCE(MAX(verdict_id), 0) FROM old_verdicts WHERE used_by <= :round"
    rows = []
    for row in _rows(connection, "rounds"):
        number = row["round"]
        rows.append(
            row
            | {
                "opened": opened.get(number),
                "last_verdict": connection.execute(text(used), {"round": number}).scalar_one(),
                "head": heads.get(number, GENESIS),
            }
        )
    _insert(connection, "rounds", rows)


def _copy_proposals(connection: Connection) -> None:
    made_as = {
        (event["case_id"], event["round"]): event["state"] for _, _, event in _events(connection, "proposal_frozen")
    }
    rows, marked = [], []
    old = _rows(connection, "proposals")
    last = max((row["position"] for row in old if row["position"] is not None), default=-1)
    for place, row in enumerate(old, start=1):
        slices, voxels = json.loads(row["slices"]), json.loads(row["voxels"])
        features = json.loads(row["features"] or "null") or {}
        known = "open" if slices else "empty"
        rows.append(
            {
                **{name: row[name] for name in ("proposal_id", "case_id", "round", "sha256", "model_sha256")},
                **{name: row[name] for name in ("unchanged_slices", "confidence", "leading_class", "score")},
                "file": f"proposals/round_{row['round']:04d}/{row['case_id']}.nii.gz",
                "made_as": made_as.get((row["case_id"], row["round"]), known),
                "served": row["position"] is not None,
                "log_area": features.get("log_area_mm2"),
                "components": features.get("components"),
                "flip_dice": features.get("agreement"),
                "state": row["state"],
                # What had no place in the queue comes after what had one.
                "sort_key": last + place if row["position"] is None else row["position"],
            }
        )
        # Voxels were counted by class alone: they stand at the first slice until the mask is counted again.
        leading = row["leading_class"] or next(iter(voxels), "")
        for number in slices:
            counts = voxels if number == slices[0] else {leading: 0}
            marked += [
                {"proposal_id": row["proposal_id"], "slice": number, "class": name, "voxels": count}
                for name, count in counts.items()
            ]
    _insert(connection, "proposals", rows)
    _insert(connection, "proposal_slices", marked)


def _copy_verdicts(connection: Connection) -> None:
    rows, judged = [], []
    for row in _rows(connection, "verdicts"):
        accepted, rejected = json.loads(row.pop("accepted_slices")), json.loads(row.pop("rejected_slices"))
        row.pop("used_by")
        rows.append(row | {"authenticated": False})
        judged += [
            {"verdict_id": row["verdict_id"], "slice": number, "accepted": number in accepted}
            for number in sorted({*accepted, *rejected})
        ]
    _insert(connection, "verdicts", rows)
    _insert(connection, "judgements", judged)


def _rows(connection: Connection, table: str) -> list[dict[str, Any]]:
    return [dict(row) for row in connection.execute(text(f"SELECT * FROM old_{table}")).mappings()]


def _insert(connection: Connection, table: str, rows: list[dict[str, Any]]) -> None:
    if rows:
        names = list(rows[0])
        columns, values = ", ".join(f'"{name}"' for name in names), ", ".join(f":{name}" for name in names)
        connection.execute(text(f"INSERT INTO {table} ({columns}) VALUES ({values})"), rows)


def _events(connection: Connection, kind: str) -> list[tuple[str, str, dict[str, Any]]]:
    found = connection.execute(
        text("SELECT ts, previous, body FROM events WHERE kind = :kind ORDER BY seq"), {"kind": kind}
    )
    return [(row.ts, row.previous, json.loads(row.body)) for row in found]
