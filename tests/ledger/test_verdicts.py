"""Verdicts: one standing verdict a proposal; resending is harmless; whoever is refused is told why."""

import re

import pytest

from recursive_expand.ledger import (
    AlreadyDecided,
    Ledger,
    NotWithdrawable,
    NotYours,
    ProposalState,
    StaleProposal,
    UnknownCase,
    UnknownVerdict,
    VerdictKind,
)

ACCEPT, REJECT = VerdictKind.ACCEPT, VerdictKind.REJECT


@pytest.fixture
def decide(reviewing, draft):
    """Decide a case's proposal of round 0 as the reviewer "ann"."""

    def _decide(case_id, verdict, rejected=(), *, reviewer="ann", sha256=None, **kwargs):
        sha256 = sha256 or draft(case_id).sha256
        settings = {"rejected_slices": rejected, "reviewer": reviewer, "client": "slicer", **kwargs}
        return reviewing.decide(case_id, sha256, verdict, **settings)

    return _decide


@pytest.mark.parametrize(
    ("verdict", "rejected", "kind", "accepted_slices", "rejected_slices"),
    [
        (ACCEPT, [], ACCEPT, (0, 1), ()),
        (REJECT, [], REJECT, (), (0, 1)),
        (ACCEPT, [1, 1], ACCEPT, (0,), (1,)),
        (ACCEPT, [1, 0], REJECT, (), (0, 1)),
    ],
)
def test_slices_are_split_by_the_verdict(decide, verdict, rejected, kind, accepted_slices, rejected_slices):
    found = decide("a", verdict, rejected)
    assert (found.verdict, found.accepted_slices, found.rejected_slices) == (kind, accepted_slices, rejected_slices)


def test_a_verdict_comes_back_as_it_was_given_also_from_the_file(reviewing, decide, draft, tmp_path):
    given = decide("a", ACCEPT, [1], reason="motion", comment="ü\n", seconds=2.5)
    assert (given.reviewer, given.client, given.reason, given.comment, given.seconds) == (
        "ann",
        "slicer",
        "motion",
        "ü\n",
        2.5,
    )
    assert (given.proposal_sha256, given.model_sha256, given.round) == (draft("a").sha256, "m" * 64, 0)
    assert (given.used_by, given.withdrawn) == (None, None)
    other = Ledger(tmp_path / "ledger.sqlite")
    assert other.verdicts_of("a") == [given]
    assert other.current_proposal("a").state is ProposalState.DECIDED
    other.close()


def test_a_rejected_slice_without_a_mask_is_refused_with_those_that_have_one(reviewing, decide):
    with pytest.raises(ValueError, match=r"slices \[2\] have no mask in this proposal; those that have: \[0, 1\]"):
        decide("a", ACCEPT, [1, 2])
    assert reviewing.verdicts_of("a") == []
    assert reviewing.count_undecided() == 3


def test_resending_returns_the_first_verdict(reviewing, decide):
    first = decide("a", ACCEPT, [1])
    assert decide("a", ACCEPT, [1], comment="again") == first
    assert reviewing.count_verdicts() == {"accept": 1, "reject": 0, "accepted_slices": 1, "rejected_slices": 1}


def test_resending_after_the_next_round_proposed_anew_is_harmless(reviewing, decide, draft, start):
    first = decide("a", ACCEPT, [1])
    start(reviewing, 1, (first.verdict_id,))
    reviewing.freeze(1, draft("a", (1,)))
    again = decide("a", ACCEPT, [1])
    assert (again.verdict_id, again.used_by) == (first.verdict_id, 1)


def test_another_verdict_says_who_decided_and_when(decide):
    first = decide("a", ACCEPT)
    with pytest.raises(AlreadyDecided, match=rf"already decided \(accept\) by ann at {re.escape(first.ts)}$"):
        decide("a", ACCEPT, reviewer="bob")
    with pytest.raises(AlreadyDecided, match=rf"by you at .*; take verdict {first.verdict_id} back first"):
        decide("a", REJECT)
    with pytest.raises(AlreadyDecided):
        decide("a", ACCEPT, [0])


def test_a_stale_proposal_names_the_newer_one(reviewing, decide, draft, start):
    start(reviewing, 1)
    newer = reviewing.freeze(1, draft("a", (2,)))
    with pytest.raises(StaleProposal, match=f"of case 'a' is stale: round 1 proposes {newer.sha256[:12]}"):
        decide("a", ACCEPT)
    with pytest.raises(StaleProposal, match="proposal ffffffffffff of case 'b' is stale"):
        decide("b", ACCEPT, sha256="f" * 64)


def test_what_is_not_there_cannot_be_decided(reviewing, decide, entry):
    with pytest.raises(UnknownCase, match="no case 'x'"):
        decide("x", ACCEPT)
    reviewing.register([entry("d")])
    with pytest.raises(StaleProposal, match="case 'd' has no proposal yet; POST /infer makes one"):
        decide("d", ACCEPT)


