"""What an importer did, as lines for a person."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

Progress = Callable[[str, int, int], None]
"""Called as (what is being done, how many are done, how many there are)."""


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
    """

    imported: dict[str, str] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def leave_out(self, source: str, reason: str) -> None:
        """Add a line on something that is not imported."""
        self.left_out.append(f"{source}: {reason}")
