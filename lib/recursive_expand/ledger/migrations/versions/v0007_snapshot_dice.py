"""A proposal keeps how far f and its snapshots agree on it."""

from __future__ import annotations

from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Add the column: earlier rounds had no snapshots."""
    op.execute("ALTER TABLE proposals ADD COLUMN snapshot_dice FLOAT")
