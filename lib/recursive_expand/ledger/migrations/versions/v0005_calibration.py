"""A round keeps what its model proposes on slices whose truth is known."""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add the column: of earlier rounds nothing of the kind is known."""
    op.execute("ALTER TABLE rounds ADD COLUMN calibration JSON")
