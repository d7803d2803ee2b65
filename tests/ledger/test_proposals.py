"""Proposals, the queue and its leases."""

import sqlite3

import pytest
from sqlalchemy import event

from recursive_expand.ledger import OutdatedDraft, ProposalState, VerdictKind

LEASE = 60.0


def ask(ledger, client, now=0.0, **kwargs):
    return ledger.next_proposal(client, now=now, lease_seconds=LEASE, **kwargs)


def test_a_proposal_comes_back_as_it_was_frozen(reviewing, draft):
    frozen = reviewing.current_proposal("a")
    made = draft("a")
    for name in ("case_id", "sha256", "model_sha256", "slices", "unchanged_slices", "voxels", "confidence"):
        assert getattr(frozen, name) == getattr(made, name)
    assert (frozen.round, frozen.state, frozen.position) == (0, ProposalState.OPEN, 0)
    assert reviewing.proposal_of_round("a", 0) == frozen
    assert reviewing.proposal_of_round("a", 1) is None
    assert reviewing.proposed_in(0) == {"a", "b", "c"}


@pytest.mark.parametrize(
    ("values", "state"),
    [({}, "open"), ({"slices": ()}, "empty"), ({"unchanged": True}, "unchanged")],
)
def test_only_what_can_be_judged_is_served(ledger, entry, draft, start, values, state):
    ledger.register([entry("a")])
    start(ledger, 0)
    assert ledger.freeze(0, draft("a", **values), serve=True).state == state
    assert ask(ledger, "me") == ("a" if state == "open" else None)
    assert ledger.count_undecided() == (state == "open")
    assert ledger.count_proposals(0)[state] == 1


def test_a_case_has_one_proposal_a_round_the_first(reviewing, draft):
    again = reviewing.freeze(0, draft("a", (2,)))
    assert again == reviewing.current_proposal("a")
    assert again.slices == (0, 1)


def test_a_later_round_supersedes_what_nobody_decided_and_ends_its_lease(reviewing, draft, start):
    assert ask(reviewing, "me") == "a"
    start(reviewing, 1)
    reviewing.freeze(1, draft("a", (2,)))
    old, new = reviewing.proposals_of("a")
    assert (old.state, old.position) == (ProposalState.SUPERSEDED, None)
    assert (new.state, new.position) == (ProposalState.OPEN, None)
    assert ask(reviewing, "me") == "b"  # the new one waits until its review opens


def test_a_decided_proposal_stays_decided_when_a_newer_one_comes(reviewing, draft, start):
    reviewing.decide("a", draft("a").sha256, VerdictKind.REJECT, reviewer="x", client="x")
    start(reviewing, 1)
    reviewing.freeze(1, draft("a", (2,)))
    assert [p.state for p in reviewing.proposals_of("a")] == [ProposalState.DECIDED, ProposalState.OPEN]


def test_a_draft_that_does_not_know_a_verdict_is_refused(reviewing, draft, start):
    start(reviewing, 1)
    verdict = reviewing.decide("a", draft("a").sha256, VerdictKind.ACCEPT, reviewer="x", client="x")
    with pytest.raises(OutdatedDraft, match="case 'a' was judged while it was proposed anew"):
        reviewing.freeze(1, draft("a"), judged=[])
    assert reviewing.proposal_of_round("a", 1) is None
    assert reviewing.freeze(1, draft("a", ()), judged=[verdict.verdict_id]).round == 1


def test_each_client_has_its_own_case_and_keeps_it(reviewing):
    assert [ask(reviewing, client) for client in ("x", "y", "x", "z", "w")] == ["a", "b", "a", "c", None]
    assert [(p.case_id, client) for p, client in reviewing.queue(now=1)] == [("a", "x"), ("b", "y"), ("c", "z")]


