"""Imported masks: a proposal that another tool made names it."""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add the column; all earlier proposals are f's and g's."""
    op.execute("ALTER TABLE proposals ADD COLUMN tool TEXT")