def test_a_case_with_an_expert_mask_takes_no_verdict(reviewing, decide):
    reviewing.promote_to_pixel("a", "/s/labels/final/a.nii.gz", reviewer="x", sha256="e" * 64)
    with pytest.raises(StaleProposal, match="case 'a' has an expert mask by now; it takes no verdicts"):
        decide("a", ACCEPT)
    assert reviewing.verdicts_of("a") == []


def test_a_verdict_taken_back_stays_on_record_and_the_case_comes_last(reviewing, decide):
    verdict = decide("a", ACCEPT)
    back = reviewing.withdraw(verdict.verdict_id, reviewer="ann")
    assert back.withdrawn is not None
    assert reviewing.withdraw(verdict.verdict_id, reviewer="ann") == back
    assert reviewing.verdicts_of("a") == []
    assert [p.case_id for p, _ in reviewing.queue(now=0)] == ["b", "c", "a"]
    assert decide("a", REJECT).verdict_id != verdict.verdict_id


def test_a_verdict_ends_the_lease(reviewing, decide):
    assert reviewing.next_proposal("x", now=0, lease_seconds=60) == "a"
    reviewing.withdraw(decide("a", ACCEPT).verdict_id, reviewer="ann")
    assert {p.case_id: client for p, client in reviewing.queue(now=1)} == {"a": None, "b": None, "c": None}


def test_a_case_whose_verdict_was_taken_back_is_proposed_anew(reviewing, decide):
    verdict = decide("a", ACCEPT)
    assert "a" not in {case.case_id for case in reviewing.iter_cases(unsettled=True)}
    reviewing.withdraw(verdict.verdict_id, reviewer="ann")
    assert "a" in {case.case_id for case in reviewing.iter_cases(unsettled=True)}


def test_only_the_reviewer_takes_a_verdict_back(reviewing, decide):
    verdict = decide("a", ACCEPT)
    with pytest.raises(NotYours, match=f"verdict {verdict.verdict_id} is ann's; only they can take it back"):
        reviewing.withdraw(verdict.verdict_id, reviewer="bob")
    with pytest.raises(UnknownVerdict, match="there is no verdict 99"):
        reviewing.withdraw(99, reviewer="ann")
    assert reviewing.withdraw(verdict.verdict_id, reviewer=None).withdrawn


@pytest.mark.parametrize("converged", [True, False])
def test_a_verdict_of_a_closed_review_cannot_be_taken_back(reviewing, decide, converged):
    verdict = decide("a", ACCEPT)
    reviewing.close_review(0, converged=converged, report={})
    with pytest.raises(NotWithdrawable, match="belongs to round 0, whose review is closed"):
        reviewing.withdraw(verdict.verdict_id, reviewer="ann")


def test_a_verdict_that_was_trained_on_cannot_be_taken_back(reviewing, decide, start):
    used, unused = decide("a", ACCEPT), decide("b", ACCEPT)
    start(reviewing, 1, (used.verdict_id,))
    with pytest.raises(NotWithdrawable):
        reviewing.withdraw(used.verdict_id, reviewer="ann")
    assert reviewing.withdraw(unused.verdict_id, reviewer="ann").withdrawn  # it came after the round had begun


def test_a_verdict_behind_a_newer_proposal_cannot_be_taken_back(reviewing, decide, draft, start):
    verdict = decide("a", REJECT)
    start(reviewing, 1)
    reviewing.freeze(1, draft("a", (2,)))
    with pytest.raises(NotWithdrawable):
        reviewing.withdraw(verdict.verdict_id, reviewer="ann")


def test_an_empty_proposal_can_be_decided_and_is_not_served_when_that_is_taken_back(ledger, entry, draft, start):
    ledger.register([entry("a")])
    start(ledger, 0)
    ledger.freeze(0, draft("a", ()))
    verdict = ledger.decide("a", draft("a", ()).sha256, ACCEPT, reviewer="x", client="x")
    assert (verdict.verdict, verdict.accepted_slices) == (ACCEPT, ())
    ledger.withdraw(verdict.verdict_id, reviewer="x")
    assert ledger.current_proposal("a").state is ProposalState.EMPTY
    assert ledger.count_undecided() == 0


def test_verdicts_are_counted_by_round_and_by_use(reviewing, decide, draft, start, open_review):
    used = decide("a", ACCEPT, [1])
    decide("b", REJECT)
    start(reviewing, 1, (used.verdict_id,))
    reviewing.freeze(1, draft("b", (2,)))
    open_review(reviewing, 1)
    decide("b", ACCEPT, sha256=draft("b", (2,)).sha256)
    assert reviewing.count_verdicts() == {"accept": 2, "reject": 1, "accepted_slices": 2, "rejected_slices": 3}
    assert reviewing.count_verdicts(1) == {"accept": 1, "reject": 0, "accepted_slices": 1, "rejected_slices": 0}
    assert reviewing.count_verdicts(unused=True)["accepted_slices"] == 1
    assert [(v.case_id, v.round) for v in reviewing.standing_verdicts()] == [("a", 0), ("b", 0), ("b", 1)]
