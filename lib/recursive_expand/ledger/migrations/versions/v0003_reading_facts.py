"""Reading facts: how a verdict was read, and the id that its client gave it."""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Make the table; no earlier verdict has such facts."""
    op.execute(
        """
        CREATE TABLE reading_facts (
            verdict_id INTEGER NOT NULL,
            client_verdict_id VARCHAR(64) NOT NULL,
            session VARCHAR(64) NOT NULL,
            seed INTEGER NOT NULL,
            position INTEGER NOT NULL,
            first_paint FLOAT NOT NULL,
            first_input FLOAT,
            decided FLOAT NOT NULL,
            visible_seconds FLOAT NOT NULL,
            slices_seen JSON NOT NULL,
            window_level FLOAT NOT NULL,
            window_width FLOAT NOT NULL,
            zoom FLOAT NOT NULL,
            overlay BOOLEAN NOT NULL,
            overlay_off_seconds FLOAT NOT NULL,
            view VARCHAR NOT NULL,
            input_device VARCHAR NOT NULL,
            client_version VARCHAR NOT NULL,
            PRIMARY KEY (verdict_id),
            FOREIGN KEY(verdict_id) REFERENCES verdicts (verdict_id),
            UNIQUE (client_verdict_id)
        )
        """
    )
