"""What a look at an archive finds: cases, and what had to be set aside."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from recursive_expand.cases import ImageLabels, Role


@dataclass(frozen=True)
class FoundCase:
    """A case as its folder shows it; its voxels have not been looked at (`folder.check_case` does).

    Attributes:
        case_id: the image's file name without extension.
        path: the image.
        role: from cases.csv, else from the labels that are there.
        pixel_label: the expert mask, if any (roles `pixel` and `test`).
        image_labels: by slice number; None is the whole case.
        signature: changes when the image does (`cache.signature`).
        patient: whose it is, as a pseudonym, from cases.csv; None where that is not known.
    """

    case_id: str
    path: Path
    role: Role
    pixel_label: Path | None
    image_labels: Mapping[int | None, ImageLabels]
    signature: str
    patient: str | None = None


@dataclass(frozen=True)
class SetAside:
    """Something that is not used, and why.

    Attributes:
        case_id: the case that it concerns, if one can be named.
        file: file name, or table and line: `cases.csv line 3`.
        reason: one clause.
        kind: `case`: that case is not used; `row`: only that line, column or label file is not; `folder`: there is
            nothing to use at all.
    """

    case_id: str | None
    file: str
    reason: str
    kind: Literal["case", "row", "folder"] = "case"

    def __str__(self) -> str:
        """The line for log and status."""
        return f"{self.file}: {self.reason}"


@dataclass(frozen=True)
class Scan:
    """One look at an archive.

    Attributes:
        cases: what can be used, by case id.
        set_aside: what cannot, in the order in which it was met.
    """

    cases: list[FoundCase]
    set_aside: list[SetAside]