def test_a_lease_ends_after_its_time(reviewing):
    assert ask(reviewing, "x") == "a"
    assert ask(reviewing, "y", now=LEASE - 1) == "b"
    assert ask(reviewing, "z", now=LEASE) == "a"
    assert ask(reviewing, "x", now=LEASE + 1) == "c"
    assert [client for _, client in reviewing.queue(now=10 * LEASE)] == [None, None, None]


def test_asking_again_renews_the_lease(reviewing):
    ask(reviewing, "x")
    ask(reviewing, "x", now=LEASE - 1)
    assert ask(reviewing, "y", now=2 * LEASE - 2) == "b"


def test_a_skipped_case_goes_to_others_first(reviewing):
    assert ask(reviewing, "x") == "a"
    assert ask(reviewing, "x", skip="a") == "b"
    assert ask(reviewing, "y") == "a"
    assert ask(reviewing, "x", skip="b") == "c"
    assert ask(reviewing, "x", skip="c") == "b"


def test_the_only_case_left_is_served_again_though_skipped(reviewing, draft):
    for case_id in "bc":
        reviewing.decide(case_id, draft(case_id).sha256, VerdictKind.REJECT, reviewer="x", client="x")
    assert ask(reviewing, "x") == ask(reviewing, "x", skip="a") == "a"


def test_one_cannot_give_back_another_s_lease(reviewing):
    assert ask(reviewing, "x") == "a"
    assert ask(reviewing, "y", skip="a") == "b"
    assert ask(reviewing, "x") == "a"


def test_a_case_set_aside_leaves_the_queue_until_it_is_usable_again(reviewing, entry):
    ask(reviewing, "x")
    reviewing.set_aside("a", "a.nii: is gone")
    assert ask(reviewing, "x") == "b"
    assert reviewing.count_undecided() == 2
    assert [p.case_id for p, _ in reviewing.queue(now=1)] == ["b", "c"]
    assert reviewing.queued_case(first=True) == "b"
    reviewing.register([entry("a", signature="2")])
    assert ask(reviewing, "y", now=LEASE) == "a"


def test_the_queue_is_shown_in_pages(reviewing):
    pages = [reviewing.queue(now=0, limit=2, offset=offset) for offset in (0, 2, 4)]
    assert [[p.case_id for p, _ in page] for page in pages] == [["a", "b"], ["c"], []]


def test_first_and_random_take_no_notice_of_leases(reviewing):
    ask(reviewing, "x")
    assert reviewing.queued_case(first=True) == "a"
    assert reviewing.queued_case(first=False) in "abc"


def test_the_queue_opens_in_the_given_order(ledger, entry, draft, start):
    ledger.register([entry(case_id) for case_id in "abc"])
    start(ledger, 0)
    for case_id in "abc":
        ledger.freeze(0, draft(case_id))
    assert ask(ledger, "x") is None  # not before the review opens
    candidates = ledger.open_candidates()
    assert [(one.leading_class, one.confidence) for one in candidates] == [("subdural", 0.8)] * 3
    ledger.open_review(0, order=[one.proposal_id for one in reversed(candidates)], report={})
    assert [ask(ledger, client) for client in "xyz"] == ["c", "b", "a"]


def test_no_statement_of_next_proposal_looks_at_all_proposals_or_cases(reviewing, tmp_path):
    statements = []

    @event.listens_for(reviewing._writer, "before_cursor_execute")
    def _note(_connection, _cursor, statement, parameters, _context, _many):
        statements.append((statement, parameters))

    ask(reviewing, "x")
    ask(reviewing, "x")
    with sqlite3.connect(tmp_path / "ledger.sqlite") as connection:
        plans = {
            statement: [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)]
            for statement, parameters in statements
            if not statement.startswith(("BEGIN", "INSERT"))
        }
    assert any("proposals_queue" in step for plan in plans.values() for step in plan)
    slow = [step for plan in plans.values() for step in plan if step.startswith(("SCAN proposals", "SCAN cases"))]
    assert not slow
