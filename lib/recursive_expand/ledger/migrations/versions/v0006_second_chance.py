"""A case may have two proposals a round: its first, and after a rejection a second chance."""

from __future__ import annotations

from alembic import op
from sqlalchemy import text

revision = "0006"
down_revision = "0005"

REBUILT = ("reading_facts", "judgements", "verdicts", "proposal_slices", "proposals")
"""Children before their parents: a constraint is changed by making its table anew, and those that refer to it."""
PROPOSALS = """
    CREATE TABLE proposals (
        proposal_id INTEGER NOT NULL,
        case_id VARCHAR NOT NULL,
        round INTEGER NOT NULL,
        chance INTEGER NOT NULL,
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
        tool TEXT,
        follows INTEGER,
        PRIMARY KEY (proposal_id),
        UNIQUE (case_id, round, chance),
        FOREIGN KEY(case_id) REFERENCES cases (case_id),
        FOREIGN KEY(round) REFERENCES rounds (round)
    )
    """
INDICES = {"proposals_queue": "CREATE INDEX proposals_queue ON proposals (state, chance, sort_key)"}
"""Indices that are not made again as they were."""


def upgrade() -> None:
    """Make the tables anew and bring all rows over: every earlier proposal is its case's first of its round."""
    connection = op.get_bind()
    names = ", ".join(f"'{name}'" for name in REBUILT)
    query = f"SELECT type, name, sql FROM sqlite_master WHERE tbl_name IN ({names}) AND sql IS NOT NULL"
    made = {(kind, name): sql for kind, name, sql in connection.execute(text(query))}
    for kind, name in made:
        if kind == "index":
            op.execute(f"DROP INDEX {name}")
    for name in REBUILT:
        op.execute(f"ALTER TABLE {name} RENAME TO old_{name}")
    for name in reversed(REBUILT):
        op.execute(PROPOSALS if name == "proposals" else made["table", name])
        columns = [row[1] for row in connection.execute(text(f"PRAGMA table_info(old_{name})"))]
        listed = ", ".join(f'"{column}"' for column in columns)
        added, values = (", chance", ", 0") if name == "proposals" else ("", "")
        op.execute(f"INSERT INTO {name} ({listed}{added}) SELECT {listed}{values} FROM old_{name}")
    for name in REBUILT:
        op.execute(f"DROP TABLE old_{name}")
    for (kind, name), sql in made.items():
        if kind == "index":
            op.execute(INDICES.get(name, sql))
    op.execute("CREATE INDEX proposals_chance ON proposals (chance)")
