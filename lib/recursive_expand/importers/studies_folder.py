"""The folder that an import writes into: one import at a time, and what it means where it cannot be written."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from recursive_expand.errors import InputError

LOCK = ".recursive-import.lock"
"""Held by the import that writes into the folder; the file itself stays."""

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class StudiesError(InputError):
    """The folder of studies cannot be written or understood: no case can be imported, so that the run ends."""


@contextmanager
def one_import(studies: Path) -> Iterator[None]:
    """Hold the folder's lock.

    Raises:
        StudiesError: at once where another import holds it.
    """
    lock = FileLock(studies / LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise StudiesError(
            studies.name or str(studies), "another import is writing into this folder; wait for its end"
        ) from error
    except OSError as error:
        raise unwritable(studies, error) from error
    try:
        yield
    finally:
        lock.release()


def unwritable(studies: Path, error: OSError) -> StudiesError:
    """What to say where writing into the studies failed."""
    name = studies.name or str(studies)
    if error.errno in _FULL:
        return StudiesError(
            name, "the disk is full; what is imported stays: make room and give the same command again to go on"
        )
    return StudiesError(name, f"cannot be written ({error.strerror}); what is imported stays")
