"""A copy of a ledger's file, made without a trace beside the original: a server may be writing to it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from recursive_expand.errors import InputError


def back_up(location: Path, copy: Path) -> None:
    """Copy a ledger as it is at one moment, with what its write-ahead log holds.

    Args:
        location: the ledger's file, only read; its folder need not be writable.
        copy: where to; written over.

    Raises:
        InputError: there is no ledger, or it cannot be read.
    """
    if not location.is_file():
        raise InputError(location.name, "is not there; name the workspace of a study that has begun")
    log = location.with_name(f"{location.name}-wal")
    # Without a log no other process writes; SQLite would make one beside it, even to read.
    still = "" if log.is_file() and log.stat().st_size else "&immutable=1"
    copy.unlink(missing_ok=True)
    try:
        with (
            closing(sqlite3.connect(f"file:{quote(str(location.resolve()))}?mode=ro{still}", uri=True)) as source,
            closing(sqlite3.connect(copy)) as target,
        ):
            source.backup(target)
    except sqlite3.DatabaseError as error:
        raise InputError(location.name, f"cannot be read as a ledger ({error}); restore the file") from error
