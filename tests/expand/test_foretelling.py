"""What a round will bring: by the predicted acceptance of what waits, or by the trend."""

import dataclasses

import pytest

from recursive_expand.expand.due import NothingToDo, close_review, end_recursion
from recursive_expand.expand.foretelling import Foretold, foretell, trained_slices
from recursive_expand.ledger import RoundState, VerdictKind

ACCEPT, REJECT = VerdictKind.ACCEPT, VerdictKind.REJECT


def waiting(recursion):
    return [proposal for proposal, _ in recursion.ledger.queue.page(now=0)]


@pytest.fixture
def scored(reviewing):
    """Every open proposal is expected to be accepted by half."""
    order = [one.proposal_id for one in waiting(reviewing)]
    reviewing.ledger.queue.reorder(order, dict.fromkeys(order, 0.5))
    return reviewing


def test_before_a_review_nothing_is_foretold(recursion):
    assert foretell(recursion) is None


def test_a_review_brings_what_was_accepted_and_what_is_expected_of_the_rest(scored, say):
    slices = {one.case_id: len(one.slices) for one in waiting(scored)}
    assert trained_slices(scored.ledger.rounds.current()) == 6
    assert foretell(scored) == Foretold(0, sum(slices.values()) / 2, sum(slices.values()) / 12)
    say(scored, "u0", ACCEPT)
    expected = slices["u0"] + (slices["i0"] + slices["i1"]) / 2
    assert foretell(scored) == Foretold(0, expected, expected / 6)


def test_in_a_queue_without_scores_nothing_is_foretold(reviewing):
    order = [one.proposal_id for one in waiting(reviewing)]
    reviewing.ledger.queue.reorder(order, {})
    assert foretell(reviewing) is None


def test_after_round_0_the_next_brings_less_by_what_was_accepted(scored, say):
    slices = {one.case_id: len(one.slices) for one in waiting(scored)}
    say(scored, "u0", ACCEPT)
    say(scored, "i0", REJECT)
    say(scored, "i1", REJECT)
    new, rejected = slices["u0"], slices["i0"] + slices["i1"]
    expected = new * rejected / (new + rejected)
    assert foretell(scored) == Foretold(1, expected, expected / (6 + new))


@pytest.mark.parametrize(("brought", "expected"), [((8, 4), 2.0), ((4, 8), 8.0), ((4, 0), 0.0), ((0, 4), 0.0)])
def test_later_rounds_follow_the_trend_but_never_upwards(reviewing, decide_all, monkeypatch, brought, expected):
    rounds = reviewing.ledger.rounds
    decide_all(reviewing, REJECT)
    close_review(reviewing, rounds.current(), converged=False)
    first = rounds.current()
    both = [
        dataclasses.replace(first, round=n, report=first.report | {"expanded_slices": number})
        for n, number in enumerate(brought)
    ]
    monkeypatch.setattr(rounds, "current", lambda: both[1])
    monkeypatch.setattr(rounds, "get", both.__getitem__)
    assert foretell(reviewing) == Foretold(2, expected, expected / (6 + brought[1]))


def test_a_person_ends_the_recursion_whatever_waits(scored, say):
    say(scored, "u0", ACCEPT)
    ended = end_recursion(scored)
    assert (ended.state, ended.report["ended"]) == (RoundState.CONVERGED, True)
    assert ended.report["expanded_slices"] > 0
    assert len(waiting(scored)) == 2
    with pytest.raises(NothingToDo, match="there is no review to end"):
        end_recursion(scored)
