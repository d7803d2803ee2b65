"""What was measured against what was asked: as a table, and as JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from rich.markup import escape
from rich.table import Table


@dataclass(frozen=True)
class Bar:
    """What is asked of a number.

    Attributes:
        limit: the number.
        kind: "least" or "most".
        text: how it is shown.
    """

    limit: float
    kind: Literal["least", "most"]
    text: str

    def met(self, value: float) -> bool:
        """Whether a measured number satisfies it."""
        return value >= self.limit if self.kind == "least" else value <= self.limit


def at_least(limit: float, unit: str = "x") -> Bar:
    """The number must reach `limit`."""
    return Bar(limit, "least", f">= {limit:g}{unit}")


def at_most(limit: float, unit: str = "x") -> Bar:
    """The number must not exceed `limit`."""
    return Bar(limit, "most", f"<= {limit:g}{unit}")


@dataclass(frozen=True)
class Row:
    """One number.

    Attributes:
        what: what was measured.
        value: the number, unrounded.
        shown: the number with its unit.
        bar: what is asked of it, if anything.
        before, now: in a comparison of two checkouts, what each of them showed.
    """

    what: str
    value: float
    shown: str
    bar: Bar | None = None
    before: str = ""
    now: str = ""


@dataclass
class Section:
    """One section of the benchmark.

    Attributes:
        name: as `--only` names it.
        about: how it was measured.
        rows: in the order in which they are shown.
    """

    name: str
    about: str
    rows: list[Row] = field(default_factory=list)

    def add(self, what: str, value: float, shown: str, bar: Bar | None = None) -> None:
        """Add a number."""
        self.rows.append(Row(what, value, shown, bar))

    @property
    def missed(self) -> list[str]:
        """What was asked and not met."""
        return [row.what for row in self.rows if row.bar is not None and not row.bar.met(row.value)]


def table(section: Section) -> Table:
    """A section for the terminal."""
    out = Table(title=section.name, caption=section.about, title_justify="left", caption_justify="left")
    out.add_column("measured")
    sides = ("before", "now") if any(row.now for row in section.rows) else ()
    for column in (*sides, "result", "asked", ""):
        out.add_column(column, justify="right", no_wrap=True)
    for row in section.rows:
        verdict = "" if row.bar is None else "met" if row.bar.met(row.value) else "[bold red]MISSED[/]"
        shown = (row.before, row.now) if sides else ()
        out.add_row(escape(row.what), *shown, row.shown, row.bar.text if row.bar else "", verdict)
    return out


def as_json(machine: dict[str, Any], sections: list[Section]) -> dict[str, Any]:
    """All sections for `--json`."""
    listed = []
    for section in sections:
        rows = [
            asdict(row) | {"bar": row.bar and row.bar.text, "met": row.bar and row.bar.met(row.value)}
            for row in section.rows
        ]
        listed.append({"name": section.name, "about": section.about, "rows": rows})
    return {"machine": machine, "sections": listed}
