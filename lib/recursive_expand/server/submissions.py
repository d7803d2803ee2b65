"""A label that a client submitted: a verdict on the frozen proposal, or an expert mask."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from recursive_expand.archives.images import read_label
from recursive_expand.cases import Geometry, LabelMap
from recursive_expand.errors import InputError, RecursiveExpandError
from recursive_expand.expand.frozen import frozen_label
from recursive_expand.expand.judging import Answer, check_takes_verdicts, judge, take_expert_mask
from recursive_expand.expand.recursion import Recursion
from recursive_expand.ledger import Actor, ProposalRecord, StaleProposal, VerdictKind, VerdictRecord
from recursive_expand.review import AmbiguousVerdict, Edited, Emptied, PartlyEmptied, Submission, as_drawn, compare


class EditRefused(RecursiveExpandError):
    """The submitted mask is an edit of the proposal."""


def submit_label(
    recursion: Recursion, actor: Actor, case_id: str, file: Path, params: Mapping[str, Any]
) -> VerdictRecord | None:
    """Take a submitted label for what it says about the case's proposal. Training never uses the upload itself.

    Args:
        recursion: the recursion.
        actor: who submitted it.
        case_id: the image it was submitted for.
        file: NIfTI or NRRD, any data type and compression.
        params: what the client sent along: `label_info`, and optionally `verdict` (needed for an empty proposal),
            `reason`, `comment`, `seconds`.

    Returns:
        The verdict; None where the label was taken as an expert mask.

    Raises:
        LedgerError: unknown case, stale or already decided proposal.
        InputError: the file is no mask on the image's grid.
        EditRefused: the mask differs from the proposal, and edits are not taken.
        AmbiguousVerdict: the proposal is empty and nothing says what an empty mask means.
    """
    ledger, task = recursion.ledger, recursion.settings.task
    check_takes_verdicts(recursion, actor, case_id)
    info = params.get("label_info")
    named = [entry for entry in info if isinstance(entry, dict)] if isinstance(info, list) else []
    proposal = ledger.proposals.current(case_id)
    if proposal is None:
        if ledger.rounds.current() is None or recursion.settings.review.edits == "promote":
            _take(recursion, actor, case_id, file, named)
            return None
        raise StaleProposal(f"case {case_id!r} has no proposal yet; POST /infer makes one")
    frozen = frozen_label(recursion.workspace, proposal, task.classes)
    submitted = _read(recursion, file, frozen.geometry)
    found = compare(frozen, submitted, label_info=named)
    if isinstance(found, Edited):
        if recursion.settings.review.edits == "promote":
            _take(recursion, actor, case_id, file, named)
            return None
        _refuse_edit(recursion, proposal, found, submitted)
    verdict, rejected = _verdict(proposal, found, params)
    said = {key: params.get(key) for key in ("reason", "comment", "seconds")}
    answer = Answer(verdict, rejected, **said)
    return judge(recursion, actor, case_id, proposal.sha256, answer)


def _read(recursion: Recursion, file: Path, image: Geometry) -> LabelMap:
    """The upload; one of another shape than the image's is refused before its voxels are decoded."""
    settings = recursion.settings
    limit = settings.machine.max_case_bytes
    try:
        return read_label(file, settings.task.classes, shape=image.native_shape, max_bytes=limit)
    except InputError as error:
        # The file's name on this machine is none that its sender knows.
        raise InputError("submitted mask", error.reason) from error


def _verdict(
    proposal: ProposalRecord, found: Submission, params: Mapping[str, Any]
) -> tuple[VerdictKind, tuple[int, ...]]:
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
    rejected: tuple[int, ...] = ()
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


def _refuse_edit(recursion: Recursion, proposal: ProposalRecord, found: Edited, submitted: LabelMap) -> NoReturn:
    for older in recursion.ledger.proposals.of_case(proposal.case_id):
        if older.sha256 == submitted.sha256 and older.proposal_id != proposal.proposal_id:
            raise StaleProposal(
                f"this is round {older.round}'s proposal of case {proposal.case_id!r}; round {proposal.round} has a "
                "newer one: fetch it and judge that one"
            )
    raise EditRefused(
        f"{found.describe()}. Proposals are accepted or rejected, never edited: submit it unchanged to accept, empty "
        "to reject, or with some slices emptied to reject those"
    )


def _take(
    recursion: Recursion, actor: Actor, case_id: str, file: Path, label_info: Sequence[Mapping[str, Any]]
) -> None:
    """Take an upload as an expert mask, on its image's grid and in the task's values."""
    image = recursion.volume(case_id).geometry
    submitted = _read(recursion, file, image)
    drawn = as_drawn(submitted, image, classes=recursion.settings.task.classes, label_info=label_info)
    take_expert_mask(recursion, actor, case_id, drawn)
