"""What 3D Slicer's MONAILabelReviewer says of a label, taken as a verdict."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Literal

from pydantic import BaseModel, Field

from recursive_expand.errors import InputError
from recursive_expand.expand.judging import Answer, check_takes_verdicts, judge, withdraw
from recursive_expand.expand.recursion import Recursion
from recursive_expand.ledger import Actor, ProposalRecord, StaleProposal, VerdictKind, VerdictRecord
from recursive_expand.server.datastore import proposal_under
from recursive_expand.server.listing import APPROVED, FLAGGED, META

CLIENT = "MONAILabelReviewer"
"""The program of these verdicts; it does not name itself."""
KIND = {APPROVED: VerdictKind.ACCEPT, FLAGGED: VerdictKind.REJECT}


class SegmentationMeta(BaseModel):
    """The five keys that the module sends, and needs again: it breaks on an entry that lacks one."""

    status: Literal["", "approved", "flagged", "segmented", "not segmented"]
    approvedBy: Annotated[str, Field(max_length=200)]  # noqa: N815
    level: Literal["", "easy", "medium", "hard"]
    comment: Annotated[str, Field(max_length=2000)]
    editTime: int | Annotated[str, Field(max_length=40)]  # noqa: N815


class LabelReview(BaseModel):
    """The JSON of PUT /datastore/updatelabelinfo; what else it holds is not kept."""

    segmentationMeta: SegmentationMeta  # noqa: N815


def take_review(
    recursion: Recursion, actor: Actor, case_id: str, tag: str, meta: SegmentationMeta
) -> VerdictRecord | None:
    """Take `approved` as an accept and `flagged` as a reject of the proposal under a tag.

    The module cannot take a verdict back: while the round is open, the other button of the same reviewer does. With
    each change it repeats what the case's other labels had, at the time that they had it; that changes nothing.

    Args:
        recursion: the recursion.
        actor: who reviews.
        case_id: the case.
        tag: `version_<round>`, `original`, or `final` of a case that was accepted.
        meta: what the module sent.

    Returns:
        The verdict that stands; None where the status is none.

    Raises:
        Unnamed, HasExpertMask, LedgerError: as `judge` and `withdraw`.
    """
    kind = KIND.get(meta.status)
    if kind is None:
        return None
    check_takes_verdicts(recursion, actor, case_id)
    proposal = _reviewed(recursion, case_id, tag)
    standing = recursion.ledger.judgements.of_case(case_id)
    of_round = [one for one in standing if one.round == proposal.round and one.reviewer == actor.reviewer]
    if of_round and _sent_before(recursion, case_id, tag, meta):  # of a first look, too, whose second has the same tag
        return of_round[-1]
    own = [one for one in of_round if one.proposal_id == proposal.proposal_id]
    if own and own[-1].verdict is not kind:
        withdraw(recursion, actor, own[-1].verdict_id)
    elif own:
        return own[-1]
    actor = dataclasses.replace(actor, client=CLIENT)
    return judge(recursion, actor, case_id, proposal.sha256, Answer(kind, comment=meta.comment or None))


def _reviewed(recursion: Recursion, case_id: str, tag: str) -> ProposalRecord:
    """The proposal that is behind the label that the module showed."""
    ledger = recursion.ledger
    if tag == "rejected":
        raise InputError("tag", "is rejected; a proposal is reviewed under version_<round>")
    if tag != "final":
        found = proposal_under(recursion, case_id, tag)
        if found is None:
            raise StaleProposal(f"case {case_id!r} has no proposal yet; POST /infer makes one")
        return found
    accepted = [one for one in ledger.judgements.of_case(case_id) if one.verdict is VerdictKind.ACCEPT]
    if not accepted:
        current = ledger.proposals.current(case_id)
        mend = f"choose the label version_{current.round}" if current else "POST /infer makes a proposal"
        raise StaleProposal(f"case {case_id!r} has no final label yet; {mend}")
    found = ledger.proposals.of_round(case_id, accepted[-1].round, sha256=accepted[-1].proposal_sha256)
    assert found is not None
    return found


def _sent_before(recursion: Recursion, case_id: str, tag: str, meta: SegmentationMeta) -> bool:
    sent = recursion.ledger.cases.label_note(case_id, tag).get(META)
    return isinstance(sent, dict) and (sent.get("status"), sent.get("editTime")) == (meta.status, meta.editTime)
