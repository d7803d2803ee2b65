"""A proposal that another tool made names it; a verdict that was given together with others says so."""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add the columns: all earlier proposals are f's and g's, all earlier verdicts were given one by one."""
    op.execute("ALTER TABLE proposals ADD COLUMN tool TEXT")
    op.execute("ALTER TABLE reading_facts ADD COLUMN bulk BOOLEAN NOT NULL DEFAULT 0")
