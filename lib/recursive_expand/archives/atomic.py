"""Files that are either wholly there or not there at all, even after a crash."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

_SUFFIX = ".tmp"
_LEFTOVER = re.compile(rf"\.(\d{{1,10}})-[0-9a-f]{{16}}{re.escape(_SUFFIX)}$")


@contextmanager
def atomic_path(path: Path, *, fsync: bool = True, sync_entry: bool = True) -> Iterator[Path]:
    """A temporary path beside `path` that takes its place once the block has succeeded.

    Args:
        path: the file to write; its folder must exist.
        fsync: whether the file (and on POSIX its folder's entry) is on disk before this returns.
        sync_entry: false leaves the folder's entry to the next file that is written into it.

    Yields:
        `.<name>.<process id>-<random>.tmp` in the same folder: the block creates it. It is removed where the block
        fails.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(8)}{_SUFFIX}")
    try:
        yield temporary
        if fsync:
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if fsync and sync_entry:
        sync_folder(path.parent)


def write_atomic(path: Path, content: bytes, *, fsync: bool = True, sync_entry: bool = True) -> None:
    """Write `content` to `path` by way of `atomic_path`."""
    with atomic_path(path, fsync=fsync, sync_entry=sync_entry) as temporary:
        temporary.write_bytes(content)


def sync_folder(folder: Path) -> None:
    """Make renames and removals in `folder` durable. Windows has no such call, and does without."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sweep(folder: Path) -> int:
    """Remove what `atomic_path` left in `folder` when its process was killed; only while nobody else writes there.

    Returns:
        How many files were removed. A folder that does not exist has none.
    """
    return _remove(leftovers(folder))


def leftovers(folder: Path) -> list[Path]:
    """What `atomic_path` left in `folder`, and what others write there now; none in a folder that is not there."""
    return list(folder.glob(f".*{_SUFFIX}"))


def is_abandoned(path: Path) -> bool:
    """Whether a file is what `atomic_path` left when its process, one of this machine, was killed."""
    match = _LEFTOVER.search(path.name)
    if match is None:
        return False
    try:
        return psutil.Process(int(match[1])).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
    except psutil.Error:
        return False


def sweep_file(path: Path, left: Iterable[Path]) -> int:
    """As `sweep`, what is, of `left`, of earlier writes of this one file; only while nobody else writes it."""
    return _remove(leftover for leftover in left if leftover.name.startswith(f".{path.name}."))


def _remove(paths: Iterable[Path]) -> int:
    removed = 0
    for path in paths:
        with suppress(FileNotFoundError):
            path.unlink()
            removed += 1
    return removed
