"""What an importer is: it plans cases, and each planned case can be read."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from recursive_expand.archives.identifiers import check_new_id
from recursive_expand.cases import ImageLabels, LabelMap, Role, Volume
from recursive_expand.importers.pseudonyms import Pseudonyms
from recursive_expand.importers.report import ImportReport, OnProgress


@dataclass(frozen=True)
class CaseContent:
    """All that an importer brings of one case.

    Attributes:
        volume: voxels in HU.
        what: one clause about it, for the report.
        role: None leaves it to the labels that are there.
        patient: a pseudonym, None where it is not known.
        mask: the expert's, on the volume's grid, if any.
        image_labels: by slice number; None is the whole case.
        facts: goes to `geometry/<case>.geometry.json`, if any.
        left_out: one clause for each part of the case that is not imported.
    """

    volume: Volume
    what: str
    role: Role | None = None
    patient: str | None = None
    mask: LabelMap | None = None
    image_labels: Mapping[int | None, ImageLabels] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    left_out: Sequence[str] = ()


@dataclass(frozen=True)
class PlannedCase:
    """A case that is to be imported.

    Attributes:
        case_id: its id; an image of this id is skipped.
        source: the file or folder it is read from, as the report names it.
        read: reads it; raises InputError where it cannot be used.
        named: what to call it where it is left out; `source` if not given.
        files: how many files it is made of, where that may grow while somebody copies them; else None.
    """

    case_id: str
    source: str
    read: Callable[[], CaseContent]
    named: str = ""
    files: int | None = None


@dataclass
class ImportContext:
    """What a run lends to its importer.

    Attributes:
        studies: the folder of studies; it exists once cases are read.
        report: gets what is left out and assumed; tells which cases are there by now.
        on_progress: told of the progress.
        pseudonyms: name patients.
        total: how many cases there will be, where `plan` makes them on the way and knows.
    """

    studies: Path
    report: ImportReport
    on_progress: OnProgress
    pseudonyms: Pseudonyms
    total: int = 0


class Importer(ABC):
    """One way into a folder of studies.

    Example:
        >>> run_import(DicomImporter(Path("exports")), Path("studies"))
    """

    name: ClassVar[str]
    """The command, and the report's: `<studies>/import-<name>.csv`."""
    stage: ClassVar[str] = "importing cases"
    """What its progress is called."""
    classes: Sequence[str]
    """The task's class names; needed where there are image-level labels or masks."""

    @abstractmethod
    def plan(self, context: ImportContext) -> Iterable[PlannedCase]:
        """Look at the source: which cases there are, in the order of their import.

        What takes long may be done while the result is iterated, under the lock of the studies folder.

        Raises:
            InputError: where the source is another one, or an option does not fit; nothing is written then.
        """


def case_of_name(text: str) -> str:
    """The case id that a file's name gives: what cannot be in an id is replaced by `-`.

    Raises:
        InputError: where nothing usable is left.
    """
    return check_new_id(re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-."))
