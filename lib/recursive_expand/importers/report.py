"""What an importer did, as lines for a person and as a table beside the cases."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path

from recursive_expand.archives.atomic import write_atomic

Progress = Callable[[str, int, int], None]
"""Called as (what is being done, how many are done, how many there are)."""

COLUMNS = ("outcome", "case_id", "source", "detail")
"""Columns of the table. `outcome` is `imported`, `already there`, `left out` or `note`."""


def no_progress(stage: str, done: int, total: int) -> None:
    """Tell nobody."""


@dataclass
class ImportReport:
    """What an importer did.

    Attributes:
        imported: case id to one clause about it.
        skipped: ids of cases that were there already.
        left_out: one line each: what was not imported, and why.
        notes: one line each: what was assumed.
        sources: case id to the file or folder that it came from.
        details: (case id or "", source, reason) of each line of `left_out`.
    """

    imported: dict[str, str] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    sources: dict[str, str] = field(default_factory=dict)
    details: list[tuple[str, str, str]] = field(default_factory=list)

    def leave_out(self, source: str | Path, reason: str, *, case_id: str = "") -> None:
        """Add a line on something that is not imported, `case_id` being the case that it would have been part of."""
        if isinstance(source, Path):
            source = source.name or str(source)
        self.left_out.append(f"{source}: {reason}")
        self.details.append((case_id, source, reason))

    def save(self, path: Path) -> None:
        """Write the table; of cases that were there already, what an earlier run said of them is kept.

        Args:
            path: `<studies>/import-<name>.csv`; replaced.
        """
        earlier: dict[str, list[list[str]]] = {}
        for row in _rows(path):
            earlier.setdefault(row[1], []).append(row)
        rows: list[list[str]] = []
        for case_id in self.skipped:
            known = [row for row in earlier.get(case_id, []) if row[0] in ("imported", "left out")]
            rows += known or [["already there", case_id, self.sources.get(case_id, ""), ""]]
        rows += [["imported", case_id, self.sources.get(case_id, ""), what] for case_id, what in self.imported.items()]
        rows += [["left out", *detail] for detail in self.details]
        rows += [["note", "", "", note] for note in self.notes]
        text = StringIO(newline="")
        csv.writer(text, lineterminator="\n").writerows([COLUMNS, *rows])
        write_atomic(path, text.getvalue().encode())


def _rows(path: Path) -> list[list[str]]:
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return [row for row in csv.reader(file) if len(row) == len(COLUMNS)][1:]
