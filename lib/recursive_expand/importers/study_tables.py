"""The tables of a folder of studies as importers write them: each row is on disk before its image is."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Sequence
from io import StringIO
from pathlib import Path

from recursive_expand.archives.atomic import write_atomic
from recursive_expand.archives.tables import CASES, IMAGE_LABELS
from recursive_expand.cases import ImageLabels, Role
from recursive_expand.errors import InputError


class StudyTable:
    """A CSV table that gets rows one by one.

    Args:
        path: the table; made with the first row.
        columns: its columns, in order.
        optional: columns that may follow; the table gets them with the first row that fills one.
    """

    def __init__(self, path: Path, columns: Sequence[str], optional: Sequence[str] = ()) -> None:
        self._path = path
        self._least, self._most = tuple(columns), (*columns, *optional)
        text = path.read_text(encoding="utf-8-sig") if path.exists() else ""
        self._begun = bool(text.strip())
        self._columns = self._least
        self._fits = True
        if self._begun:
            found = tuple(cell.strip() for cell in next(csv.reader(StringIO(text, newline=""))))
            lower = tuple(name.lower() for name in found)
            self._fits = lower in [
                tuple(name.lower() for name in self._most[:length])
                for length in range(len(self._least), len(self._most) + 1)
            ]
            self._columns = found
        self.rows = [cells for cells in list(csv.reader(StringIO(text, newline="")))[1:] if any(cells)]
        self._known = {tuple(self._shortened(cells)) for cells in self.rows}
        self._open_line = bool(text) and not text.endswith("\n")

    def add(self, rows: Iterable[Sequence[str]]) -> None:
        """Append those rows that are not there.

        Raises:
            InputError: where the table has other columns.
        """
        new = [cells for cells in map(self._shortened, rows) if tuple(cells) not in self._known]
        if not self._fits:
            raise InputError(
                self._path.name, f"has other columns than {','.join(self._most)}; move it away and import again"
            )
        if not new:
            return
        width = max(len(self._columns), *map(len, new))
        if self._begun and width > len(self._columns):
            self._widen(width)
        lines = [[*cells, *[""] * (width - len(cells))] for cells in new]
        if not self._begun:
            self._columns = self._most[:width]
            lines.insert(0, list(self._columns))
        with self._path.open("a", encoding="utf-8", newline="") as file:
            file.write(("\n" if self._open_line else "") + _as_csv(lines))
            file.flush()
            os.fsync(file.fileno())
        self._known.update(map(tuple, new))
        self.rows += new
        self._begun, self._open_line = True, False

    def _shortened(self, cells: Sequence[str]) -> list[str]:
        """Cells without the optional ones that are empty at the end."""
        row = list(cells)
        while len(row) > len(self._least) and not row[-1]:
            row.pop()
        return row

    def _widen(self, width: int) -> None:
        """Give the table on disk its optional columns."""
        self._columns = self._most[:width]
        rows = [[*row, *[""] * (width - len(row))] for row in self.rows]
        write_atomic(self._path, _as_csv([self._columns, *rows]).encode())
        self._open_line = False


def _as_csv(rows: Iterable[Sequence[str]]) -> str:
    text = StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


class RoleRows:
    """cases.csv: the role and the patient of each case."""

    def __init__(self, studies: Path) -> None:
        self._table = StudyTable(studies / CASES, ("case_id", "role"), ("patient",))
        self._cases: dict[str, Role | None] = {}
        self._of_patient: dict[str, dict[Role, list[str]]] = {}
        for cells in self._table.rows:
            case_id, role, patient = ([cell.strip() for cell in cells] + ["", ""])[:3]
            self._note(case_id, Role(role.lower()) if role.lower() in list(Role) else None, patient or None)

    def add(self, case_id: str, role: Role | None, patient: str | None = None) -> None:
        """Note a case, unless it has a row: what was written there by hand counts.

        Raises:
            InputError: where the table has other columns.
        """
        if case_id in self._cases or (role is None and patient is None):
            return
        self._table.add([(case_id, str(role or ""), patient or "")])
        self._note(case_id, role, patient)

    def contradicts(self, case_id: str, role: Role | None) -> str | None:
        """The clause that says why a case cannot get this role: its row, written earlier, gives it another one."""
        known = self._cases.get(case_id, role)
        if role is None or known is role:
            return None
        return f"{CASES} gives case {case_id} the role {known or 'that its labels tell'}, not {role}; change that row"

    def others(self, case_id: str, patient: str) -> dict[Role, list[str]]:
        """The other cases of a patient, by role, as the table has them."""
        by_role = self._of_patient.get(patient, {})
        found = {role: [other for other in ids if other != case_id] for role, ids in by_role.items()}
        return {role: ids for role, ids in found.items() if ids}

    def _note(self, case_id: str, role: Role | None, patient: str | None) -> None:
        self._cases[case_id] = role
        if patient is not None:
            self._of_patient.setdefault(patient, {}).setdefault(role or Role.UNLABELLED, []).append(case_id)


class LabelRows:
    """image_labels.csv: image-level labels of slices and of whole cases."""

    def __init__(self, studies: Path, classes: Sequence[str]) -> None:
        self._classes = tuple(classes)
        self._table = StudyTable(studies / IMAGE_LABELS, ("case_id", "slice", *classes))

    def add(self, case_id: str, labels: Iterable[tuple[int | None, ImageLabels]]) -> None:
        """Note labels by slice number; None is the whole case.

        Raises:
            InputError: where the table has other columns.
        """
        self._table.add(
            (
                case_id,
                "" if number is None else str(number),
                *(str(int(name in label.present)) for name in self._classes),
            )
            for number, label in labels
        )
