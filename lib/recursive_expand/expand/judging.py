"""The one door for a verdict: whichever client it comes from, it is taken, refused and answered here."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass

from recursive_expand.cases import LabelMap, Role
from recursive_expand.errors import InputError, RecursiveExpandError
from recursive_expand.expand.labels import deliver
from recursive_expand.expand.recursion import Recursion
from recursive_expand.ledger import Actor, ProposalState, ReadingFacts, VerdictKind, VerdictRecord


class Unnamed(RecursiveExpandError):
    """Nobody says who acts."""


class HasExpertMask(RecursiveExpandError):
    """The case has an expert mask, or is there to measure with: there is nothing to judge."""


class ExpertMaskRefused(RecursiveExpandError):
    """A drawn mask is not taken: the case was decided already."""


@dataclass(frozen=True)
class Answer:
    """An expert's answer to a proposal.

    Attributes:
        verdict: accept (but for `rejected_slices`) or reject (all of it).
        rejected_slices: with accept, numbers of the slices whose mask is rejected.
        reason, comment: why; seconds: how long it took, if known.
        facts: how it was read, if the client says so.
    """

    verdict: VerdictKind
    rejected_slices: tuple[int, ...] = ()
    reason: str | None = None
    comment: str | None = None
    seconds: float | None = None
    facts: ReadingFacts | None = None


def judge(recursion: Recursion, actor: Actor, case_id: str, proposal_sha256: str, answer: Answer) -> VerdictRecord:
    """Take a verdict: it is durable when this returns, and its label objects are written or queued to be.

    Repeating the same verdict, or one under the same client-made id, returns the first one.

    Args:
        recursion: the recursion.
        actor: who judges.
        case_id: the case.
        proposal_sha256: the proposal that was looked at.
        answer: what the expert says of it.

    Raises:
        Unnamed, HasExpertMask: see `check_takes_verdicts`.
        InputError: a rejected slice has no mask in this proposal, or a reject names some slices alone.
        LedgerError: unknown case, stale proposal, or decided otherwise.
    """
    ledger = recursion.ledger
    if answer.facts is not None:
        _named(actor)
        # First: it may arrive again long after, when the case takes no more verdicts.
        repeated = ledger.judgements.repeated(answer.facts.client_verdict_id, actor, proposal_sha256)
        if repeated is not None:
            return repeated
    check_takes_verdicts(recursion, actor, case_id)
    if answer.verdict is VerdictKind.REJECT and answer.rejected_slices:
        looked_at = [proposal for proposal in ledger.proposals.of_case(case_id) if proposal.sha256 == proposal_sha256]
        if looked_at and set(answer.rejected_slices) != set(looked_at[-1].slices):
            raise InputError(
                "rejected_slices", "names some slices, but reject rejects all of them; to reject some, send accept"
            )
    try:
        verdict = ledger.judgements.give(
            actor,
            case_id,
            proposal_sha256,
            answer.verdict,
            rejected_slices=() if answer.verdict is VerdictKind.REJECT else answer.rejected_slices,
            reason=answer.reason,
            comment=answer.comment,
            seconds=answer.seconds,
            facts=answer.facts,
        )
    except ValueError as error:
        raise InputError("rejected_slices", str(error)) from error
    if recursion.archive.immediate:
        deliver(recursion, case_id)
    return verdict


def check_takes_verdicts(recursion: Recursion, actor: Actor, case_id: str) -> None:
    """Whether this actor may judge this case at all: what every door asks first.

    Raises:
        Unnamed: the actor has no name.
        UnknownCase: there is no such case.
        HasExpertMask: the case takes no verdicts.
    """
    _named(actor)
    role = recursion.ledger.cases.get(case_id).role
    if role in (Role.PIXEL, Role.TEST):
        raise HasExpertMask(f"case {case_id!r} has an expert mask (role {role}); it takes no verdicts")


def withdraw(recursion: Recursion, actor: Actor, verdict_id: int) -> VerdictRecord:
    """Take one's own verdict back; it stays on record, and the proposal waits for a verdict again.

    Raises:
        Unnamed: the actor has no name.
        LedgerError: no such verdict, someone else's, or a training round used it already.
    """
    _named(actor)
    verdict = recursion.ledger.judgements.withdraw(actor, verdict_id)
    if recursion.archive.immediate:
        deliver(recursion, verdict.case_id)
    return verdict


def take_expert_mask(recursion: Recursion, actor: Actor, case_id: str, label: LabelMap) -> None:
    """Take a mask as an expert's: the case joins the pixel set from the next round on.

    Args:
        recursion: the recursion.
        actor: who drew it.
        case_id: the case.
        label: the mask, on the image's grid.

    Raises:
        Unnamed: the actor has no name.
        InputError: the mask holds a value that is no class.
        ExpertMaskRefused: the case was decided already.
    """
    _named(actor)
    classes = recursion.settings.task.classes
    wrong = [value for value in label.values if value > len(classes)]
    if wrong:
        known = ", ".join(f"{value} {name}" for value, name in enumerate(classes, start=1))
        raise InputError("submitted mask", f"holds the value {wrong[0]}, which is no class; classes are {known}")
    current = recursion.ledger.proposals.current(case_id)
    if current is not None and current.state is ProposalState.DECIDED:
        raise ExpertMaskRefused(f"case {case_id!r} was already decided; take the verdict back before editing its mask")
    # An archive elsewhere only takes note now: a reader does not wait for what the conductor is sending there.
    with recursion.lock(case_id) if recursion.archive.immediate else nullcontext():
        recursion.archive.put_label(case_id, "final", label, {"source": "expert mask", "reviewer": actor.reviewer})
        recursion.ledger.cases.promote_to_pixel(case_id, reviewer=actor.reviewer, sha256=label.sha256)


def _named(actor: Actor) -> None:
    if not actor.reviewer.strip():
        raise Unnamed("who are you? give a reviewer's name; a verdict can be taken back by the one who gave it")
