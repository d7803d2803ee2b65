"""What a look at an archive finds: cases, and what had to be set aside."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from recursive_expand.cases import ImageLabels, Role
from recursive_expand.errors import shown


@dataclass(frozen=True)
class FoundCase:
    """A case as its archive shows it; its voxels have not been looked at (`Archive.read_volume` does).

    Attributes:
        case_id: what it is called everywhere.
        role: from cases.csv, else from the labels that are there.
        image_labels: by slice number; None is the whole case.
        image_signature: changes when the image does (`Archive.signature`).
        expert_label: changes when the expert mask does; None where there is none (only `pixel` and `test` have one).
        patient: whose it is, as a pseudonym, from cases.csv; None where that is not known.
    """

    case_id: str
    role: Role
    image_labels: Mapping[int | None, ImageLabels]
    image_signature: str
    expert_label: str | None = None
    patient: str | None = None

    @property
    def signature(self) -> str:
        """Changes when the image, its role, its patient, its labels or its expert mask do; not when all are moved."""
        labels = sorted((str(number), sorted(label.present)) for number, label in self.image_labels.items())
        facts = repr((labels, str(self.role), self.expert_label, self.patient))
        return f"{self.image_signature}-{hashlib.sha256(facts.encode('utf-8', 'backslashreplace')).hexdigest()[:12]}"


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

    def __post_init__(self) -> None:
        object.__setattr__(self, "file", shown(self.file))
        object.__setattr__(self, "reason", shown(self.reason))

    def __str__(self) -> str:
        """The line for log and status."""
        return f"{self.file}: {self.reason}"


@dataclass(frozen=True)
class Scan:
    """One look at an archive.

    Attributes:
        cases: what can be used, by case id.
        set_aside: what cannot, in the order in which it was met.
        unusable: one line where a table is there and not understood: file, reason, mend. Roles are not known then, a
            test case may pass for another, and nothing must be registered, trained or proposed.
    """

    cases: list[FoundCase]
    set_aside: list[SetAside]
    unusable: str | None = None
