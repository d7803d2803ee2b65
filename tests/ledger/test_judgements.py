"""Judgements: one standing verdict a proposal; resending is harmless; whoever is refused is told why."""

import re

import pytest

from recursive_expand.ledger import (
    Actor,
    AlreadyDecided,
    Judgement,
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
ANN, BOB = Actor("ann", "slicer"), Actor("bob", "slicer")


@pytest.mark.parametrize(
    ("verdict", "rejected", "kind", "accepted_slices", "rejected_slices"),
    [
        (ACCEPT, [], ACCEPT, (0, 1), ()),
        (REJECT, [], REJECT, (), (0, 1)),
        (REJECT, [1], REJECT, (), (0, 1)),
        (ACCEPT, [1, 1], ACCEPT, (0,), (1,)),
        (ACCEPT, [1, 0], REJECT, (), (0, 1)),
    ],
)
def test_slices_are_split_by_the_verdict(reviewing, give, verdict, rejected, kind, accepted_slices, rejected_slices):
    found = give(reviewing, "a", verdict, rejected)
    assert (found.verdict, found.accepted_slices, found.rejected_slices) == (kind, accepted_slices, rejected_slices)


def test_a_verdict_comes_back_as_it_was_given_also_from_the_file(reviewing, draft, tmp_path):
    given = reviewing.judgements.give(
        Actor("ann", "slicer", authenticated=True),
        "a",
        draft("a").sha256,
        ACCEPT,
        rejected_slices=[1],
        reason="motion",
        comment="ü\n",
        seconds=2.5,
    )
    assert (given.reviewer, given.client, given.authenticated) == ("ann", "slicer", True)
    assert (given.reason, given.comment, given.seconds) == ("motion", "ü\n", 2.5)
    assert (given.proposal_sha256, given.model_sha256, given.round) == (draft("a").sha256, "m" * 64, 0)
    assert (given.used_by, given.withdrawn) == (None, None)
    other = Ledger(tmp_path / "ledger.sqlite")
    assert other.judgements.of_case("a") == [given]
    assert other.judgements.verdict(given.verdict_id) == given
    assert other.proposals.current("a").state is ProposalState.DECIDED
    other.close()


def test_every_slice_s_judgement_is_told(reviewing, give, draft, begin):
    b = give(reviewing, "b", REJECT, reader="bob")
    begin(reviewing, 1)
    a = give(reviewing, "a", ACCEPT, (1,))
    sha = {case_id: draft(case_id).sha256 for case_id in "ab"}
    assert list(reviewing.judgements.standing()) == [
        Judgement("a", 0, sha["a"], a.verdict_id, "ann", 0, True, None),
        Judgement("a", 0, sha["a"], a.verdict_id, "ann", 1, False, None),
        Judgement("b", 0, sha["b"], b.verdict_id, "bob", 0, False, 1),
        Judgement("b", 0, sha["b"], b.verdict_id, "bob", 1, False, 1),
    ]


def test_a_rejected_slice_without_a_mask_is_refused_with_those_that_have_one(reviewing, give):
    with pytest.raises(ValueError, match=r"slices \[2\] have no mask in this proposal; those that have: \[0, 1\]"):
        give(reviewing, "a", ACCEPT, (1, 2))
    assert reviewing.judgements.of_case("a") == []
    assert reviewing.queue.count() == 3


def test_resending_returns_the_first_verdict(reviewing, give):
    first = give(reviewing, "a", ACCEPT, (1,))
    assert give(reviewing, "a", ACCEPT, (1,), comment="again") == first
    assert reviewing.judgements.count() == {"accept": 1, "reject": 0, "accepted_slices": 1, "rejected_slices": 1}
    assert (reviewing.judgements.given(0), reviewing.judgements.given(1)) == (1, 0)


def test_resending_after_the_next_round_proposed_anew_is_harmless(reviewing, give, draft, start):
    first = give(reviewing, "a", ACCEPT, (1,))
    start(reviewing, 1)
    reviewing.proposals.freeze(1, draft("a", (1,)))
    again = give(reviewing, "a", ACCEPT, (1,), sha256=draft("a").sha256)
    assert (again.verdict_id, again.used_by) == (first.verdict_id, 1)


def test_another_verdict_says_who_decided_and_when(reviewing, give):
    first = give(reviewing, "a")
    with pytest.raises(AlreadyDecided, match=rf"already decided \(accept\) by ann at {re.escape(first.ts)}$"):
        give(reviewing, "a", reader="bob")
    with pytest.raises(AlreadyDecided, match=rf"by you at .*; take verdict {first.verdict_id} back first"):
        give(reviewing, "a", REJECT)
    with pytest.raises(AlreadyDecided):
        give(reviewing, "a", ACCEPT, (0,))


def test_a_stale_proposal_names_the_newer_one(reviewing, give, draft, start):
    start(reviewing, 1)
    newer = reviewing.proposals.freeze(1, draft("a", (2,)))
    with pytest.raises(StaleProposal, match=f"of case 'a' is stale: round 1 proposes {newer.sha256[:12]}"):
        give(reviewing, "a", sha256=draft("a").sha256)
    with pytest.raises(StaleProposal, match="proposal ffffffffffff of case 'b' is stale"):
        give(reviewing, "b", sha256="f" * 64)


def test_what_is_not_there_cannot_be_decided(reviewing, give, entry):
    with pytest.raises(UnknownCase, match="no case 'x'"):
        give(reviewing, "x", sha256="f" * 64)
    reviewing.cases.register([entry("d")])
    with pytest.raises(StaleProposal, match="case 'd' has no proposal yet; POST /infer makes one"):
        give(reviewing, "d", sha256="f" * 64)


def test_a_case_with_an_expert_mask_takes_no_verdict(reviewing, give):
    reviewing.cases.promote_to_pixel("a", reviewer="x", sha256="e" * 64)
    with pytest.raises(StaleProposal, match="case 'a' has an expert mask by now; it takes no verdicts"):
        give(reviewing, "a")
    assert reviewing.judgements.of_case("a") == []


def test_resending_is_harmless_also_after_an_expert_mask(reviewing, give, draft, start):
    first = give(reviewing, "a", ACCEPT, (1,))
    start(reviewing, 1)
    reviewing.proposals.freeze(1, draft("a", (1,)))
    reviewing.cases.promote_to_pixel("a", reviewer="x", sha256="e" * 64)
    assert give(reviewing, "a", ACCEPT, (1,), sha256=draft("a").sha256).verdict_id == first.verdict_id
    for sha256 in (draft("a").sha256, draft("a", (1,)).sha256, "f" * 64):
        with pytest.raises(StaleProposal, match="has an expert mask by now"):
            give(reviewing, "a", ACCEPT, sha256=sha256)


def test_a_verdict_taken_back_stays_on_record_and_the_case_comes_last(reviewing, give):
    verdict = give(reviewing, "a")
    back = reviewing.judgements.withdraw(ANN, verdict.verdict_id)
    assert back.withdrawn is not None
    assert reviewing.judgements.withdraw(ANN, verdict.verdict_id) == back
    assert reviewing.judgements.of_case("a") == []
    assert reviewing.judgements.verdict(verdict.verdict_id) == back
    assert [p.case_id for p, _ in reviewing.queue.page(now=0)] == ["b", "c", "a"]
    assert give(reviewing, "a", REJECT).verdict_id != verdict.verdict_id


def test_a_verdict_ends_the_lease(reviewing, give):
    assert reviewing.queue.next("x", now=0, lease_seconds=60) == "a"
    reviewing.judgements.withdraw(ANN, give(reviewing, "a").verdict_id)
    assert {p.case_id: reader for p, reader in reviewing.queue.page(now=1)} == {"a": None, "b": None, "c": None}


def test_only_the_reviewer_takes_a_verdict_back(reviewing, give):
    verdict = give(reviewing, "a")
    with pytest.raises(NotYours, match=f"verdict {verdict.verdict_id} is ann's; only they can take it back"):
        reviewing.judgements.withdraw(BOB, verdict.verdict_id)
    with pytest.raises(UnknownVerdict, match="there is no verdict 99"):
        reviewing.judgements.withdraw(ANN, 99)
    with pytest.raises(UnknownVerdict, match="there is no verdict 99"):
        reviewing.judgements.verdict(99)
    assert reviewing.judgements.withdraw(Actor("ann", "another client"), verdict.verdict_id).withdrawn
    with pytest.raises(NotYours):
        reviewing.judgements.withdraw(BOB, verdict.verdict_id)


@pytest.mark.parametrize("converged", [True, False])
def test_a_verdict_of_a_closed_review_cannot_be_taken_back(reviewing, give, converged):
    verdict = give(reviewing, "a")
    reviewing.rounds.close_review(0, converged=converged, report={})
    with pytest.raises(NotWithdrawable, match="belongs to round 0, whose review is closed"):
        reviewing.judgements.withdraw(ANN, verdict.verdict_id)


def test_a_verdict_that_was_trained_on_cannot_be_taken_back(reviewing, give, start):
    used = give(reviewing, "a")
    known = reviewing.judgements.watermark()
    unused = give(reviewing, "b")
    start(reviewing, 1, known=known)
    with pytest.raises(NotWithdrawable):
        reviewing.judgements.withdraw(ANN, used.verdict_id)
    assert reviewing.judgements.withdraw(ANN, unused.verdict_id).withdrawn  # it came after the training set was built


def test_a_verdict_behind_a_newer_proposal_cannot_be_taken_back(reviewing, give, draft, start):
    known = reviewing.judgements.watermark()
    verdict = give(reviewing, "a", REJECT)
    start(reviewing, 1, known=known)
    reviewing.proposals.freeze(1, draft("a", (2,)))
    with pytest.raises(NotWithdrawable):
        reviewing.judgements.withdraw(ANN, verdict.verdict_id)


@pytest.mark.parametrize(("values", "state"), [({"marked": ()}, "empty"), ({"unchanged": True}, "unchanged")])
def test_what_is_not_served_can_be_decided_and_is_not_served_when_that_is_taken_back(
    ledger, entry, draft, give, start, values, state
):
    ledger.cases.register([entry("a")])
    start(ledger, 0)
    frozen = ledger.proposals.freeze(0, draft("a", **values))
    verdict = give(ledger, "a")
    assert (verdict.verdict, verdict.accepted_slices) == (ACCEPT, frozen.slices)
    ledger.judgements.withdraw(ANN, verdict.verdict_id)
    assert ledger.proposals.current("a").state == state
    assert ledger.queue.count() == 0


def test_verdicts_are_counted_by_round_and_by_use(reviewing, give, draft, start, open_review):
    used = give(reviewing, "a", ACCEPT, (1,))
    known = reviewing.judgements.watermark()
    assert known == (used.verdict_id, 1)
    give(reviewing, "b", REJECT)
    start(reviewing, 1, known=known)
    reviewing.proposals.freeze(1, draft("b", (2,)))
    open_review(reviewing, 1)
    give(reviewing, "b")
    count = reviewing.judgements.count
    assert count() == {"accept": 2, "reject": 1, "accepted_slices": 2, "rejected_slices": 3}
    assert count(1) == {"accept": 1, "reject": 0, "accepted_slices": 1, "rejected_slices": 0}
    assert count(unused=True) == {"accept": 1, "reject": 1, "accepted_slices": 1, "rejected_slices": 2}
    assert count(0, unused=True) == {"accept": 0, "reject": 1, "accepted_slices": 0, "rejected_slices": 2}
    standing = [(j.case_id, j.round, j.slice) for j in reviewing.judgements.standing()]
    assert standing == [("a", 0, 0), ("a", 0, 1), ("b", 0, 0), ("b", 0, 1), ("b", 1, 2)]
