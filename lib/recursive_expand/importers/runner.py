"""Run an importer: one case after the other into a folder of studies, so that a broken-off import can go on."""

from __future__ import annotations

import json
import time
import traceback
from collections.abc import Iterable, Sized
from contextlib import ExitStack, suppress
from pathlib import Path

from recursive_expand.archives.folder import FolderArchive
from recursive_expand.archives.identifiers import check_new_id, split_name
from recursive_expand.dicom.files import NotDicomError, values_as_they_are
from recursive_expand.errors import InputError
from recursive_expand.importers.batches import Batches
from recursive_expand.importers.contact_sheet import ContactSheet
from recursive_expand.importers.importer import CaseContent, ImportContext, Importer, PlannedCase
from recursive_expand.importers.measures import Measures
from recursive_expand.importers.pseudonyms import Pseudonyms
from recursive_expand.importers.report import ImportReport, LeftOut, OnProgress, no_progress, read_earlier
from recursive_expand.importers.studies_folder import StudiesError, one_import, unwritable
from recursive_expand.importers.study_tables import LabelRows, RoleRows

SAVE_SECONDS = 60.0
"""How often the report is written while an import runs."""

TELL_SECONDS = 0.1
"""How often progress is told."""


def run_import(importer: Importer, studies: Path, *, on_progress: OnProgress = no_progress) -> ImportReport:
    """Import what is not there yet; whatever goes wrong with one case leaves that case out, with a line.

    Args:
        importer: plans the cases.
        studies: the folder they go into; made if missing.
        on_progress: told of the progress.

    Returns:
        What was done. It is also `<studies>/import-<name>.csv`, with a few slices in `import-<name>.png`.

    Raises:
        InputError: where the source or an option does not fit.
        StudiesError: where the studies cannot be written or another import writes there; what is imported stays.
    """
    report = ImportReport()
    context = ImportContext(studies, report, on_progress, Pseudonyms(studies))
    with ExitStack() as stack:
        stack.enter_context(values_as_they_are())
        locked = studies.is_dir()
        if locked:
            stack.enter_context(one_import(studies))
        planned = importer.plan(context)
        try:
            (studies / "labels" / "final").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise unwritable(studies, error) from error
        if not locked:
            stack.enter_context(one_import(studies))
        _Run(importer, context).go(planned)
    return report


