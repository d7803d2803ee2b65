"""What is in the headers of many DICOM files, kept on disk so that they are read once."""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from recursive_expand.dicom.files import read_dicom, values_as_they_are
from recursive_expand.errors import InputError
from recursive_expand.importers.report import OnProgress

BATCH = 1000
"""Files whose headers are read between two writes."""

COLUMNS = 3
"""File name, series, size in bytes. Version 0.1.0 had a problem in place of the size; such lines are read again."""


@dataclass(frozen=True)
class IndexedFile:
    """What the index knows of a file: its series; empty where `problem` says why it cannot be used."""

    series: str
    problem: str


class HeaderIndex:
    """File name to series of the files of one folder, in a CSV file that grows while it is made.

    A file whose size has changed since is read again, and so is one that could not be read: somebody may have copied it
    anew.

    Args:
        path: the CSV file; what an earlier run read is taken from it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: dict[str, tuple[str, int]] = {}
        if path.exists():
            with path.open(encoding="utf-8", errors="backslashreplace", newline="") as file:
                # A line cut short by a kill has fewer cells; its file is read again.
                for row in csv.reader(file):
                    if len(row) == COLUMNS and row[1] and row[2].isdecimal():
                        self._known[row[0]] = row[1], int(row[2])

    def read(self, folder: Path, names: Sequence[str], on_progress: OnProgress) -> dict[str, IndexedFile]:
        """Series of these files, reading the headers of those that are not known, or no longer."""
        sizes = _sizes(folder)
        found: dict[str, IndexedFile] = {}
        new = []
        for name in names:
            series, size = self._known.get(name, ("", -1))
            if series and size == sizes.get(name):
                found[name] = IndexedFile(series, "")
            else:
                new.append(name)
        for start in range(0, len(new), BATCH):
            on_progress("reading headers", start, len(new))
            with values_as_they_are():
                batch = {name: _look(folder / name) for name in new[start : start + BATCH]}
            rows = [(name, looked.series, sizes.get(name, -1)) for name, looked in batch.items() if looked.series]
            with self._path.open("a", encoding="utf-8", errors="backslashreplace", newline="") as file:
                csv.writer(file, lineterminator="\n").writerows(rows)
            found |= batch
        on_progress("reading headers", len(new), len(new))
        return {name: found[name] for name in names}


def _sizes(folder: Path) -> dict[str, int]:
    """Bytes by name of the files of a folder."""
    with os.scandir(folder) as entries:
        return {entry.name: entry.stat().st_size for entry in entries if entry.is_file()}


def _look(path: Path) -> IndexedFile:
    try:
        header = read_dicom(path, stop_before_pixels=True, specific_tags=["SeriesInstanceUID"])
        uid = str(header.get("SeriesInstanceUID") or "")
    except InputError as error:
        return IndexedFile("", error.reason)
    except Exception as error:  # malformed values raise only when they are looked at
        return IndexedFile("", f"has a malformed header ({type(error).__name__})")
    return IndexedFile(uid, "" if uid else "has no SeriesInstanceUID")
