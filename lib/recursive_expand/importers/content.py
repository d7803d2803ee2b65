"""Cases on their way into a folder of studies: read one by one, written so that an import can go on where it ended."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.errors import InvalidDicomError

from recursive_expand.archives.atomic import write_atomic
from recursive_expand.archives.folder import FolderArchive
from recursive_expand.archives.identifiers import check_new_id, split_name
from recursive_expand.archives.images import write_label, write_volume
from recursive_expand.archives.patients import compatible
from recursive_expand.cases import ImageLabels, LabelMap, Role, Volume
from recursive_expand.errors import InputError
from recursive_expand.importers.report import ImportReport, Progress, no_progress
from recursive_expand.importers.series import identifiers_as_they_are
from recursive_expand.importers.study_tables import LabelRows, RoleRows

SAVE_SECONDS = 10.0
"""How often the report is written while an import runs."""


@dataclass(frozen=True)
class CaseContent:
    """All that an importer brings of one case.

    Attributes:
        volume: voxels in HU.
        what: one clause about it, for the report.
        role: None leaves it to the labels that are there.
        patient: a pseudonym, None where it is not known.
        mask: (slices, rows, columns) uint8 class values of the expert's mask, if any.
        image_labels: by slice number; None is the whole case.
        facts: goes to `geometry/<case>.geometry.json`, if any.
        left_out: one clause for each part of the case that is not imported.
    """

    volume: Volume
    what: str
    role: Role | None = None
    patient: str | None = None
    mask: NDArray[np.uint8] | None = None
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
    """

    case_id: str
    source: str
    read: Callable[[], CaseContent]
    named: str = ""


def case_of_name(text: str) -> str:
    """The case id that a file's name gives: what cannot be in an id is replaced by `-`.

    Raises:
        InputError: where nothing usable is left.
    """
    return check_new_id(re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-."))


def import_cases(
    name: str,
    planned: Iterable[PlannedCase],
    studies: Path,
    done: ImportReport,
    *,
    classes: Sequence[str] = (),
    total: int | None = None,
    report: Progress = no_progress,
    stage: str = "importing cases",
) -> ImportReport:
    """Import cases one after the other; at most one is in memory.

    The image is written last, after its mask, its labels and its row in cases.csv: it is what says that the case is
    there. A case whose patient has cases in another role already is left out.

    Args:
        name: of the importer; the report is `<studies>/import-<name>.csv`.
        planned: may be made while it is read: after each case, `done` knows whether it is there.
        studies: made if missing.
        done: gets what was done.
        classes: the task's class names; needed where there are image-level labels.
        total: how many there will be, for the progress; else `planned` is a sequence.
        report: told of the progress.
        stage: what the progress is called.

    Returns:
        `done`.

    Raises:
        InputError: where a table of the studies has other columns.
    """
    (studies / "labels" / "final").mkdir(parents=True, exist_ok=True)
    FolderArchive(studies).sweep()
    roles, labels = RoleRows(studies), LabelRows(studies, classes)
    names = (split_name(path.name) for path in studies.iterdir())
    there = {parts[0].casefold() for parts in names if parts is not None}
    table = studies / f"import-{name}.csv"
    total = len(planned) if isinstance(planned, Sequence) else total or 0
    saved, number = time.monotonic(), 0
    seen: set[str] = set()
    try:
        report(stage, 0, total)
        for number, plan in enumerate(planned, start=1):
            if check_new_id(plan.case_id).casefold() in seen:
                done.leave_out(plan.named or plan.source, f"case {plan.case_id} was imported from another file already")
                continue
            seen.add(plan.case_id.casefold())
            done.sources[plan.case_id] = plan.source
            if plan.case_id.casefold() in there:
                done.skipped.append(plan.case_id)
            else:
                try:
                    with identifiers_as_they_are():
                        _import_case(plan, studies, roles, labels, done)
                except InvalidDicomError:
                    done.leave_out(plan.named or plan.source, "is not DICOM", case_id=plan.case_id)
                except _TableError:
                    raise
                except InputError as error:
                    reason = error.reason if error.source == plan.source else str(error)
                    done.leave_out(plan.named or plan.source, reason, case_id=plan.case_id)
            report(stage, number, max(total, number))
            if time.monotonic() - saved > SAVE_SECONDS:
                done.save(table)
                saved = time.monotonic()
        report(stage, number, max(total, number))
    finally:
        done.save(table)
    return done


class _TableError(InputError):
    """A table of the studies cannot be written: no case can be imported."""


def _import_case(plan: PlannedCase, studies: Path, roles: RoleRows, labels: LabelRows, done: ImportReport) -> None:
    case_id, content = plan.case_id, plan.read()
    role = content.role or Role.UNLABELLED
    contradiction = roles.contradicts(case_id, content.role)
    if contradiction is not None:
        raise InputError(plan.source, contradiction)
    if content.patient is not None:
        others = roles.others(case_id, content.patient)
        if others and not compatible({role, *others}):
            named = ", ".join(f"{other} ({', '.join(ids[:5])})" for other, ids in others.items())
            raise InputError(
                plan.source, f"its patient {content.patient} has cases in another role than {role}: {named}"
            )
    try:
        roles.add(case_id, content.role, content.patient)
        if content.image_labels:
            labels.add(case_id, content.image_labels.items())
    except InputError as error:
        raise _TableError(error.source, error.reason) from error
    if content.mask is not None:
        label = LabelMap.from_slices(content.mask, content.volume.geometry)
        write_label(studies / "labels" / "final" / f"{case_id}.nii.gz", label)
    if content.facts:
        (studies / "geometry").mkdir(exist_ok=True)
        facts = json.dumps(dict(content.facts), indent=1).encode()
        write_atomic(studies / "geometry" / f"{case_id}.geometry.json", facts)
    write_volume(studies / f"{case_id}.nii.gz", content.volume)
    done.imported[case_id] = content.what
    for clause in content.left_out:
        done.leave_out(case_id, clause, case_id=case_id)
