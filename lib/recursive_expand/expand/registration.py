"""Make what lies in the archive known to the ledger, and keep what cannot be used aside, with the reason."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial

from recursive_expand.archives.archive import check_case
from recursive_expand.archives.images import read_geometry
from recursive_expand.archives.scan import FoundCase
from recursive_expand.cases import Geometry, Role
from recursive_expand.errors import InputError, RecursiveExpandError
from recursive_expand.expand.frozen import frozen_file
from recursive_expand.expand.recursion import Recursion
from recursive_expand.ledger import CaseEntry

logger = logging.getLogger(__name__)

BATCH = 50
"""Cases registered per transaction."""


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
    scan, cases = recursion.archive.scan(), recursion.ledger.cases
    if scan.unusable is not None:
        raise UnusableArchive(scan.unusable)
    for line in scan.set_aside:
        logger.warning("Set aside %s", line)
    whole = {line.case_id: str(line) for line in scan.set_aside if line.kind == "case" and line.case_id is not None}
    cases.note_rows_set_aside(
        (line.file, line.reason) for line in scan.set_aside if line.kind != "case" or line.case_id is None
    )
    known = cases.signatures()
    present = {found.case_id for found in scan.cases}
    for case_id in known.keys() - present - whole.keys():
        cases.set_aside(case_id, f"{case_id}: its image is no longer in the studies folder; put it back to use it")
    aside = [CaseEntry(case_id, Role.UNLABELLED, "", f"aside {why}", reason=why) for case_id, why in whole.items()]
    cases.register([entry for entry in aside if known.get(entry.case_id) != entry.signature])
    changed = [found for found in scan.cases if known.get(found.case_id) != found.signature]
    entries: list[CaseEntry] = []
    try:
        for number, found in enumerate(changed, start=1):
            entries.append(_check(recursion, found))
            if len(entries) >= BATCH:
                cases.register(entries)
                entries = []
            if on_step is not None:
                on_step(number, len(changed))
    finally:  # an archive may go down in between: what was read is not read again
        cases.register(entries)
    return len(changed)


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
