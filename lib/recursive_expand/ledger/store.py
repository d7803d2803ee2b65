"""The database behind the ledger: connections and transactions."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, Table, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, OperationalError

from recursive_expand.errors import DiskFull, RecursiveExpandError
from recursive_expand.ledger import chain
from recursive_expand.ledger.audited import rows_of
from recursive_expand.ledger.migrate import migrate

BUSY_SECONDS = 30.0
"""How long a writer waits for another process's transaction (theirs last milliseconds)."""

Changed = tuple[Table, ColumnElement[bool]]
"""Rows that a transaction has written: a table, and which of its rows."""


def utc_now() -> str:
    """Now, as ISO 8601 in UTC."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


class Store:
    """Transactions over a SQLite file: write-ahead log, every commit synced to the disk.

    Two processes write: the server (verdicts, leases) and its training subprocess (rounds, proposals).

    Args:
        location: the file, made with its folder if missing, or `sqlite:///` and its path. A ledger of an earlier
            version is migrated.
        upgrade: refuse a ledger of an earlier version instead.

    Raises:
        RecursiveExpandError: another database than SQLite is named, or the ledger is of a version that is not taken.
    """

    def __init__(self, location: Path | str, *, upgrade: bool = True) -> None:
        url = _sqlite_url(location)
        self._reader = _engine(url, begin="BEGIN")
        # A write transaction takes its lock at once: upgrading a read lock could fail half-way.
        self._writer = _engine(url, begin="BEGIN IMMEDIATE")
        with self.write() as connection:
            migrate(connection, utc_now(), upgrade=upgrade)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A consistent view of the ledger."""
        with self._reader.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that is durable when the block ends, and undone when it raises.

        Raises:
            DiskFull: it could not be made durable for want of space.
        """
        try:
            with self._writer.begin() as connection:
                yield connection
        except OperationalError as error:
            if getattr(error.orig, "sqlite_errorcode", None) != sqlite3.SQLITE_FULL:
                raise
            raise DiskFull("the disk that holds the ledger is full; make space and send it again") from error

    def record(self, connection: Connection, kind: str, *changed: Changed, **body: Any) -> str:
        """Append one event to the audit chain.

        Args:
            connection: the write transaction.
            kind: what happened.
            changed: the audited rows that this transaction has written; the event keeps them as they are now.
            body: what else a person wants to know of it.

        Returns:
            Its time.
        """
        ts = utc_now()
        rows: dict[str, list[list[Any]]] = {}
        for table, where in changed:
            rows.setdefault(table.name, []).extend(rows_of(connection, table, where))
        chain.append(connection, ts, [(kind, body | {"rows": rows} if rows else body)])
        return ts

    def close(self) -> None:
        """Close all connections."""
        self._reader.dispose()
        self._writer.dispose()


def chunks(values: Sequence[Any], size: int = 500) -> Iterator[Sequence[Any]]:
    """Parts of a list that fit into one `IN (...)`."""
    for start in range(0, len(values), size):
        yield values[start : start + size]


def _sqlite_url(location: Path | str) -> str:
    if isinstance(location, Path):
        location.parent.mkdir(parents=True, exist_ok=True)
        return f"sqlite:///{location}"
    try:
        backend = make_url(location).get_backend_name()
    except ArgumentError:
        return _sqlite_url(Path(location).expanduser().resolve())
    if backend != "sqlite":
        raise RecursiveExpandError(
            f"--conf ledger: ledgers in {backend} are not supported yet; give a file or sqlite:///PATH"
        )
    return location


def _engine(url: str, *, begin: str) -> Engine:
    engine = create_engine(url, connect_args={"timeout": BUSY_SECONDS, "check_same_thread": False})

    @event.listens_for(engine, "connect")
    def _connect(connection: sqlite3.Connection, _record: Any) -> None:
        connection.isolation_level = None  # transactions are begun below, not by the driver
        _write_ahead(connection)
        for pragma in ("synchronous=FULL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine


def _write_ahead(connection: sqlite3.Connection) -> None:
    """Put the database into write-ahead mode, where it stays.

    Of two processes that open a new ledger at once, SQLite refuses one without waiting (its busy handler is not
    asked when a read lock is raised to an exclusive one, since both could wait for ever): so it is asked again here.
    """
    give_up = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            # The low byte is the primary code; the others say how it came about.
            busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
            if not busy or time.monotonic() > give_up:
                raise
        time.sleep(0.01)
