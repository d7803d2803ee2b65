"""What is in the headers of many DICOM files, kept on disk so that they are read once."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydicom.errors import InvalidDicomError

from recursive_expand.errors import InputError
from recursive_expand.importers.report import Progress
from recursive_expand.importers.series import identifiers_as_they_are, read_dicom

BATCH = 1000
"""Files whose headers are read between two writes."""


@dataclass(frozen=True)
class IndexedFile:
    """What the index knows of a file: its series; empty where `problem` says why it cannot be used."""

    series: str
    problem: str


class HeaderIndex:
    """File name to series of the files of one folder, in a CSV file that grows while it is made.

    Args:
        path: the CSV file; what an earlier run read is taken from it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: dict[str, IndexedFile] = {}
        if path.exists():
            with path.open(encoding="utf-8", newline="") as file:
                # A line cut short by a kill has fewer cells; its file is read again.
                self._known = {row[0]: IndexedFile(*row[1:]) for row in csv.reader(file) if len(row) == 3}

    def read(self, folder: Path, names: Sequence[str], report: Progress) -> dict[str, IndexedFile]:
        """Series of these files, reading the headers of those that are not known yet."""
        new = [name for name in names if name not in self._known]
        for start in range(0, len(new), BATCH):
            report("reading headers", start, len(new))
            with identifiers_as_they_are():
                batch = {name: _look(folder / name) for name in new[start : start + BATCH]}
            with self._path.open("a", encoding="utf-8", newline="") as file:
                csv.writer(file, lineterminator="\n").writerows(
                    (name, found.series, found.problem) for name, found in batch.items()
                )
            self._known |= batch
        report("reading headers", len(new), len(new))
        return {name: self._known[name] for name in names}


def _look(path: Path) -> IndexedFile:
    try:
        header = read_dicom(path, stop_before_pixels=True, specific_tags=["SeriesInstanceUID"])
    except InvalidDicomError:
        return IndexedFile("", "is not DICOM")
    except InputError as error:
        return IndexedFile("", error.reason)
    uid = str(header.get("SeriesInstanceUID") or "")
    return IndexedFile(uid, "" if uid else "has no SeriesInstanceUID")
