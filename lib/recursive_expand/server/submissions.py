"""A label that a client submitted: a verdict on the frozen proposal, or an expert mask."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recursive_expand.archives.images import read_geometry, read_mask
from recursive_expand.cases import Geometry, Role, voxel_sha256
from recursive_expand.errors import InputError, RecursiveExpandError
from recursive_expand.expand.frozen import frozen_mask
from recursive_expand.expand.labels import write_labels
from recursive_expand.expand.study import Study
from recursive_expand.ledger import CaseRecord, ProposalRecord, ProposalState, StaleProposal, VerdictKind, VerdictRecord
from recursive_expand.review import AmbiguousVerdict, Edited, Emptied, PartlyEmptied, Submission, compare


class EditRefused(RecursiveExpandError):
    """The submitted mask is an edit of the proposal."""


def submit_label(study: Study, case_id: str, file: Path, params: Mapping[str, Any]) -> VerdictRecord | None:
    """Take a submitted label for what it says about the case's proposal. Training never uses the upload itself.

    Args:
        study: the study.
        case_id: the image it was submitted for.
        file: NIfTI or NRRD, any data type and compression.
        params: what the client sent along: `label_info`, `client_id`, and optionally `reviewer`, `verdict` (needed
            for an empty proposal), `reason`, `comment`, `seconds`.

    Returns:
        The verdict; None where the label was taken as an expert mask.

    Raises:
        LedgerError: unknown case, stale or already decided proposal.
        InputError: the file is no mask on the image's grid.
        EditRefused: the mask differs from the proposal, and edits are not taken.
        AmbiguousVerdict: the proposal is empty and nothing says what an empty mask means.
    """
    case = study.ledger.case(case_id)
    geometry = study.volume(case).geometry
    mask = read_mask(file)
    if mask.shape != geometry.native_shape:
        sent, own = ("x".join(map(str, shape)) for shape in (mask.shape, geometry.native_shape))
        raise InputError("submitted mask", f"has {sent} voxels, the image {own}; submit it on the image's own grid")
    if case.role in (Role.PIXEL, Role.TEST):
        raise EditRefused(f"case {case_id!r} has an expert mask (role {case.role}); it takes no verdicts")
    proposal = study.ledger.current_proposal(case_id)
    if proposal is None:
        if study.ledger.current_round() is None or study.task.edits == "promote":
            _promote(study, case, mask, geometry, params)
            return None
        raise StaleProposal(f"case {case_id!r} has no proposal yet to judge; POST /infer makes one")
    found = _compare(study, proposal, mask, geometry, file, params)
    if isinstance(found, Edited):
        if study.task.edits == "promote":
            _promote(study, case, mask, geometry, params)
            return None
        _refuse_edit(study, case_id, proposal, found, mask)
    verdict, rejected = _verdict(proposal, found, params)
    client = str(params.get("client_id") or "unknown")
    seconds = params.get("seconds")
    decided = study.ledger.decide(
        case_id,
        proposal.sha256,
        verdict,
        rejected_slices=rejected,
        reviewer=str(params.get("reviewer") or client),
        client=client,
        reason=_text(params, "reason"),
        comment=_text(params, "comment"),
        seconds=float(seconds) if isinstance(seconds, int | float) and 0 <= seconds < math.inf else None,
    )
    write_labels(study, case_id)
    return decided


def _compare(
    study: Study,
    proposal: ProposalRecord,
    mask: NDArray[np.uint8],
    geometry: Geometry,
    file: Path,
    params: Mapping[str, Any],
) -> Submission:
    sent = read_geometry(file).affine
    reversed_slices = float(np.dot(sent[:3, 2], geometry.affine[:3, 2])) < 0
    info = params.get("label_info")
    return compare(
        frozen_mask(study.workspace, proposal.round, proposal.case_id),
        mask,
        geometry,
        classes=study.task.classes,
        label_info=[entry for entry in info if isinstance(entry, dict)] if isinstance(info, list) else [],
        reversed_slices=reversed_slices,
    )


def _verdict(
    proposal: ProposalRecord, found: Submission, params: Mapping[str, Any]
) -> tuple[VerdictKind, Sequence[int]]:
    said = params.get("verdict")
    if said is not None and said not in tuple(VerdictKind):
        raise InputError("params.verdict", f"is {said!r}; it must be accept or reject")
    if not proposal.slices:
        if said is None:
            raise AmbiguousVerdict(
                f"the proposal of case {proposal.case_id!r} is empty, so an empty mask says neither accept nor reject: "
                'add "verdict": "accept" or "reject" to params, or POST /recursive/verdicts'
            )
        return VerdictKind(said), ()
    meant: VerdictKind
    rejected: Sequence[int] = ()
    if isinstance(found, Emptied):
        meant = VerdictKind.REJECT
    elif isinstance(found, PartlyEmptied):
        meant, rejected = VerdictKind.ACCEPT, found.slices
    else:
        # An unchanged mask may be sent along with an explicit reject.
        meant = VerdictKind(said or VerdictKind.ACCEPT)
    if said is not None and said != meant:
        raise AmbiguousVerdict(f"params say {said}, the submitted mask says {meant}; send one or the other")
    return meant, rejected


def _refuse_edit(study: Study, case_id: str, proposal: ProposalRecord, found: Edited, mask: NDArray[np.uint8]) -> None:
    sha256 = voxel_sha256(np.ascontiguousarray(mask))
    for older in study.ledger.proposals_of(case_id):
        if older.sha256 == sha256 and older.round != proposal.round:
            raise StaleProposal(
                f"this is round {older.round}'s proposal of case {case_id!r}; round {proposal.round} has a newer one: "
                "fetch it and judge that one"
            )
    raise EditRefused(
        f"{found.describe()}. Proposals are accepted or rejected, never edited: submit it unchanged to accept, empty "
        "to reject, or with some slices emptied to reject those"
    )


def _promote(
    study: Study, case: CaseRecord, mask: NDArray[np.uint8], geometry: Geometry, params: Mapping[str, Any]
) -> None:
    """Take a mask as an expert's: the case joins the pixel set."""
    highest = int(mask.max(initial=0))
    if highest > len(study.task.classes):
        known = ", ".join(f"{value} {name}" for name, value in study.task.label_names.items())
        raise InputError("submitted mask", f"holds the value {highest}, which is no class; classes are {known}")
    current = study.ledger.current_proposal(case.case_id)
    if current is not None and current.state is ProposalState.DECIDED:
        raise EditRefused(f"case {case.case_id!r} was already decided; take the verdict back before editing its mask")
    reviewer = str(params.get("reviewer") or params.get("client_id") or "unknown")
    info = {"source": "expert mask", "reviewer": reviewer}
    path = study.archive.write_label(case.case_id, "final", mask, geometry, info)
    sha256 = voxel_sha256(np.ascontiguousarray(mask))
    study.ledger.promote_to_pixel(case.case_id, str(path), reviewer=reviewer, sha256=sha256)


def _text(params: Mapping[str, Any], key: str) -> str | None:
    value = params.get(key)
    return None if value is None else str(value)[:2000]
