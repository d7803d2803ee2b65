"""What an importer did, as lines for a person and as a table beside the cases."""

from __future__ import annotations

import csv
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from io import StringIO
from pathlib import Path

from recursive_expand.archives.atomic import write_atomic

OnProgress = Callable[[str, int, int], None]
"""Called as (what is being done, how many are done, how many there are)."""

COLUMNS = ("outcome", "case_id", "source", "detail")
"""Columns of the table. `outcome` is `imported`, `already there`, `left out` or `note`."""

Rows = Mapping[str, Sequence[Sequence[str]]]
"""Rows of a table by case id."""


class LeftOut(StrEnum):
    """Why something is not imported: for programs; the sentence beside it is for people."""

    NOT_DICOM = "not DICOM"
    MODALITY = "another modality"
    EMPTY_SOURCE = "nothing to import"
    UNUSABLE = "cannot be used"
    """A file or case whose content does not do; the sentence says why."""
    FAILED = "failed unexpectedly"
    """A reader raised what nobody foresaw."""
    SAME_CASE = "another file is that case"
    ROLES = "roles contradict each other"
    """The patient's other cases, or the case's own row, have another role."""
    NO_CASE = "belongs to no case"
    SEVERAL = "several files of one case"
    OTHER_GRID = "not on its scan's grid"
    OTHER_VALUES = "values that no class has"
    NOT_JUDGED = "the case takes no verdicts"
    OTHER_PROPOSAL = "another mask of the case was imported before"
    PART = "part of a case"
    """The case is imported, without this."""


@dataclass(frozen=True)
class LeftOutLine:
    """Something that is not imported.

    Attributes:
        code: why, for programs.
        source: file, folder or row.
        reason: why, for people.
        case_id: the case that it would have been part of, empty where there is none.
    """

    code: LeftOut
    source: str
    reason: str
    case_id: str = ""


def no_progress(stage: str, done: int, total: int) -> None:
    """Tell nobody."""


def printable(text: str) -> str:
    """Text from outside as it may be shown and stored: names that are not UTF-8, and control characters, escaped."""
    if text.isascii() and text.isprintable():
        return text
    text = text.encode("utf-8", "backslashreplace").decode()
    return "".join(
        char.encode("unicode_escape").decode() if unicodedata.category(char).startswith("C") else char for char in text
    )


@dataclass
class ImportReport:
    """What an importer did.

    Attributes:
        imported: case id to one clause about it.
        measured: case id to one clause on its mask and its HU, of the cases that were imported now.
        skipped: ids of cases that were there already.
        details: what was not imported, and why.
        notes: one line each: what was assumed, and what a person should look at.
        summary: one line each: what all imported cases come to.
        sources: case id to the file or folder that it came from.
    """

    imported: dict[str, str] = field(default_factory=dict)
    measured: dict[str, str] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)
    details: list[LeftOutLine] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    summary: list[str] = field(default_factory=list)
    sources: dict[str, str] = field(default_factory=dict)
    _there: set[str] = field(default_factory=set)

    @property
    def left_out(self) -> list[str]:
        """`details` as one line each."""
        return [f"{line.source}: {line.reason}" for line in self.details]

    def leave_out(
        self, source: str | Path, reason: str, code: LeftOut = LeftOut.UNUSABLE, *, case_id: str = ""
    ) -> None:
        """Add a line on something that is not imported, `case_id` being the case that it would have been part of."""
        if isinstance(source, Path):
            source = source.name or str(source)
        self.details.append(LeftOutLine(code, printable(source), printable(reason), case_id))

    def note(self, text: str) -> None:
        """Add a line on something that a person should know."""
        self.notes.append(printable(text))

    def accept(self, case_id: str) -> None:
        """Note a case as read and on its way in."""
        self._there.add(case_id)

    def take(self, case_id: str, what: str) -> None:
        """Note a case as imported: it is in the studies, durably."""
        self.imported[case_id] = printable(what)

    def skip(self, case_id: str) -> None:
        """Note a case as there already."""
        self.skipped.append(case_id)
        self._there.add(case_id)

    def has(self, case_id: str) -> bool:
        """Whether a case is in the studies by now, or on its way in."""
        return case_id in self._there

    def save(self, path: Path, earlier: Rows) -> None:
        """Write the table; what an earlier run said of cases that were there already is kept.

        Args:
            path: `<studies>/import-<name>.csv`; replaced.
            earlier: `read_earlier` of it, from before this run.
        """
        rows: list[Sequence[str]] = []
        for case_id in self.skipped:
            known = [row for row in earlier.get(case_id, ()) if row[0] in ("imported", "left out")]
            rows += known or [("already there", case_id, self.sources.get(case_id, ""), "")]
        for case_id, what in self.imported.items():
            detail = "; ".join(filter(None, (what, self.measured.get(case_id))))
            rows.append(("imported", case_id, self.sources.get(case_id, ""), detail))
        rows += [("left out", line.case_id, line.source, line.reason) for line in self.details]
        notes = [*self.notes, *self.summary]
        if not self.imported:
            notes += [row[3] for row in earlier.get("", ()) if row[0] == "note" and row[3] not in notes]
        rows += [("note", "", "", note) for note in notes]
        text = StringIO(newline="")
        csv.writer(text, lineterminator="\n").writerows([COLUMNS, *rows])
        write_atomic(path, text.getvalue().encode("utf-8", "backslashreplace"))


def read_earlier(path: Path) -> dict[str, list[list[str]]]:
    """Rows of an earlier run's table by case id; none where there is no table that can be read."""
    found: dict[str, list[list[str]]] = {}
    if path.exists():
        with path.open(encoding="utf-8", errors="backslashreplace", newline="") as file:
            for row in csv.reader(file):
                if len(row) == len(COLUMNS):
                    found.setdefault(row[1], []).append(row)
    return found
