"""The tables of a folder of studies as importers write them: each row is on disk before its image is."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Sequence
from io import StringIO
from pathlib import Path

from recursive_expand.archives.atomic import write_atomic
from recursive_expand.archives.identifiers import split_name
from recursive_expand.archives.patients import compatible
from recursive_expand.archives.tables import CASES, IMAGE_LABELS
from recursive_expand.cases import ImageLabels, Role
from recursive_expand.importers.studies_folder import StudiesError

Cells = tuple[str, ...]


class StudyTable:
    """A CSV table whose rows belong to cases: rows of a new case are appended, those of a known one replaced.

    Nothing is written before `flush`.

    Args:
        path: the table; made with the first row.
        columns: its columns, in order; the first one is the case id.
        optional: columns that may follow; the table gets them with the first row that fills one.

    Raises:
        StudiesError: where there is a table that is not UTF-8.
    """

    def __init__(self, path: Path, columns: Sequence[str], optional: Sequence[str] = ()) -> None:
        self._path = path
        self._least, self._most = tuple(columns), (*columns, *optional)
        try:
            text = path.read_text(encoding="utf-8-sig") if path.exists() else ""
        except UnicodeDecodeError as error:
            raise StudiesError(path.name, f"is not UTF-8 (byte {error.start}); save it as CSV UTF-8") from error
        self._columns = self._least
        self._fits = True
        self._begun = bool(text.strip())
        rows = list(csv.reader(StringIO(text, newline="")))
        if self._begun:
            found = tuple(cell.strip() for cell in rows[0])
            lengths = range(len(self._least), len(self._most) + 1)
            self._fits = tuple(map(str.lower, found)) in [tuple(map(str.lower, self._most[:n])) for n in lengths]
            self._columns = found
        self.rows: dict[str, list[Cells]] = {}
        for cells in rows[1:]:
            if any(cells):
                self.rows.setdefault(_case_of(cells[0]), []).append(self._shortened(cells))
        self._open_line = bool(text) and not text.endswith("\n")
        self._new: list[Cells] = []
        self._rewrite = False

    def put(self, case_id: str, rows: Iterable[Sequence[str]]) -> None:
        """Give a case these rows in place of those that it has.

        Raises:
            StudiesError: where the table has other columns.
        """
        new = [self._shortened(cells) for cells in rows]
        old = self.rows.get(case_id, [])
        if new == old:
            return
        if not self._fits:
            raise StudiesError(
                self._path.name, f"has other columns than {','.join(self._most)}; move it away and import again"
            )
        if old:
            self._rewrite = True
        else:
            self._new += new
        if new:
            self.rows[case_id] = new
        else:
            del self.rows[case_id]

    def flush(self) -> None:
        """Bring the table on disk up to date, durably.

        Raises:
            OSError: where it cannot be written; the table on disk is then as it was.
        """
        width = max([len(self._columns), *map(len, self._new)])
        if self._rewrite or (self._begun and width > len(self._columns)):
            everything = [cells for rows in self.rows.values() for cells in rows]
            width = max([len(self._columns), *map(len, everything)])
            self._columns = self._columns if width == len(self._columns) else self._most[:width]
            write_atomic(self._path, _as_csv(self._columns, everything, header=True).encode())
        elif self._new:
            self._columns = self._columns if self._begun else self._most[:width]
            text = _as_csv(self._columns, self._new, header=not self._begun)
            _append(self._path, (("\n" if self._open_line else "") + text).encode())
        else:
            return
        self._begun, self._open_line, self._rewrite, self._new = True, False, False, []

    def _shortened(self, cells: Sequence[str]) -> Cells:
        """Cells without the optional ones that are empty at the end."""
        row = list(cells)
        while len(row) > len(self._least) and not row[-1]:
            row.pop()
        return tuple(row)


class RoleRows:
    """cases.csv: the role and the patient of each case."""

    def __init__(self, studies: Path) -> None:
        self._table = StudyTable(studies / CASES, ("case_id", "role"), ("patient",))
        self._cases: dict[str, tuple[Role | None, str | None]] = {}
        self._of_patient: dict[str, dict[str, Role]] = {}
        for case_id, rows in self._table.rows.items():
            _, role, patient = ([cell.strip() for cell in rows[0]] + ["", ""])[:3]
            self._note(case_id, Role(role.lower()) if role.lower() in list(Role) else None, patient or None)

    def refusal(self, case_id: str, role: Role | None, patient: str | None) -> str | None:
        """The clause that says why a case cannot get this role, or None.

        A case that was `test` stays out of training, and nobody is in two roles (`patients.compatible`).
        """
        known = self._cases.get(case_id, (None, None))[0]
        if known is Role.TEST and role not in (Role.TEST, None):
            return f"{CASES} gives case {case_id} the role test, not {role}; change that row"
        role = role or known
        if patient is None:
            return None
        others: dict[Role, list[str]] = {}
        for other, its_role in self._of_patient.get(patient, {}).items():
            if other != case_id:
                others.setdefault(its_role, []).append(other)
        mine = role or Role.UNLABELLED
        if not others or compatible({mine, *others}):
            return None
        named = ", ".join(f"{other} ({', '.join(ids[:5])})" for other, ids in others.items())
        return f"its patient {patient} has cases in another role than {mine}: {named}"

    def put(self, case_id: str, role: Role | None, patient: str | None = None) -> str | None:
        """Give a case its row in place of one from before; a role or patient that is not given stays.

        Returns:
            What a person should know of that row: None where it says the same, or nothing was there.

        Raises:
            StudiesError: where the table has other columns.
        """
        before = self._cases.get(case_id)
        role, patient = role or (before or (None, None))[0], patient or (before or (None, None))[1]
        if role is None and patient is None:
            return None
        self._table.put(case_id, [(case_id, str(role or ""), patient or "")])
        self._note(case_id, role, patient)
        if before is None or before == (role, patient):
            return None
        was, now = (f"{role or 'no role'}, {patient or 'no patient'}" for role, patient in (before, (role, patient)))
        return f"{case_id}: its row in {CASES} said {was}; it says {now} now"

    def flush(self) -> None:
        """Bring the table on disk up to date, durably."""
        self._table.flush()

    def _note(self, case_id: str, role: Role | None, patient: str | None) -> None:
        before = self._cases.get(case_id, (None, None))[1]
        if before is not None:
            self._of_patient[before].pop(case_id, None)
        self._cases[case_id] = role, patient
        if patient is not None:
            self._of_patient.setdefault(patient, {})[case_id] = role or Role.UNLABELLED


class LabelRows:
    """image_labels.csv: image-level labels of slices and of whole cases."""

    def __init__(self, studies: Path, classes: Sequence[str]) -> None:
        self._classes = tuple(classes)
        self._table = StudyTable(studies / IMAGE_LABELS, ("case_id", "slice", *classes))

    def put(self, case_id: str, labels: Iterable[tuple[int | None, ImageLabels]]) -> None:
        """Give a case its labels by slice number (None is the whole case) in place of all from before.

        Raises:
            StudiesError: where the table has other columns.
        """
        self._table.put(
            case_id,
            (
                (
                    case_id,
                    "" if number is None else str(number),
                    *(str(int(name in label.present)) for name in self._classes),
                )
                for number, label in labels
            ),
        )

    def flush(self) -> None:
        """Bring the table on disk up to date, durably."""
        self._table.flush()


def _case_of(cell: str) -> str:
    """The case that a cell names, with or without its image's extension."""
    parts = split_name(cell.strip())
    return parts[0] if parts else cell.strip()


def _as_csv(columns: Sequence[str], rows: Iterable[Sequence[str]], *, header: bool) -> str:
    text = StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    if header:
        writer.writerow(columns)
    writer.writerows([*cells, *[""] * (len(columns) - len(cells))] for cells in rows)
    return text.getvalue()


def _append(path: Path, content: bytes) -> None:
    """Append durably; on a full disk no half row stays."""
    with path.open("ab", buffering=0) as file:
        size = file.tell()
        try:
            written = file.write(content)
            while written < len(content):
                written += file.write(content[written:])
            os.fsync(file.fileno())
        except OSError:
            file.truncate(size)
            raise
