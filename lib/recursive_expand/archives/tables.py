"""The tables of a folder of studies: cases.csv (roles) and image_labels.csv (image-level labels)."""

from __future__ import annotations

import codecs
import csv
import math
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from io import StringIO
from pathlib import Path

from recursive_expand.archives.bounded import read_bounded
from recursive_expand.archives.identifiers import split_name
from recursive_expand.archives.scan import SetAside
from recursive_expand.cases import ImageLabels, Role
from recursive_expand.errors import InputError

CASES = "cases.csv"
IMAGE_LABELS = "image_labels.csv"
MAX_TABLE = 2**28
"""Longest table in bytes; the image-level labels of 750,000 slices have 30 million."""

MEND = "nothing is trained or proposed until it is mended"
"""How a line ends that says why nothing may run (`Scan.unusable`)."""
_MEND = f"save it anew as CSV UTF-8: {MEND}"
_UID = re.compile(r"\d+(\.\d+){3,}")
"""A SOPInstanceUID: no number of a slice has so many dots."""
_MARKS = {  # UTF-32 first: its mark begins with that of UTF-16
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


@dataclass
class RoleTable:
    """cases.csv.

    Attributes:
        roles: role by case id.
        lines: where each role was read: `cases.csv line 3`.
        patients: patient by case id, where the table tells.
        set_aside: rows that are not used. `kind` is `case` where the role is unknown: it might have meant `test`,
            and a test case must not be trained on.
        unusable: one line where the table is there and not understood: nothing may run on it (`Scan.unusable`).
    """

    roles: dict[str, Role] = field(default_factory=dict)
    lines: dict[str, str] = field(default_factory=dict)
    patients: dict[str, str] = field(default_factory=dict)
    set_aside: list[SetAside] = field(default_factory=list)
    unusable: str | None = None


@dataclass
class ImageLabelTable:
    """image_labels.csv.

    Attributes:
        labels: by case id, then by slice number (None: the whole case).
        set_aside: rows and columns that are not used.
        unusable: one line where the table is there and not understood: nothing may run on it (`Scan.unusable`).
    """

    labels: dict[str, dict[int | None, ImageLabels]] = field(default_factory=dict)
    set_aside: list[SetAside] = field(default_factory=list)
    unusable: str | None = None


def read_roles(path: Path, cases: Collection[str]) -> RoleTable:
    """Read cases.csv (`case_id,role` or `case_id,role,patient`; beside a patient, the role may be left empty).

    Args:
        path: the table; a missing one is an empty one.
        cases: ids of the cases that are there.
    """
    table = RoleTable()
    try:
        _, rows = _read(path, ("case_id", "role"))
    except InputError as error:
        table.set_aside.append(SetAside(None, error.source, error.reason, "row"))
        table.unusable = str(error)
        return table
    for line, cells in rows:
        case_id = _case(cells["case_id"], cases)
        if case_id is None:
            table.set_aside.append(_no_case(line, cells["case_id"]))
            continue
        text, patient = cells["role"].lower(), cells.get("patient")
        if case_id in table.lines:
            reason = f"case {case_id} already has a row ({table.lines[case_id]}); that one counts"
            table.set_aside.append(SetAside(case_id, line, reason, "row"))
        elif text not in list(Role) and not (patient and not text):
            table.lines[case_id] = line
            reason = f"unknown role {text!r} (choose one of {', '.join(Role)}); case {case_id} is not used until then"
            table.set_aside.append(SetAside(case_id, line, reason))
        else:
            table.lines[case_id] = line
            if text:
                table.roles[case_id] = Role(text)
            if patient:
                table.patients[case_id] = patient
    return table


def named_cases(path: Path, columns: Sequence[str]) -> set[str]:
    """What a table has in its column case_id, with and without an image file's extension.

    Args:
        path: the table; a missing one is an empty one.
        columns: that it must have beside case_id.

    Raises:
        InputError: it is there and not understood (`Scan.unusable`).
    """
    _, rows = _read(path, ("case_id", *columns))
    named = {cells["case_id"] for _, cells in rows}
    return named | {parts[0] for text in named if (parts := split_name(text))}


def read_image_labels(
    path: Path,
    cases: Collection[str],
    classes: Sequence[str],
    slice_count: Callable[[str], int],
    slice_of: Callable[[str, str], int] | None = None,
) -> ImageLabelTable:
    """Read image_labels.csv (`case_id,slice,<class>,...` with 0 or 1; an empty slice is the whole case).

    Args:
        path: the table; a missing one is an empty one.
        cases: ids of the cases that are there.
        classes: the task's class names: each must have a column, or "absent" would be a guess.
        slice_count: number of slices of a case, asked once a case that has rows for slices; may raise InputError where
            the image's header is damaged.
        slice_of: number of the slice of a case that has this SOPInstanceUID, where slices may be named so; raises
            InputError where there is none.
    """
    table = ImageLabelTable()
    slice_count = cache(slice_count)
    try:
        by_column = {name.lower(): name for name in classes}
        columns, rows = _read(path, ("case_id", "slice", *by_column))
    except InputError as error:
        table.set_aside.append(SetAside(None, error.source, error.reason, "row"))
        table.unusable = str(error)
        return table
    for column in columns:
        if column not in ("case_id", "slice", *by_column):
            reason = f"is no class of this task ({', '.join(classes)}); the column is ignored"
            table.set_aside.append(SetAside(None, f"{path.name} column {column!r}", reason, "row"))
    for line, cells in rows:
        case_id = _case(cells["case_id"], cases)
        if case_id is None:
            table.set_aside.append(_no_case(line, cells["case_id"]))
            continue
        try:
            if slice_of is not None and _UID.fullmatch(cells["slice"]):
                number: int | None = slice_of(case_id, cells["slice"])
            else:
                number = _slice(cells["slice"], partial(slice_count, case_id), line)
            present = frozenset(name for column, name in by_column.items() if _present(cells[column], column, line))
            if number in table.labels.get(case_id, {}):
                where = "the whole case" if number is None else f"slice {number}"
                raise InputError(line, f"{where} of case {case_id} already has a row; the first one counts")
        except InputError as error:
            # A damaged image is reported as such by whoever reads it; here its row is merely of no use.
            reason = error.reason if error.source == line else str(error)
            table.set_aside.append(SetAside(case_id, line, reason, "row"))
            continue
        table.labels.setdefault(case_id, {})[number] = ImageLabels(present)
    return table


def _read(path: Path, names: Sequence[str]) -> tuple[list[str], Iterator[tuple[str, dict[str, str]]]]:
    """Column names in lower case, and (`<table> line <n>`, cells by column) of each row that is not blank.

    Each of `names` is a column of a table that is not empty.

    What spreadsheets do to a CSV is tolerated: their encodings, CRLF, semicolons or tabs, spaces, upper case.

    Raises:
        InputError: where the table is there and not understood.
    """
    try:
        content = read_bounded(path, MAX_TABLE)
    except InputError as error:
        raise InputError(error.source, f"{error.reason}; {_MEND}") from error
    except FileNotFoundError:
        return [], iter(())
    except OSError as error:
        raise InputError(path.name, f"cannot be read ({error.strerror}); {_MEND}") from error
    text = _decoded(content, path.name)
    first = text.split("\n", 1)[0]
    delimiter = max(",;\t", key=first.count)
    try:
        lines = list(_numbered(csv.reader(StringIO(text, newline=""), delimiter=delimiter, strict=True)))
    except csv.Error as error:
        raise InputError(path.name, f"is no CSV table ({error}); {_MEND}") from error
    if not lines:
        return [], iter(())
    columns = [cell.lower() for cell in lines[0][1]]
    while columns and not columns[-1]:
        columns.pop()
    if len(set(columns)) != len(columns):
        raise InputError(path.name, f"has two columns of the same name: {', '.join(columns)}; {_MEND}")
    missing = [name for name in names if name not in columns]
    if missing:
        raise InputError(path.name, f"has no column {', '.join(missing)}; {_MEND}")
    width = len(columns)
    rows = [
        (f"{path.name} line {number}", dict(zip(columns, [*cells, *[""] * width], strict=False)))
        for number, cells in lines[1:]
    ]
    for line, by_column in rows:
        # A quote that is not closed swallows the rows behind it, and with them their roles.
        if any("\n" in by_column[name] or "\r" in by_column[name] for name in names):
            raise InputError(line, f"ends a cell of several lines, where a quote was left open; {_MEND}")
    return columns, iter(rows)


def _decoded(content: bytes, source: str) -> str:
    """The text of a table as spreadsheets save it: UTF-8, UTF-16 or Windows-1252, told by its begin or content."""
    encoding = next((name for mark, name in _MARKS.items() if content.startswith(mark)), "utf-8-sig")
    nulls = (content[0::2].count(0), content[1::2].count(0))  # every other byte of UTF-16 is 0 in plain text
    if encoding == "utf-8-sig" and max(nulls) > len(content) // 4:
        encoding = "utf-16-le" if nulls[1] > nulls[0] else "utf-16-be"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        try:
            text = content.decode("cp1252") if encoding == "utf-8-sig" else ""
        except UnicodeDecodeError:
            text = ""
        if not text:
            raise InputError(source, f"is not UTF-8 (byte {error.start}); {_MEND}") from error
    if "\0" in text:
        raise InputError(source, f"holds NUL characters, so it is no text; {_MEND}")
    return text


def _numbered(reader) -> Iterator[tuple[int, list[str]]]:
    for cells in reader:
        stripped = [cell.strip() for cell in cells]
        if any(stripped):
            yield reader.line_num, stripped


def _case(text: str, cases: Collection[str]) -> str | None:
    """The case that a cell names, with or without the file's extension."""
    if text in cases:
        return text
    parts = split_name(text)
    return parts[0] if parts and parts[0] in cases else None


def _no_case(line: str, text: str) -> SetAside:
    return SetAside(None, line, f"names no case of this folder: {text!r}", "row")


def _slice(text: str, count: Callable[[], int], line: str) -> int | None:
    if not text:
        return None
    number = _whole(text)
    if number is None or number < 0:
        raise InputError(line, f"{text!r} is no slice number")
    last = count() - 1
    if number > last:
        raise InputError(line, f"slice {number} is out of range: slices are numbered 0 to {last}")
    return number


def _present(text: str, column: str, line: str) -> bool:
    value = _whole(text)
    if value not in (0, 1):
        raise InputError(line, f"{column} is {text!r}; only 0 and 1 are known")
    return bool(value)


def _whole(text: str) -> int | None:
    """A whole number, also as a spreadsheet may write it (`3.0`)."""
    try:
        value = float(text)
    except ValueError:
        return None
    return int(value) if math.isfinite(value) and value == int(value) else None
