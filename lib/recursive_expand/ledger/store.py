"""The database behind the ledger: connections and transactions."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, inspect, make_url
from sqlalchemy.schema import CreateColumn

from recursive_expand.ledger import chain
from recursive_expand.ledger.tables import metadata

BUSY_SECONDS = 30.0
"""How long a writer waits for another process's transaction (theirs last milliseconds)."""


def utc_now() -> str:
    """Now, as ISO 8601 in UTC."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


class Store:
    """Transactions over SQLite (write-ahead log, every commit synced to the disk) or any SQLAlchemy URL.

    Two processes write: the server (verdicts, leases) and its training subprocess (rounds, proposals).

    Args:
        location: a SQLite file, made with its folder if missing, or an SQLAlchemy URL.
    """

    def __init__(self, location: Path | str) -> None:
        if isinstance(location, Path):
            location.parent.mkdir(parents=True, exist_ok=True)
            location = f"sqlite:///{location}"
        self._reader = self._engine(location, begin="BEGIN")
        # A write transaction takes its lock at once: upgrading a read lock could fail half-way.
        self._writer = self._engine(location, begin="BEGIN IMMEDIATE")
        with self.write() as connection:
            metadata.create_all(connection)
            _add_new_columns(connection)

    @staticmethod
    def _engine(url: str, *, begin: str) -> Engine:
        if make_url(url).get_backend_name() != "sqlite":
            return create_engine(url)
        engine = create_engine(url, connect_args={"timeout": BUSY_SECONDS, "check_same_thread": False})

        @event.listens_for(engine, "connect")
        def _connect(connection: sqlite3.Connection, _record: Any) -> None:
            connection.isolation_level = None  # transactions are begun below, not by the driver
            for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
                connection.execute(f"PRAGMA {pragma}")

        @event.listens_for(engine, "begin")
        def _begin(connection: Connection) -> None:
            connection.exec_driver_sql(begin)

        return engine

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A consistent view of the ledger."""
        with self._reader.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that is durable when the block ends, and undone when it raises."""
        with self._writer.begin() as connection:
            yield connection

    def record(self, connection: Connection, kind: str, **body: Any) -> str:
        """Append one event to the hash chain; returns its time."""
        ts = utc_now()
        chain.append(connection, ts, [(kind, body)])
        return ts

    def first_broken_event(self) -> int | None:
        """Number of the first event that was tampered with, or None."""
        with self.read() as connection:
            return chain.first_broken(connection)

    def close(self) -> None:
        """Close all connections."""
        self._reader.dispose()
        self._writer.dispose()


def _add_new_columns(connection: Connection) -> None:
    """A ledger of an earlier version gets the columns that were added since; they hold nothing in its old rows."""
    inspector = inspect(connection)
    for table in metadata.sorted_tables:
        there = {column["name"] for column in inspector.get_columns(table.name)}
        for column in table.columns:
            if column.name not in there:
                definition = CreateColumn(column).compile(dialect=connection.dialect)
                connection.exec_driver_sql(f"ALTER TABLE {table.name} ADD COLUMN {definition}")
