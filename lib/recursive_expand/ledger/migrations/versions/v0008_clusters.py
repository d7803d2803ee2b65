"""Clusters of alike proposals, of which readers see a few."""

from __future__ import annotations

from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Make the table: earlier rounds had no clusters."""
    op.execute(
        """
        CREATE TABLE cluster_members (
            proposal_id INTEGER NOT NULL,
            round INTEGER NOT NULL,
            cluster INTEGER NOT NULL,
            verified BOOLEAN NOT NULL,
            PRIMARY KEY (proposal_id),
            FOREIGN KEY(proposal_id) REFERENCES proposals (proposal_id)
        )
        """
    )
    op.execute("CREATE INDEX cluster_members_cluster ON cluster_members (round, cluster)")
