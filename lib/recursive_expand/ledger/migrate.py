"""Bring a ledger's file to the present schema."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, inspect, select, text, true

from recursive_expand.errors import RecursiveExpandError
from recursive_expand.ledger.snapshot import UPGRADED, snapshot
from recursive_expand.ledger.states import refresh
from recursive_expand.ledger.tables import events

FIRST, NEWEST = "0001", "0006"
"""Revisions of 0.1.0's schema, which did not say so in the file, and of `tables.py`."""
MIGRATIONS = Path(__file__).parent / "migrations"


def migrate(connection: Connection, ts: str, *, upgrade: bool = True) -> str | None:
    """Bring the schema to `NEWEST`, within the caller's write transaction: all of it, or nothing.

    The rows of an older ledger are recorded as a snapshot: its events did not hold them.

    Args:
        connection: inside a write transaction.
        ts: ISO 8601 time of the snapshot.
        upgrade: refuse an older ledger instead.

    Returns:
        The revision that it was upgraded from; None for a new ledger and for one of the present schema.

    Raises:
        RecursiveExpandError: the ledger was written by a later version, or by an earlier one that may not be upgraded.
    """
    names = set(inspect(connection).get_table_names())
    before = None
    if "alembic_version" in names:
        before = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    elif "events" in names:
        before = FIRST
    if before == NEWEST:
        return None
    # Only here: importing Alembic takes a third of a second, and nearly every start needs none of it.
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if before is not None and before not in known:
        raise RecursiveExpandError(
            f"the ledger was written by a later version (schema {before}; known is {NEWEST}): install that version"
        )
    if before is not None and not upgrade:
        raise RecursiveExpandError(
            f"the ledger was written by an earlier version (schema {before}; present is {NEWEST}): "
            "start the server on its studies, which upgrades it"
        )
    if before == FIRST and "alembic_version" not in names:
        command.stamp(config, FIRST)
    command.upgrade(config, NEWEST)
    if before is None or connection.execute(select(events.c.seq).limit(1)).first() is None:
        return None
    refresh(connection, true())
    snapshot(connection, ts, UPGRADED, {"from": before, "to": NEWEST})
    return before
