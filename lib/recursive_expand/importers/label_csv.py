"""The tables of labels that come with data sets, read row by row."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from recursive_expand.errors import InputError


@dataclass(frozen=True)
class Row:
    """A row of a table.

    Attributes:
        line: `<table> line <n>`, for errors.
        cells: text by column, in lower case, without outer spaces.
    """

    line: str
    cells: dict[str, str]

    def text(self, column: str) -> str:
        """A cell; empty where the table has no such column."""
        return self.cells.get(column.lower(), "")

    def whole(self, column: str) -> int:
        """A whole number, also as a spreadsheet may write it (`3.0`).

        Raises:
            InputError: for anything else.
        """
        try:
            value = float(self.text(column))
            if value != int(value):
                raise ValueError
        except (ValueError, OverflowError) as error:
            raise InputError(self.line, f"{column} is {self.text(column)!r}; a whole number is wanted") from error
        return int(value)

    def flag(self, column: str) -> bool:
        """0 or 1.

        Raises:
            InputError: for anything else.
        """
        value = self.whole(column)
        if value not in (0, 1):
            raise InputError(self.line, f"{column} is {value}; only 0 and 1 are known")
        return bool(value)


def read_table(path: Path, columns: Sequence[str]) -> Iterator[Row]:
    """The rows of a CSV table that are not blank; a byte order mark is tolerated.

    Args:
        path: the table.
        columns: those that it must have, in any letter case; others are there too.

    Raises:
        InputError: where it cannot be read, or lacks a column.
    """
    names: list[str] = []
    for number, cells in _lines(path, columns):
        if not number:
            names = cells
            continue
        padded = [*cells, *[""] * (len(names) - len(cells))]
        cells_by_name = {name: cell.strip() for name, cell in zip(names, padded, strict=False)}
        yield Row(f"{path.name} line {number}", cells_by_name)


def read_pairs(path: Path, first: str, second: str) -> Iterator[tuple[int, str, str]]:
    """Line number and two cells of each row that is not blank: for tables of millions of rows.

    Raises:
        InputError: as `read_table` does.
    """
    one = two = 0
    for number, cells in _lines(path, (first, second)):
        if not number:
            one, two = cells.index(first.lower()), cells.index(second.lower())
        elif len(cells) > max(one, two):
            yield number, cells[one].strip(), cells[two].strip()
        else:
            raise InputError(f"{path.name} line {number}", f"ends before its column {second}")


def _lines(path: Path, columns: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
    """(0, column names in lower case), then the line number and the cells of each row that is not blank."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            names = [cell.strip().lower() for cell in next(reader, [])]
            missing = [name for name in columns if name.lower() not in names]
            if missing:
                raise InputError(path.name, f"has no column {', '.join(missing)}")
            yield 0, names
            for cells in reader:
                if any(cells) and (cells[0] or any(cell.strip() for cell in cells)):
                    yield reader.line_num, cells
    except OSError as error:
        raise InputError(path.name, f"cannot be read ({error.strerror})") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(path.name, f"is no CSV table in UTF-8 ({error})") from error
