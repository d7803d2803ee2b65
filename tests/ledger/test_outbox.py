"""The outbox: what the archive does not show yet waits in order, and longer after each failure."""

import pytest

from recursive_expand.ledger import Actor, OutboxCount
from recursive_expand.ledger.outbox import FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS


def test_a_case_is_due_from_its_verdict_until_its_labels_are_written(reviewing, give):
    verdict = give(reviewing, "a")
    assert reviewing.outbox.due(0) == ["a"]
    reviewing.outbox.sent("a", reviewing.outbox.newest("a"))
    assert (reviewing.outbox.due(0), reviewing.outbox.newest("a")) == ([], None)
    reviewing.judgements.withdraw(Actor("ann", "slicer"), verdict.verdict_id)
    assert reviewing.outbox.due(0) == ["a"]


def test_cases_are_due_in_the_order_of_their_oldest_entry(reviewing, give):
    verdict = give(reviewing, "b")
    give(reviewing, "a")
    reviewing.judgements.withdraw(Actor("ann", "slicer"), verdict.verdict_id)
    assert reviewing.outbox.due(0) == ["b", "a"]


def test_a_verdict_that_came_while_labels_were_written_still_waits(reviewing, give):
    verdict = give(reviewing, "a")
    known = reviewing.outbox.newest("a")
    reviewing.judgements.withdraw(Actor("ann", "slicer"), verdict.verdict_id)
    reviewing.outbox.sent("a", known)
    assert reviewing.outbox.due(0) == ["a"]
    reviewing.outbox.sent("a", reviewing.outbox.newest("a"))
    assert reviewing.outbox.count() == OutboxCount(waiting=0, failing=0, sent=2, error=None)


def test_a_repeated_verdict_is_not_written_again(reviewing, give):
    give(reviewing, "a")
    reviewing.outbox.sent("a", reviewing.outbox.newest("a"))
    give(reviewing, "a")
    assert reviewing.outbox.due(0) == []


def test_each_failure_doubles_the_wait_up_to_the_longest(reviewing, give):
    give(reviewing, "a")
    give(reviewing, "b")
    waits = []
    for _ in range(12):
        reviewing.outbox.failed("a", "disk full", now=1000.0)
        waits.append(next(s for s in range(2000) if "a" in reviewing.outbox.due(1000.0 + s)))
    assert waits[:4] == [FIRST_WAIT_SECONDS * 2**n for n in range(4)]
    assert waits[-1] == LONGEST_WAIT_SECONDS
    assert reviewing.outbox.due(1000.0) == ["b"]
    assert reviewing.outbox.count() == OutboxCount(waiting=2, failing=1, sent=0, error="disk full")


def test_what_failed_can_be_tried_at_once(reviewing, give):
    give(reviewing, "a")
    reviewing.outbox.failed("a", "disk full", now=1000.0)
    assert reviewing.outbox.due(1000.0) == []
    assert reviewing.outbox.retry() == 1
    assert reviewing.outbox.due(0.0) == ["a"]
    reviewing.outbox.sent("a", reviewing.outbox.newest("a"))
    assert reviewing.outbox.count() == OutboxCount(waiting=0, failing=0, sent=1, error=None)
    assert reviewing.outbox.retry() == 0


@pytest.mark.parametrize("failures", [1, 40])
def test_a_new_verdict_on_a_failing_case_is_tried_at_once(reviewing, give, failures):
    verdict = give(reviewing, "a")
    for _ in range(failures):
        reviewing.outbox.failed("a", "disk full", now=1000.0)
    reviewing.judgements.withdraw(Actor("ann", "slicer"), verdict.verdict_id)
    assert reviewing.outbox.due(1000.0) == ["a"]
