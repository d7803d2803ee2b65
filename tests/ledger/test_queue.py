"""The queue: open proposals in the order of their sort key, each leased to one reader at a time."""

import sqlite3

import pytest
from sqlalchemy import event

from recursive_expand.ledger import Actor, VerdictKind

LEASE = 60.0


def ask(ledger, reader, now=0.0, **kwargs):
    return ledger.queue.next(reader, now=now, lease_seconds=LEASE, **kwargs)


def in_queue(ledger):
    return [proposal.case_id for proposal, _ in ledger.queue.page(now=0)]


def test_each_reader_has_their_own_case_and_keeps_it(reviewing):
    assert [ask(reviewing, reader) for reader in ("x", "y", "x", "z", "w")] == ["a", "b", "a", "c", None]
    assert [(p.case_id, reader) for p, reader in reviewing.queue.page(now=1)] == [("a", "x"), ("b", "y"), ("c", "z")]


def test_a_lease_ends_after_its_time(reviewing):
    assert ask(reviewing, "x") == "a"
    assert ask(reviewing, "y", now=LEASE - 1) == "b"
    assert ask(reviewing, "z", now=LEASE) == "a"
    assert ask(reviewing, "x", now=LEASE + 1) == "c"
    assert [reader for _, reader in reviewing.queue.page(now=10 * LEASE)] == [None, None, None]


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


def test_the_only_case_left_is_served_again_though_skipped(reviewing, give):
    for case_id in "bc":
        give(reviewing, case_id, VerdictKind.REJECT)
    assert ask(reviewing, "x") == ask(reviewing, "x", skip="a") == "a"


def test_one_cannot_give_back_another_s_lease(reviewing):
    assert ask(reviewing, "x") == "a"
    assert ask(reviewing, "y", skip="a") == "b"
    assert ask(reviewing, "x") == "a"


def test_a_case_set_aside_leaves_the_queue_until_it_is_usable_again(reviewing, entry):
    ask(reviewing, "x")
    reviewing.cases.set_aside("a", "a.nii: is gone")
    assert ask(reviewing, "x") == "b"
    assert reviewing.queue.count() == 2
    assert in_queue(reviewing) == ["b", "c"]
    assert reviewing.queue.any_case(first=True) == "b"
    reviewing.cases.register([entry("a", signature="2")])
    assert in_queue(reviewing) == ["a", "b", "c"]  # at its old place
    assert ask(reviewing, "y", now=LEASE) == "a"


def test_the_queue_is_shown_in_pages(reviewing):
    pages = [reviewing.queue.page(now=0, limit=2, offset=offset) for offset in (0, 2, 4)]
    assert [[p.case_id for p, _ in page] for page in pages] == [["a", "b"], ["c"], []]


def test_first_and_random_take_no_notice_of_leases(reviewing):
    ask(reviewing, "x")
    assert reviewing.queue.any_case(first=True) == "a"
    assert reviewing.queue.any_case(first=False) in "abc"


def test_the_queue_opens_in_the_given_order(ledger, entry, draft, start):
    ledger.cases.register([entry(case_id) for case_id in "abc"])
    start(ledger, 0)
    for case_id in "abc":
        ledger.proposals.freeze(0, draft(case_id))
    assert ask(ledger, "x") is None  # not before the review opens
    assert ledger.queue.candidates() == []
    candidates = ledger.queue.candidates(round_index=0)
    assert [(one.leading_class, one.confidence) for one in candidates] == [("subdural", 0.8)] * 3
    ledger.rounds.open_review(0, order=[one.proposal_id for one in reversed(candidates)], report={})
    assert ledger.queue.candidates() == candidates
    assert [ask(ledger, reader) for reader in "xyz"] == ["c", "b", "a"]


def test_what_the_opening_does_not_name_comes_after_what_it_names(ledger, entry, draft, start):
    ledger.cases.register([entry(case_id) for case_id in "abc"])
    start(ledger, 0)
    ids = {case_id: ledger.proposals.freeze(0, draft(case_id)).proposal_id for case_id in "abc"}
    ledger.rounds.open_review(0, order=[ids["c"]], report={})
    assert in_queue(ledger) == ["c", "a", "b"]


def test_reordering_moves_what_is_named_to_the_front(reviewing):
    ids = {case_id: reviewing.proposals.current(case_id).proposal_id for case_id in "abc"}
    reviewing.queue.reorder([ids["c"], ids["b"]], {ids["c"]: 0.9})
    assert in_queue(reviewing) == ["c", "b", "a"]
    assert [p.score for p, _ in reviewing.queue.page(now=0)] == [0.9, None, None]
    reviewing.queue.reorder([ids["a"]], {})
    assert in_queue(reviewing) == ["a", "c", "b"]
    reviewing.queue.reorder([], {})
    assert in_queue(reviewing) == ["a", "c", "b"]


def test_a_lease_outlives_a_new_order(reviewing):
    assert ask(reviewing, "x") == "a"
    reviewing.queue.reorder([reviewing.proposals.current("c").proposal_id], {})
    assert (ask(reviewing, "x"), ask(reviewing, "y")) == ("a", "c")


def test_judged_proposals_tell_how_many_slices_were_accepted(reviewing, give):
    give(reviewing, "a", VerdictKind.ACCEPT, (1,))
    give(reviewing, "b", VerdictKind.REJECT)
    taken_back = give(reviewing, "c")
    assert [(one.accepted, one.rejected) for one in reviewing.queue.judged()] == [(1, 1), (0, 2), (2, 0)]
    reviewing.judgements.withdraw(Actor("ann", "slicer"), taken_back.verdict_id)
    judged = reviewing.queue.judged()
    assert [(one.accepted, one.rejected) for one in judged] == [(1, 1), (0, 2)]
    assert judged[0].proposal_id == reviewing.proposals.current("a").proposal_id


@pytest.mark.parametrize("asked", [1, 2])
def test_no_statement_of_next_looks_at_all_proposals_or_cases(reviewing, tmp_path, asked):
    statements = []

    @event.listens_for(reviewing.queue._store._writer, "before_cursor_execute")
    def _note(_connection, _cursor, statement, parameters, _context, _many):
        statements.append((statement, parameters))

    for _ in range(asked):
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
