"""Make what lies in the archive known to the ledger, and keep what cannot be used aside, with the reason."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from queue import SimpleQueue

from recursive_expand.archives.archive import Archive, check_case
from recursive_expand.archives.images import read_geometry
from recursive_expand.archives.scan import FoundCase, Scan
from recursive_expand.cases import Geometry, Role
from recursive_expand.errors import InputError, RecursiveExpandError
from recursive_expand.expand.frozen import frozen_file
from recursive_expand.expand.recursion import Recursion
from recursive_expand.ledger import CaseEntry

logger = logging.getLogger(__name__)

BATCH = 50
"""Cases registered per transaction."""
SECONDS_UNREGISTERED = 1.0
"""How long a case that was read may wait for others to be registered with it."""


class UnusableArchive(RecursiveExpandError):
    """A table of the archive is there and cannot be read: test cases could pass for others, so nothing runs."""


def register_cases(recursion: Recursion, on_step: Callable[[int, int], None] | None = None) -> int:
    """Look for new and changed images and read each once: it is checked, and its voxels go to the cache.

    Args:
        recursion: the recursion.
        on_step: called with (cases read, cases to read).

    Returns:
        Number of cases that are new or changed.

    Raises:
        UnusableArchive: a table is not understood; nothing was registered.
        Unreachable: the archive is down; what was read before is registered, the rest is read the next time.
    """
    cases = recursion.ledger.cases
    known = cases.signatures()
    reader = _Reader(recursion, known, on_step)
    scan = _look(recursion.archive, reader.read)
    if scan.unusable is not None:
        raise UnusableArchive(scan.unusable)
    said = set(cases.list_set_aside())
    for line in scan.set_aside:
        if said.isdisjoint({(line.file, line.reason), (line.case_id, str(line))}):
            logger.warning("Set aside %s", line)
    whole = {line.case_id: str(line) for line in scan.set_aside if line.kind == "case" and line.case_id is not None}
    cases.note_rows_set_aside(
        (line.file, line.reason) for line in scan.set_aside if line.kind != "case" or line.case_id is None
    )
    present = {found.case_id for found in scan.cases}
    for case_id in known.keys() - present - whole.keys():
        cases.set_aside(
            case_id, f"{case_id}: its image is no longer in {recursion.archive.name}; put it back to use it"
        )
    aside = [CaseEntry(case_id, Role.UNLABELLED, "", f"aside {why}", reason=why) for case_id, why in whole.items()]
    cases.register([entry for entry in aside if known.get(entry.case_id) != entry.signature])
    reader.read(scan.cases)
    return reader.total


def _look(archive: Archive, read: Callable[[list[FoundCase]], None]) -> Scan:
    """Scan the archive; what it finds on the way is read meanwhile."""
    pages: SimpleQueue[list[FoundCase] | None] = SimpleQueue()
    with ThreadPoolExecutor(1, "look") as pool:
        looking = pool.submit(archive.scan, pages.put)
        looking.add_done_callback(lambda _: pages.put(None))
        while (page := pages.get()) is not None:
            read(page)
        return looking.result()


class _Reader:
    """Reads cases that are new or changed and registers them, many in a transaction, but none later than needed.

    Args:
        recursion: the recursion.
        known: signature by case id; what is read is added.
        on_step: called with (cases read, cases to read so far).
    """

    def __init__(self, recursion: Recursion, known: dict[str, str], on_step: Callable[[int, int], None] | None) -> None:
        self._recursion, self._known, self._on_step = recursion, known, on_step
        self._done = self.total = 0

    def read(self, found: list[FoundCase]) -> None:
        """Read those of these cases that are new or changed."""
        changed = [case for case in found if self._known.get(case.case_id) != case.signature]
        self.total += len(changed)
        entries: list[CaseEntry] = []
        began = time.monotonic()
        try:
            for case in changed:
                entries.append(_check(self._recursion, case))
                self._known[case.case_id] = case.signature
                if len(entries) >= BATCH or time.monotonic() - began > SECONDS_UNREGISTERED:
                    self._recursion.ledger.cases.register(entries)
                    entries, began = [], time.monotonic()
                self._done += 1
                if self._on_step is not None:
                    self._on_step(self._done, self.total)
        finally:  # an archive may go down in between: what was read is not read again
            self._recursion.ledger.cases.register(entries)


def _check(recursion: Recursion, found: FoundCase) -> CaseEntry:
    archive = recursion.archive
    reason, name, slices, pixel_sha256, series = None, found.case_id, 0, None, None
    try:
        name = archive.image_file(found.case_id).name
        volume, label = check_case(archive, found, read=partial(recursion.volume, found.case_id))
        slices = volume.geometry.shape[0]
        pixel_sha256 = None if label is None else label.sha256
        _check_same_grid(recursion, name, found.case_id, volume.geometry)
        series = archive.reference(found.case_id)
    except InputError as error:
        reason = str(error)
        logger.warning("Set aside %s", reason)
    return CaseEntry(
        case_id=found.case_id,
        role=found.role,
        name=name,
        signature=found.signature,
        slices=slices,
        reason=reason,
        image_labels=dict(found.image_labels),
        pixel_sha256=pixel_sha256,
        patient=found.patient,
        series_instance_uid=None if series is None else series.series_instance_uid,
    )


def _check_same_grid(recursion: Recursion, name: str, case_id: str, geometry: Geometry) -> None:
    """Refuse an image put in the place of another: verdicts name slices, and proposals voxels, of the first."""
    proposal = recursion.ledger.proposals.current(case_id)
    if proposal is None:
        return
    judged = read_geometry(frozen_file(recursion.workspace, proposal)).native_shape
    if geometry.native_shape != judged:
        now, before = ("x".join(map(str, shape)) for shape in (geometry.native_shape, judged))
        raise InputError(
            name, f"has {now} voxels, but {before} when it was proposed; give the new image another case id"
        )
