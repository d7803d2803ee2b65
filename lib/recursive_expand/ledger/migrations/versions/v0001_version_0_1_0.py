"""The schema of version 0.1.0, whose files do not name it."""

from __future__ import annotations

from alembic import op

revision = "0001"
down_revision = None

TABLES = (
    """
    CREATE TABLE cases (
        case_id VARCHAR NOT NULL,
        role VARCHAR NOT NULL,
        patient VARCHAR,
        state VARCHAR NOT NULL,
        reason TEXT,
        uri TEXT NOT NULL,
        signature VARCHAR NOT NULL,
        slices INTEGER NOT NULL,
        image_labels JSON NOT NULL,
        pixel_label TEXT,
        pixel_sha256 VARCHAR(64),
        validation BOOLEAN NOT NULL,
        info JSON NOT NULL,
        labels_pending BOOLEAN NOT NULL,
        settled BOOLEAN NOT NULL,
        has_final BOOLEAN NOT NULL,
        has_rejected BOOLEAN NOT NULL,
        PRIMARY KEY (case_id)
    )
    """,
    "CREATE INDEX cases_has_final ON cases (state, has_final)",
    "CREATE INDEX cases_labels_pending ON cases (labels_pending)",
    "CREATE INDEX cases_role ON cases (state, role, settled)",
    "CREATE INDEX cases_uri ON cases (uri)",
    """
    CREATE TABLE events (
        seq INTEGER NOT NULL,
        ts VARCHAR NOT NULL,
        kind VARCHAR NOT NULL,
        body TEXT NOT NULL,
        previous VARCHAR(64) NOT NULL,
        sha256 VARCHAR(64) NOT NULL,
        PRIMARY KEY (seq)
    )
    """,
    """
    CREATE TABLE rounds (
        round INTEGER NOT NULL,
        state VARCHAR NOT NULL,
        error TEXT,
        started VARCHAR NOT NULL,
        finished VARCHAR,
        base_model VARCHAR(64),
        trained_model VARCHAR(64),
        model VARCHAR(64),
        promoted BOOLEAN,
        config JSON NOT NULL,
        config_sha256 VARCHAR(64) NOT NULL,
        training_set JSON NOT NULL,
        training_set_sha256 VARCHAR(64) NOT NULL,
        report JSON NOT NULL,
        attempts INTEGER NOT NULL,
        PRIMARY KEY (round)
    )
    """,
    """
    CREATE TABLE set_aside_rows (
        source VARCHAR NOT NULL,
        reason TEXT NOT NULL,
        PRIMARY KEY (source)
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
    """
    CREATE TABLE leases (
        case_id VARCHAR NOT NULL,
        client VARCHAR NOT NULL,
        expires FLOAT NOT NULL,
        PRIMARY KEY (case_id),
        FOREIGN KEY(case_id) REFERENCES cases (case_id)
    )
    """,
    "CREATE INDEX leases_client ON leases (client, expires)",
    """
    CREATE TABLE proposals (
        proposal_id INTEGER NOT NULL,
        case_id VARCHAR NOT NULL,
        round INTEGER NOT NULL,
        sha256 VARCHAR(64) NOT NULL,
        model_sha256 VARCHAR(64) NOT NULL,
        state VARCHAR NOT NULL,
        slices JSON NOT NULL,
        unchanged_slices JSON NOT NULL,
        voxels JSON NOT NULL,
        confidence FLOAT NOT NULL,
        leading_class VARCHAR,
        position INTEGER,
        features JSON,
        score FLOAT,
        PRIMARY KEY (proposal_id),
        UNIQUE (case_id, round),
        FOREIGN KEY(case_id) REFERENCES cases (case_id),
        FOREIGN KEY(round) REFERENCES rounds (round)
    )
    """,
    "CREATE INDEX proposals_queue ON proposals (state, position)",
    "CREATE INDEX proposals_round ON proposals (round, state)",
    """
    CREATE TABLE verdicts (
        verdict_id INTEGER NOT NULL,
        proposal_id INTEGER NOT NULL,
        case_id VARCHAR NOT NULL,
        round INTEGER NOT NULL,
        verdict VARCHAR NOT NULL,
        accepted_slices JSON NOT NULL,
        rejected_slices JSON NOT NULL,
        reviewer VARCHAR NOT NULL,
        client VARCHAR NOT NULL,
        reason TEXT,
        comment TEXT,
        seconds FLOAT,
        ts VARCHAR NOT NULL,
        used_by INTEGER,
        withdrawn VARCHAR,
        PRIMARY KEY (verdict_id),
        FOREIGN KEY(proposal_id) REFERENCES proposals (proposal_id),
        FOREIGN KEY(case_id) REFERENCES cases (case_id)
    )
    """,
    "CREATE INDEX verdicts_case ON verdicts (case_id)",
    "CREATE INDEX verdicts_proposal ON verdicts (proposal_id)",
    "CREATE INDEX verdicts_round ON verdicts (round, withdrawn)",
)


def upgrade() -> None:
    """Make the tables."""
    for statement in TABLES:
        op.execute(statement)
