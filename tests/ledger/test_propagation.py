"""Acceptance by propagation: a state that follows from verdicts on others, and goes with them."""

import json
import sqlite3
from contextlib import closing

import pytest
from sqlalchemy import select

from recursive_expand.cases import Role
from recursive_expand.ledger import Actor, Cluster, Ledger, Propagated, ProposalState, VerdictKind
from recursive_expand.ledger.tables import events

ACCEPT, REJECT = VerdictKind.ACCEPT, VerdictKind.REJECT
OPEN, DECIDED, PROPAGATED = ProposalState.OPEN, ProposalState.DECIDED, ProposalState.PROPAGATED


@pytest.fixture
def clustered(ledger, entry, draft, start, open_review):
    """A cluster of five cases, of which a, b and c are verified and d and e follow; f is in none."""
    ledger.cases.register([entry(case_id) for case_id in "abcdef"])
    start(ledger, 0)
    ids = {case_id: ledger.proposals.freeze(0, draft(case_id, (1,))).proposal_id for case_id in "abcdef"}
    ledger.propagation.form(0, [Cluster((ids["a"], ids["b"], ids["c"]), (ids["d"], ids["e"]))])
    open_review(ledger, 0)
    return ledger


def states(ledger):
    return {case_id: ledger.proposals.current(case_id).state for case_id in "def"}


def told(ledger, kind):
    with ledger.cases._store.read() as connection:
        return [
            json.loads(body)
            for body in connection.execute(select(events.c.body).where(events.c.kind == kind)).scalars()
        ]


def test_the_others_follow_once_all_that_were_verified_are_accepted(clustered, give):
    verdicts = []
    for case_id in "abc":
        assert states(clustered) == {"d": OPEN, "e": OPEN, "f": OPEN}
        verdicts.append(give(clustered, case_id).verdict_id)
    assert states(clustered) == {"d": PROPAGATED, "e": PROPAGATED, "f": OPEN}
    sha256 = {case_id: clustered.proposals.current(case_id).sha256 for case_id in "de"}
    assert clustered.propagation.accepted() == [
        Propagated(case_id, 0, sha256[case_id], (1,), tuple(verdicts)) for case_id in "de"
    ]
    assert clustered.propagation.count(0) == 2
    assert [proposal.case_id for proposal, _ in clustered.queue.page(now=0)] == ["f"]
    assert told(clustered, "propagated") == [{"cases": [["d", sha256["d"]], ["e", sha256["e"]]], "verdicts": verdicts}]
    assert clustered.audit.verify() is None


def test_it_is_no_verdict(clustered, give):
    for case_id in "abc":
        give(clustered, case_id)
    assert clustered.judgements.count() == {"accept": 3, "reject": 0, "accepted_slices": 3, "rejected_slices": 0}
    assert {one.case_id for one in clustered.judgements.standing()} == set("abc")
    assert len(clustered.queue.judged()) == 3
    assert [one.case_id for one in clustered.cases.iterate(roles=[Role.UNLABELLED], unsettled=True)] == ["f"]


@pytest.mark.parametrize("rejected_first", [True, False])
def test_where_one_is_rejected_the_others_are_judged_like_any(clustered, give, rejected_first):
    for case_id in "abc" if rejected_first else "cba":
        give(clustered, case_id, REJECT if case_id == "a" else ACCEPT)
        assert (clustered.propagation.waiting() == set()) is (rejected_first or case_id == "a")
    assert states(clustered) == {"d": OPEN, "e": OPEN, "f": OPEN}
    assert clustered.propagation.accepted() == []


def test_a_second_chance_that_is_accepted_lets_nothing_follow(clustered, give, draft):
    rejected = give(clustered, "a", REJECT)
    clustered.proposals.freeze(0, draft("a", (2,), chance=1, follows=rejected.verdict_id), serve=True)
    for case_id in "abc":
        give(clustered, case_id)
    assert states(clustered) == {"d": OPEN, "e": OPEN, "f": OPEN}
    assert clustered.propagation.waiting() == set()


def test_it_goes_with_a_verdict_that_is_taken_back_and_comes_again(clustered, give, tmp_path):
    given = [give(clustered, case_id) for case_id in "abc"]
    clustered.judgements.withdraw(Actor("ann", "slicer"), given[1].verdict_id)
    assert states(clustered) == {"d": OPEN, "e": OPEN, "f": OPEN}
    (taken_back,) = told(clustered, "unpropagated")
    assert [case_id for case_id, _ in taken_back["cases"]] == ["d", "e"]
    assert len(clustered.propagation.waiting()) == 2
    give(clustered, "b")
    assert states(clustered)["d"] is PROPAGATED
    again = Ledger(tmp_path / "ledger.sqlite")
    assert again.audit.verify() is None
    again.close()


def test_a_reader_can_reject_one_that_followed(clustered, give):
    for case_id in "abc":
        give(clustered, case_id)
    rejected = give(clustered, "d", REJECT, reader="bob")
    assert states(clustered) == {"d": DECIDED, "e": PROPAGATED, "f": OPEN}
    assert [one.case_id for one in clustered.propagation.accepted()] == ["e"]
    clustered.judgements.withdraw(Actor("bob", "slicer"), rejected.verdict_id)
    assert states(clustered)["d"] is PROPAGATED


def test_what_an_expert_draws_stands_above_it(clustered, give):
    for case_id in "abc":
        give(clustered, case_id)
    clustered.cases.promote_to_pixel("d", reviewer="ann", sha256="e" * 64)
    assert states(clustered) == {"d": ProposalState.SUPERSEDED, "e": PROPAGATED, "f": OPEN}


def test_a_round_keeps_the_clusters_that_it_has(clustered):
    before = clustered.propagation.waiting()
    clustered.propagation.form(0, [Cluster((1,), (2, 3))])
    assert clustered.propagation.waiting() == before


def test_what_follows_cannot_be_changed_behind_the_ledger_s_back(clustered, tmp_path):
    with closing(sqlite3.connect(tmp_path / "ledger.sqlite")) as connection, connection:
        connection.execute("UPDATE cluster_members SET verified = 0 WHERE proposal_id = 1")
    assert "cluster_members" in str(clustered.audit.verify())
