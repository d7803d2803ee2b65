"""Make what lies in the archive known to the ledger, and keep what cannot be used aside, with the reason."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable

import numpy as np

from recursive_expand.archives.folder import check_case
from recursive_expand.archives.images import read_geometry
from recursive_expand.archives.scan import FoundCase
from recursive_expand.cases import Role, Volume, voxel_sha256
from recursive_expand.errors import InputError
from recursive_expand.expand.study import Study
from recursive_expand.ledger import CaseEntry

logger = logging.getLogger(__name__)

BATCH = 50
"""Cases registered per transaction."""


def register_cases(study: Study, on_step: Callable[[int, int], None] | None = None) -> int:
    """Look for new and changed images and read each once: it is checked, and its voxels go to the cache.

    Args:
        study: the study.
        on_step: told (cases read, cases to read).

    Returns:
        Number of cases that are new or changed.
    """
    scan = study.archive.scan()
    for line in scan.set_aside:
        logger.warning("Set aside %s", line)
    whole = {line.case_id: str(line) for line in scan.set_aside if line.kind == "case" and line.case_id is not None}
    study.ledger.note_rows_set_aside(
        (line.file, line.reason) for line in scan.set_aside if line.kind != "case" or line.case_id is None
    )
    known = study.ledger.signatures()
    present = {found.case_id for found in scan.cases}
    for case_id in known.keys() - present - whole.keys():
        study.ledger.set_aside(
            case_id, f"{case_id}: its image is no longer in the studies folder; put it back to use it"
        )
    aside = [CaseEntry(case_id, Role.UNLABELLED, "", f"aside {why}", reason=why) for case_id, why in whole.items()]
    study.ledger.register([entry for entry in aside if known.get(entry.case_id) != entry.signature])
    changed = [found for found in scan.cases if known.get(found.case_id) != _signature(found)]
    entries = []
    for number, found in enumerate(changed, start=1):
        entries.append(_check(study, found))
        if len(entries) >= BATCH:
            study.ledger.register(entries)
            entries = []
        if on_step is not None:
            on_step(number, len(changed))
    study.ledger.register(entries)
    return len(changed)


def _check(study: Study, found: FoundCase) -> CaseEntry:
    reason, slices, pixel_sha256 = None, 0, None
    try:
        volume, mask = check_case(found, study.task.classes, read=lambda path: study.cache.load(found.case_id, path))
        slices = volume.hu.shape[0]
        if mask is not None:
            pixel_sha256 = voxel_sha256(np.ascontiguousarray(mask))
        _check_same_grid(study, found, volume)
    except InputError as error:
        reason = str(error)
        logger.warning("Set aside %s", reason)
    return CaseEntry(
        case_id=found.case_id,
        role=found.role,
        uri=str(found.path),
        signature=_signature(found),
        slices=slices,
        reason=reason,
        image_labels=dict(found.image_labels),
        pixel_label=str(found.pixel_label) if found.pixel_label else None,
        pixel_sha256=pixel_sha256,
        patient=found.patient,
    )


def _check_same_grid(study: Study, found: FoundCase, volume: Volume) -> None:
    """Refuse an image put in the place of another: verdicts name slices, and proposals voxels, of the first."""
    proposal = study.ledger.current_proposal(found.case_id)
    if proposal is None:
        return
    judged = read_geometry(study.workspace.proposal(proposal.round, found.case_id)).native_shape
    if volume.geometry.native_shape != judged:
        now, before = ("x".join(map(str, shape)) for shape in (volume.geometry.native_shape, judged))
        raise InputError(
            found.path.name, f"has {now} voxels, but {before} when it was proposed; give the new image another case id"
        )


def _signature(found: FoundCase) -> str:
    """Changes when the image, its patient, its labels or its expert mask do, and when the folder is moved."""
    labels = sorted((str(number), sorted(label.present)) for number, label in found.image_labels.items())
    stamp = found.pixel_label.stat().st_mtime_ns if found.pixel_label else 0
    patient = "" if found.patient is None else f" {found.patient}"
    digest = hashlib.sha256(f"{labels} {found.path} {found.pixel_label} {stamp}{patient}".encode()).hexdigest()[:12]
    return f"{found.signature}-{digest}"
