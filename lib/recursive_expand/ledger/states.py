"""What follows from the ledger's facts: a proposal's state, whether a case is settled, which round used a verdict."""

from __future__ import annotations

from functools import cache

from sqlalchemy import ColumnElement, Connection, Text, and_, case, cast, exists, func, or_, select, update

from recursive_expand.cases import Role
from recursive_expand.ledger.records import CaseState, ProposalState, VerdictKind
from recursive_expand.ledger.tables import cases, judgements, proposals, rounds, verdicts

MASKED_ROLES = (Role.PIXEL, Role.TEST)
"""Roles of cases whose expert mask counts."""


def refresh(connection: Connection, where: ColumnElement[bool]) -> None:
    """Write the state of these proposals anew, in one statement: the only one that writes it.

    Args:
        connection: in the transaction that changed what the state follows from: proposals, standing verdicts, the
            case's role and state, the opening of the round's review.
        where: over `proposals`.
    """
    connection.execute(update(proposals).where(where).values(state=state_of_proposal()))


@cache
def state_of_proposal() -> ColumnElement[str]:
    """The state (`ProposalState`) of a row of `proposals`, from the facts."""
    newer = proposals.alias("newer")

    def case_is(condition: ColumnElement[bool]) -> ColumnElement[bool]:
        of_case = exists(cases.c.case_id).where(cases.c.case_id == proposals.c.case_id, condition)
        return of_case.correlate(proposals)

    decided = exists(verdicts.c.verdict_id).where(
        verdicts.c.proposal_id == proposals.c.proposal_id, verdicts.c.withdrawn.is_(None)
    )
    outdated = exists(newer.c.proposal_id).where(
        newer.c.case_id == proposals.c.case_id, newer.c.round > proposals.c.round
    )
    taken_back = ~rejection_stands()
    unopened = exists(rounds.c.round).where(rounds.c.round == proposals.c.round, rounds.c.opened.is_(None))
    held = or_(
        and_(proposals.c.served.is_(False), unopened.correlate(proposals)),
        case_is(cases.c.state == CaseState.SET_ASIDE),
    )
    return case(
        (decided.correlate(proposals), ProposalState.DECIDED.value),
        (
            or_(outdated.correlate(proposals), taken_back, case_is(cases.c.role == Role.PIXEL)),
            ProposalState.SUPERSEDED.value,
        ),
        (and_(proposals.c.made_as == ProposalState.OPEN, held), ProposalState.HELD.value),
        else_=proposals.c.made_as,
    )


@cache
def rejection_stands() -> ColumnElement[bool]:
    """Whether a row of `proposals` may be looked at: if it is a second chance, what it answers is still said.

    That is so also where the verdict was taken back and then given again, with the same slices rejected.
    """
    followed, standing = verdicts.alias("followed"), verdicts.alias("standing")
    before, now = judgements.alias("before"), judgements.alias("now")
    differs = exists(now.c.slice).where(
        before.c.verdict_id == followed.c.verdict_id,
        now.c.verdict_id == standing.c.verdict_id,
        now.c.slice == before.c.slice,
        now.c.accepted != before.c.accepted,
    )
    same = exists(standing.c.verdict_id).where(
        followed.c.verdict_id == proposals.c.follows,
        standing.c.proposal_id == followed.c.proposal_id,
        standing.c.withdrawn.is_(None),
        ~differs.correlate(followed, standing),
    )
    return or_(proposals.c.chance == 0, same.correlate(proposals))


@cache
def shown() -> ColumnElement[bool]:
    """Whether a row of `proposals` can be its case's newest: a second chance with nothing to see never is."""
    return or_(proposals.c.chance == 0, and_(proposals.c.made_as == ProposalState.OPEN, rejection_stands()))


@cache
def settled() -> ColumnElement[bool]:
    """Whether a row of `cases` is decided for good: every slice that could be proposed has been accepted.

    What was accepted whole is not asked again. Anything else is proposed anew by the next round, also slices that a
    proposal left out because they hardly differed from what had been rejected.
    """
    whole = exists(verdicts.c.verdict_id).where(
        *_standing(),
        verdicts.c.verdict == VerdictKind.ACCEPT,
        verdicts.c.proposal_id == proposals.c.proposal_id,
        cast(proposals.c.unchanged_slices, Text) == "[]",
        ~_some_rejected(),
    )
    return or_(cases.c.role == Role.PIXEL, whole.correlate(cases))


@cache
def has_label(tag: str | None) -> ColumnElement[bool]:
    """Whether a row of `cases` has a label object: `rejected`, or `final` (any other tag)."""
    found = exists(verdicts.c.verdict_id).where(*_standing())
    if tag == "rejected":
        return found.where(or_(verdicts.c.verdict == VerdictKind.REJECT, _some_rejected())).correlate(cases)
    drawn = and_(cases.c.role.in_(MASKED_ROLES), cases.c.pixel_sha256.is_not(None))
    return or_(drawn, found.where(verdicts.c.verdict == VerdictKind.ACCEPT).correlate(cases))


@cache
def used_by() -> ColumnElement[int | None]:
    """The first round whose training set knew a row of `verdicts`; null while it can be taken back."""
    knew = select(rounds.c.round).where(rounds.c.last_verdict >= verdicts.c.verdict_id)
    # Later rounds know at least as much: the first of the index. For `min(round)` SQLite would read the long rows.
    first = knew.order_by(rounds.c.last_verdict, rounds.c.round).limit(1)
    return case((verdicts.c.withdrawn.is_(None), first.correlate(verdicts).scalar_subquery()), else_=None)


@cache
def unused() -> ColumnElement[bool]:
    """Whether no round's training set knew a row of `verdicts` that stands."""
    newest = select(func.coalesce(func.max(rounds.c.last_verdict), 0)).scalar_subquery()
    return and_(verdicts.c.withdrawn.is_(None), verdicts.c.verdict_id > newest)


def _standing() -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    """Of a row of `verdicts`: it is on this row of `cases`, and was not taken back."""
    return verdicts.c.case_id == cases.c.case_id, verdicts.c.withdrawn.is_(None)


def _some_rejected() -> ColumnElement[bool]:
    """Whether a row of `verdicts` rejects a slice."""
    return (
        exists(judgements.c.slice)
        .where(judgements.c.verdict_id == verdicts.c.verdict_id, judgements.c.accepted.is_(False))
        .correlate(verdicts)
    )
