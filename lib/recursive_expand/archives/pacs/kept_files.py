"""Files made of a PACS's objects for clients: bounded by bytes, the least recently used go first."""

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress
from pathlib import Path

IN_USE_SECONDS = 600.0
"""A file that was asked for in this time stays: somebody may be reading it."""


class KeptFiles:
    """Images in one folder.

    Args:
        folder: made if missing.
        most_bytes: kept, apart from files in use.
    """

    def __init__(self, folder: Path, most_bytes: float) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._most = most_bytes
        self._lock = threading.Lock()

    def get(self, name: str) -> Path | None:
        """The file, which counts as used now; None where it is not kept."""
        path = self.folder / name
        try:
            os.utime(path)
        except FileNotFoundError:
            return None
        return path

    def trim(self) -> int:
        """Remove what is too much; returns how many files went."""
        with self._lock:
            entries = [(entry.stat(), entry) for entry in self.folder.iterdir() if not entry.name.startswith(".")]
            total, removed = sum(stat.st_size for stat, _ in entries), 0
            for stat, path in sorted(entries, key=lambda found: found[0].st_mtime):
                if total <= self._most or stat.st_mtime > time.time() - IN_USE_SECONDS:
                    break
                with suppress(FileNotFoundError):
                    path.unlink()
                total -= stat.st_size
                removed += 1
            return removed