class _Run:
    """One run over the planned cases."""

    def __init__(self, importer: Importer, context: ImportContext) -> None:
        self._importer, self._context = importer, context
        self._studies, self._report = context.studies, context.report
        FolderArchive(self._studies).sweep()
        self._roles, self._labels = RoleRows(self._studies), LabelRows(self._studies, importer.classes)
        names = (split_name(path.name) for path in self._studies.iterdir())
        self._there = {parts[0].casefold() for parts in names if parts is not None}
        self._seen: dict[str, str] = {}
        self._table = self._studies / f"import-{importer.name}.csv"
        self._earlier = read_earlier(self._table)
        self._measures, self._sheet = Measures(), ContactSheet()
        self._left_out: dict[str, tuple[str, ...]] = {}

    def go(self, planned: Iterable[PlannedCase]) -> None:
        """Import them."""
        saved = told = time.monotonic()
        number = 0
        try:
            batches = Batches(self._studies, self._roles, self._labels, self._came_in)
        except OSError as error:
            raise unwritable(self._studies, error) from error
        try:
            self._tell(planned, 0)
            for number, plan in enumerate(planned, start=1):
                self._one(plan, batches)
                now = time.monotonic()
                if now - told > TELL_SECONDS:
                    self._tell(planned, number)
                    told = now
                if now - saved > SAVE_SECONDS:
                    self._save()
                    saved = now
            batches.flush()
            self._tell(planned, number, last=True)
        except OSError as error:
            self._rescue(batches)
            raise unwritable(self._studies, error) from error
        except BaseException:
            self._rescue(batches)
            raise
        finally:
            batches.close()
            self._report.summary = self._measures.summary()
            try:
                self._save()
                self._sheet.save(self._table.with_suffix(".png"))
            except OSError as error:
                # Where the disk is full, that is being said already.
                self._report.note(f"the report could not be written ({error.strerror})")

    def _one(self, plan: PlannedCase, batches: Batches) -> None:
        report, named = self._report, plan.named or plan.source
        name = check_new_id(plan.case_id).casefold()
        if name in self._seen:
            reason = f"would be case {plan.case_id}, as {self._seen[name]} is; rename one"
            report.leave_out(named, reason, LeftOut.SAME_CASE)
            return
        self._seen[name] = named
        report.sources[plan.case_id] = plan.source
        if name in self._there:
            report.skip(plan.case_id)
            self._note_growth(plan)
            return
        content = self._read(plan, named)
        if content is None:
            return
        refusal = self._roles.refusal(plan.case_id, content.role, content.patient)
        if refusal is not None:
            report.leave_out(named, refusal, LeftOut.ROLES, case_id=plan.case_id)
            return
        note = self._roles.put(plan.case_id, content.role, content.patient)
        if note is not None:
            report.note(note)
        self._labels.put(plan.case_id, content.image_labels.items())
        report.measured[plan.case_id] = self._measures.add(plan.case_id, content.volume, content.mask)
        self._sheet.add(plan.case_id, content.volume, content.mask)
        self._left_out[plan.case_id] = tuple(content.left_out)
        report.accept(plan.case_id)
        batches.add(plan.case_id, content)

    def _read(self, plan: PlannedCase, named: str) -> CaseContent | None:
        """The content of a case, or None where it is left out."""
        try:
            content = plan.read()
            mask = self._studies / "labels" / "final" / f"{plan.case_id}.nii.gz"
            if content.mask is None and mask.exists():
                what = "holds a mask of this case from before, and there is none now; remove that file too"
                raise InputError(f"labels/final/{mask.name}", what)
            return content
        except StudiesError:
            raise
        except NotDicomError as error:
            self._report.leave_out(named, error.reason, LeftOut.NOT_DICOM, case_id=plan.case_id)
        except InputError as error:
            reason = error.reason if error.source == plan.source else str(error)
            self._report.leave_out(named, reason, case_id=plan.case_id)
        except Exception as error:  # a case that no reader foresaw costs itself alone
            self._report.leave_out(named, _unforeseen(error), LeftOut.FAILED, case_id=plan.case_id)
        return None

    def _came_in(self, case_id: str, what: str) -> None:
        self._report.take(case_id, what)
        for clause in self._left_out.pop(case_id):
            self._report.leave_out(case_id, clause, LeftOut.PART, case_id=case_id)

    def _note_growth(self, plan: PlannedCase) -> None:
        """Say so where a case that was imported before has other files now: it may have been half copied then."""
        if plan.files is None:
            return
        try:
            path = self._studies / "geometry" / f"{plan.case_id}.geometry.json"
            before = json.loads(path.read_bytes())["files"]
        except (OSError, ValueError, KeyError, TypeError):
            return
        if before != plan.files:
            self._report.note(
                f"{plan.case_id}: was imported from {before} files and has {plan.files} now; "
                "remove it to import it anew"
            )

    def _rescue(self, batches: Batches) -> None:
        """Bring in what is made already; where that fails too, a later run makes it again."""
        with suppress(OSError):
            batches.flush()

    def _save(self) -> None:
        self._report.save(self._table, self._earlier)

    def _tell(self, planned: Iterable[PlannedCase], number: int, *, last: bool = False) -> None:
        total = len(planned) if isinstance(planned, Sized) else self._context.total
        self._context.on_progress(self._importer.stage, number, number if last else max(total, number))


def _unforeseen(error: Exception) -> str:
    """What is said of an exception that is no InputError: its kind and place, since its text may hold anything."""
    if isinstance(error, OSError):
        return f"cannot be read ({error.strerror or type(error).__name__})"
    place = traceback.extract_tb(error.__traceback__)[-1]
    return f"cannot be read ({type(error).__name__} in {Path(place.filename).name} line {place.lineno})"
