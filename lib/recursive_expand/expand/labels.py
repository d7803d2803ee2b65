"""Write verdicts into the archive as label objects: accepted masks as `final`, rejected ones as `rejected`."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np

from recursive_expand.errors import InputError
from recursive_expand.expand.frozen import frozen_mask
from recursive_expand.expand.study import Study
from recursive_expand.ledger import VerdictRecord

logger = logging.getLogger(__name__)


def verdict_info(verdict: VerdictRecord, kind: str) -> dict[str, Any]:
    """What a label object says about the verdict behind it."""
    return {
        "verdict": kind,
        "round": verdict.round,
        "model_sha256": verdict.model_sha256,
        "proposal_sha256": verdict.proposal_sha256,
        "reviewer": verdict.reviewer,
        "client": verdict.client,
        "ts": verdict.ts,
    }


def write_labels(study: Study, case_id: str) -> None:
    """Make a case's label objects show its standing verdicts: all accepted slices, the last rejected ones.

    Repeating it changes nothing. The ledger is the truth: a kill between a verdict and its label object is made good
    by `write_pending_labels` at the next start.
    """
    verdicts = study.ledger.verdicts_of(case_id)
    case = study.ledger.case(case_id)
    geometry = study.volume(case).geometry
    final = np.zeros(geometry.shape, np.uint8)
    info: dict[str, dict[str, Any]] = {}
    rejected = None
    for verdict in verdicts:
        frozen = geometry.orientation.to_slices(frozen_mask(study.workspace, verdict.round, case_id))
        accepted = list(verdict.accepted_slices)
        final[accepted] = frozen[accepted]
        if verdict.verdict == "accept":
            info["final"] = verdict_info(verdict, "accept") | {"rejected_slices": list(verdict.rejected_slices)}
        if verdict.rejected_slices or verdict.verdict == "reject":
            rejected = np.zeros(geometry.shape, np.uint8)
            rejected[list(verdict.rejected_slices)] = frozen[list(verdict.rejected_slices)]
            info["rejected"] = verdict_info(verdict, "reject") | {"slices": list(verdict.rejected_slices)}
    for tag, mask in (("final", final), ("rejected", rejected)):
        if tag in info and mask is not None:
            native = np.ascontiguousarray(geometry.orientation.to_native(mask))
            study.archive.write_label(case_id, tag, native, geometry, info[tag])
        elif tag == "rejected" or case.pixel_label is None:
            study.archive.remove_label(case_id, tag)
    study.ledger.labels_written(
        case_id, final="final" in info or case.pixel_label is not None, rejected="rejected" in info
    )


def try_to_write_labels(study: Study, case_id: str) -> bool:
    """As `write_labels`; where the image cannot be read now, the labels stay pending. Returns whether it worked."""
    try:
        write_labels(study, case_id)
    except InputError as error:
        logger.warning("The labels of a case are written later: %s", error)
        return False
    return True


def write_pending_labels(study: Study) -> int:
    """Write the label objects that a kill left out of date; returns how many cases."""
    return sum(try_to_write_labels(study, case_id) for case_id in study.ledger.pending_labels())
