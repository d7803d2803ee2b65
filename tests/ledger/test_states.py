"""Derived facts: each follows from what is on record, however that came to be."""

import pytest

from recursive_expand.cases import Role
from recursive_expand.ledger import Actor, ProposalState, VerdictKind

ACCEPT, REJECT = VerdictKind.ACCEPT, VerdictKind.REJECT
ANN = Actor("ann", "slicer")


def unsettled(ledger):
    return [case.case_id for case in ledger.cases.iterate(unsettled=True)]


def test_settled_cases_are_those_accepted_whole(reviewing, give):
    give(reviewing, "a")
    give(reviewing, "b", ACCEPT, (1,))
    give(reviewing, "c", REJECT)
    assert unsettled(reviewing) == ["b", "c"]


def test_a_case_is_not_settled_while_a_slice_was_left_out_as_unchanged(ledger, entry, draft, give, start, open_review):
    ledger.cases.register([entry("a")])
    start(ledger, 0)
    ledger.proposals.freeze(0, draft("a", (0, 2), unchanged_slices=(1,)))
    open_review(ledger, 0)
    give(ledger, "a")
    assert unsettled(ledger) == ["a"]


def test_a_case_with_an_empty_proposal_that_was_accepted_is_settled(ledger, entry, draft, give, start):
    ledger.cases.register([entry("a")])
    start(ledger, 0)
    ledger.proposals.freeze(0, draft("a", ()))
    give(ledger, "a")
    assert unsettled(ledger) == []


def test_a_case_with_an_expert_mask_is_settled(reviewing):
    reviewing.cases.promote_to_pixel("a", reviewer="x", sha256="e" * 64)
    assert unsettled(reviewing) == ["b", "c"]


def test_a_case_whose_verdict_was_taken_back_is_proposed_anew(reviewing, give):
    verdict = give(reviewing, "a")
    assert "a" not in unsettled(reviewing)
    reviewing.judgements.withdraw(ANN, verdict.verdict_id)
    assert "a" in unsettled(reviewing)


@pytest.mark.parametrize(
    ("verdict", "rejected", "tags"),
    [(ACCEPT, (), ["final"]), (ACCEPT, (1,), ["final", "rejected"]), (REJECT, (), ["rejected"])],
)
def test_label_objects_follow_from_verdicts(reviewing, give, verdict, rejected, tags):
    found = give(reviewing, "a", verdict, rejected)
    has = {tag: reviewing.cases.ids(tag=tag, labelled=True) for tag in ("final", "rejected")}
    assert [tag for tag, ids in has.items() if ids == ["a"]] == tags
    reviewing.judgements.withdraw(ANN, found.verdict_id)
    assert reviewing.cases.ids(tag="final", labelled=True) == reviewing.cases.ids(tag="rejected", labelled=True) == []


def test_an_expert_mask_is_a_final_label_only_in_a_role_where_it_counts(ledger, entry):
    roles = {"p": Role.PIXEL, "t": Role.TEST, "u": Role.UNLABELLED}
    ledger.cases.register([entry(case_id, role, pixel_sha256="e" * 64) for case_id, role in roles.items()])
    assert ledger.cases.ids(tag="final", labelled=True) == ["p", "t"]


def test_a_verdict_is_used_by_the_first_round_that_knew_it(reviewing, give, draft, start, open_review):
    first = give(reviewing, "a", REJECT)
    start(reviewing, 1)
    reviewing.proposals.freeze(1, draft("a", (2,)))
    open_review(reviewing, 1)
    second = give(reviewing, "a")
    assert [reviewing.judgements.verdict(v.verdict_id).used_by for v in (first, second)] == [1, None]
    start(reviewing, 2)
    assert [reviewing.judgements.verdict(v.verdict_id).used_by for v in (first, second)] == [1, 2]


def test_a_verdict_taken_back_is_used_by_no_round(reviewing, give, start):
    taken_back = reviewing.judgements.withdraw(ANN, give(reviewing, "a").verdict_id)
    start(reviewing, 1)
    assert reviewing.judgements.verdict(taken_back.verdict_id).used_by is None


def test_a_decided_proposal_stays_decided_when_its_case_is_set_aside(reviewing, give):
    give(reviewing, "a")
    reviewing.cases.set_aside("a", "is gone")
    reviewing.cases.set_aside("b", "is gone")
    states = {case_id: reviewing.proposals.current(case_id).state for case_id in "abc"}
    assert states == {"a": ProposalState.DECIDED, "b": ProposalState.HELD, "c": ProposalState.OPEN}


def test_an_expert_mask_leaves_a_decided_proposal_decided(reviewing, give):
    give(reviewing, "a")
    reviewing.cases.promote_to_pixel("a", reviewer="x", sha256="e" * 64)
    assert reviewing.proposals.current("a").state is ProposalState.DECIDED


def test_an_empty_proposal_is_empty_also_while_its_case_is_set_aside(ledger, entry, draft, start):
    ledger.cases.register([entry("a")])
    start(ledger, 0)
    ledger.proposals.freeze(0, draft("a", ()))
    ledger.cases.set_aside("a", "is gone")
    assert ledger.proposals.current("a").state is ProposalState.EMPTY
