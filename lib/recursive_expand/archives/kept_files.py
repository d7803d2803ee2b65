"""Files that can be made again: bounded by bytes, the least recently used go first."""

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress
from pathlib import Path

IN_USE_SECONDS = 600.0
"""A file that was asked for in this time stays: somebody may be reading it."""


class KeptFiles:
    """Files in one folder.

    Args:
        folder: made if missing.
        most_bytes: kept, apart from files in use.
        pattern: of the names of the files that are meant.
    """

    def __init__(self, folder: Path, most_bytes: float, pattern: str = "[!.]*") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._most, self._pattern = most_bytes, pattern
        self._bytes: float | None = None  # as last counted, and what was added since
        self._lock = threading.Lock()

    def get(self, name: str) -> Path | None:
        """The file, which counts as used now; None where it is not kept."""
        path = self.folder / name
        try:
            os.utime(path)
        except FileNotFoundError:
            return None
        return path

    def added(self, name: str) -> None:
        """Take note of a new file, and remove what is too much: the folder is listed only when that may be so."""
        if self._bytes is not None:
            with suppress(FileNotFoundError):
                self._bytes += (self.folder / name).stat().st_size
        if self._bytes is None or self._bytes > self._most:
            self.trim()

    def trim(self) -> int:
        """Remove what is too much; returns how many files went."""
        with self._lock:
            entries = []
            for path in self.folder.glob(self._pattern):
                with suppress(FileNotFoundError):
                    entries.append((path.stat(), path))
            total, removed = sum(stat.st_size for stat, _ in entries), 0
            for stat, path in sorted(entries, key=lambda found: found[0].st_mtime):
                if total <= self._most or stat.st_mtime > time.time() - IN_USE_SECONDS:
                    break
                with suppress(OSError):  # gone already; or Windows, where a mapped file cannot go
                    path.unlink()
                total -= stat.st_size
                removed += 1
            self._bytes = float(total)
            return removed
