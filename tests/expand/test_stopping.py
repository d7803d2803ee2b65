"""When a review is over, and when the recursion stops."""

import pytest

from recursive_expand.expand.stopping import Review, expansion, judge_review
from recursive_expand.ledger import VerdictKind


@pytest.fixture
def say(reviewing):
    def _say(case_id, verdict, rejected=()):
        proposal = reviewing.ledger.current_proposal(case_id)
        reviewing.ledger.decide(case_id, proposal.sha256, verdict, rejected_slices=rejected, reviewer="x", client="x")

    return _say


def judge(study, **settings):
    return judge_review(study.ledger, study.task.model_copy(update=settings), study.ledger.current_round())


def test_a_review_goes_on_until_every_proposal_is_decided(reviewing, say):
    for case_id in ("i0", "i1"):
        say(case_id, VerdictKind.ACCEPT)
        assert judge(reviewing) is Review.GOES_ON
    say("u0", VerdictKind.REJECT)
    assert judge(reviewing) is Review.EXPANDED
    assert expansion(reviewing.ledger, reviewing.ledger.current_round()) == 5  # two slices of i0, three of i1


def test_a_round_that_brings_nothing_new_ends_the_recursion(reviewing, say):
    for case_id in ("i0", "i1", "u0"):
        say(case_id, VerdictKind.REJECT)
    assert judge(reviewing) is Review.CONVERGED


@pytest.mark.parametrize(("least", "found"), [(1, Review.EXPANDED), (2, Review.CONVERGED), (3, Review.CONVERGED)])
def test_min_expansion_is_the_most_slices_that_do_not_count(reviewing, say, least, found):
    say("i0", VerdictKind.ACCEPT)  # two slices
    say("i1", VerdictKind.REJECT)
    say("u0", VerdictKind.REJECT)
    assert judge(reviewing, min_expansion=least) is found


def test_enough_verdicts_end_a_review_early_if_they_brought_something(reviewing, say):
    say("i0", VerdictKind.REJECT)
    assert judge(reviewing, verdicts_per_round=1) is Review.GOES_ON
    say("i1", VerdictKind.ACCEPT, [0])
    assert judge(reviewing, verdicts_per_round=3) is Review.GOES_ON
    assert judge(reviewing, verdicts_per_round=2) is Review.EXPANDED


def test_slices_of_a_new_expert_mask_are_new(reviewing):
    assert expansion(reviewing.ledger, reviewing.ledger.current_round()) == 0
    reviewing.ledger.promote_to_pixel("u0", "m", reviewer="x", sha256="e" * 64)
    assert expansion(reviewing.ledger, reviewing.ledger.current_round()) == 3
