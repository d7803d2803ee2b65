"""Proposals: one a case and round, frozen with what they mark slice by slice."""

import pytest

from recursive_expand.ledger import (
    Actor,
    Features,
    LedgerError,
    OutdatedDraft,
    ProposalState,
    ProposedSlice,
    VerdictKind,
)
from recursive_expand.ledger.tables import proposal_slices


def test_a_proposal_comes_back_as_it_was_frozen(reviewing, draft):
    frozen = reviewing.proposals.current("a")
    made = draft("a")
    for name in ("case_id", "sha256", "model_sha256", "file", "unchanged_slices", "confidence"):
        assert getattr(frozen, name) == getattr(made, name)
    assert (frozen.slices, frozen.voxels) == ((0, 1), {"subdural": 20})
    assert (frozen.round, frozen.state, frozen.score) == (0, ProposalState.OPEN, None)
    assert reviewing.proposals.of_round("a", 0) == frozen
    assert reviewing.proposals.of_round("a", 1) is None
    assert reviewing.proposals.of_case("a") == [frozen]
    assert reviewing.proposals.proposed_in(0) == {"a", "b", "c"}
    assert reviewing.proposals.files() == {draft(case_id).file for case_id in "abc"}
    assert reviewing.proposals.current("x") is None


def test_voxels_are_told_by_class_over_all_slices(ledger, entry, draft, start):
    ledger.cases.register([entry("a")])
    start(ledger, 0)
    marked = (ProposedSlice(0, "subdural", 3), ProposedSlice(0, "epidural", 4), ProposedSlice(2, "subdural", 2))
    frozen = ledger.proposals.freeze(0, draft("a", marked=marked, features=Features(2.5, 3, 0.9)), serve=True)
    assert (frozen.slices, frozen.voxels) == ((0, 2), {"epidural": 4, "subdural": 5})
    (candidate,) = ledger.queue.candidates()
    assert (candidate.leading_class, candidate.features) == ("subdural", Features(2.5, 3, 0.9))


@pytest.mark.parametrize(
    ("values", "state"),
    [({}, "open"), ({"marked": ()}, "empty"), ({"unchanged": True}, "unchanged")],
)
def test_only_what_can_be_judged_is_served(ledger, entry, draft, start, values, state):
    ledger.cases.register([entry("a")])
    start(ledger, 0)
    assert ledger.proposals.freeze(0, draft("a", **values), serve=True).state == state
    assert ledger.queue.next("me", now=0, lease_seconds=60) == ("a" if state == "open" else None)
    assert ledger.queue.count() == (state == "open")
    assert ledger.proposals.count(0)[state] == 1


def test_a_case_has_one_proposal_a_round_the_first(reviewing, draft):
    again = reviewing.proposals.freeze(0, draft("a", (2,)))
    assert again == reviewing.proposals.current("a")
    assert again.slices == (0, 1)


def test_a_later_round_supersedes_what_nobody_decided_and_ends_its_lease(reviewing, draft, start):
    assert reviewing.queue.next("me", now=0, lease_seconds=60) == "a"
    start(reviewing, 1)
    reviewing.proposals.freeze(1, draft("a", (2,)))
    assert [p.state for p in reviewing.proposals.of_case("a")] == [ProposalState.SUPERSEDED, ProposalState.HELD]
    assert reviewing.queue.next("me", now=0, lease_seconds=60) == "b"  # the new one waits until its review opens


def test_a_decided_proposal_stays_decided_when_a_newer_one_comes(reviewing, draft, give, start):
    give(reviewing, "a", VerdictKind.REJECT)
    start(reviewing, 1)
    reviewing.proposals.freeze(1, draft("a", (2,)))
    assert [p.state for p in reviewing.proposals.of_case("a")] == [ProposalState.DECIDED, ProposalState.HELD]


def test_a_draft_that_does_not_know_a_verdict_is_refused(reviewing, draft, give, start):
    start(reviewing, 1)
    verdict = give(reviewing, "a")
    with pytest.raises(OutdatedDraft, match="case 'a' was judged while it was proposed anew"):
        reviewing.proposals.freeze(1, draft("a"), judged=[])
    assert reviewing.proposals.of_round("a", 1) is None
    assert reviewing.proposals.freeze(1, draft("a", ()), judged=[verdict.verdict_id]).round == 1


def test_a_draft_that_counts_on_a_verdict_taken_back_is_refused(reviewing, draft, give, start):
    verdict = give(reviewing, "a")
    reviewing.judgements.withdraw(Actor("ann", "slicer"), verdict.verdict_id)
    start(reviewing, 1)
    with pytest.raises(OutdatedDraft):
        reviewing.proposals.freeze(1, draft("a"), judged=[verdict.verdict_id])


def test_a_proposal_outside_the_bulk_is_served_at_once_behind_the_others(reviewing, entry, draft):
    reviewing.cases.register([entry("d"), entry("e")])
    for case_id in "ed":
        assert reviewing.proposals.freeze(0, draft(case_id), serve=True).state is ProposalState.OPEN
    assert [p.case_id for p, _ in reviewing.queue.page(now=0)] == ["a", "b", "c", "e", "d"]


def test_a_proposal_of_the_bulk_that_comes_after_the_opening_is_behind_the_others(reviewing, entry, draft):
    reviewing.cases.register([entry("d")])
    assert reviewing.proposals.freeze(0, draft("d")).state is ProposalState.OPEN
    assert [p.case_id for p, _ in reviewing.queue.page(now=0)] == ["a", "b", "c", "d"]


def test_a_recount_replaces_what_was_known_of_a_proposal_s_slices(ledger, entry, draft, start):
    ledger.cases.register([entry("a"), entry("b")])
    start(ledger, 0)
    unknown = (ProposedSlice(0, "subdural", 8), ProposedSlice(0, "epidural", 4), ProposedSlice(1, "subdural", 0))
    frozen = ledger.proposals.freeze(0, draft("a", marked=unknown))
    ledger.proposals.freeze(0, draft("b"))
    assert ledger.proposals.uncounted() == [frozen]
    counted = [ProposedSlice(0, "subdural", 8, 0.5), ProposedSlice(1, "epidural", 4, 0.9)]
    ledger.proposals.recount(frozen.proposal_id, counted)
    assert ledger.proposals.uncounted() == []
    assert ledger.proposals.current("a") == frozen
    with ledger.proposals._store.read() as connection:
        rows = connection.execute(proposal_slices.select().where(proposal_slices.c.proposal_id == frozen.proposal_id))
        assert [ProposedSlice(*row[1:]) for row in rows] == counted
    assert ledger.audit.verify() is None


def test_a_recount_that_finds_other_slices_is_refused(reviewing):
    frozen = reviewing.proposals.current("a")
    with pytest.raises(LedgerError, match=r"marks the slices \[0, 2\], but \[0, 1\] were proposed"):
        reviewing.proposals.recount(frozen.proposal_id, [ProposedSlice(n, "subdural", 1) for n in (0, 2)])
    assert reviewing.proposals.current("a") == frozen
    assert reviewing.audit.verify() is None
