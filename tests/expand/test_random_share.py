"""The random share: who is in it, where it comes in the queue."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recursive_expand.expand.queue import refit
from recursive_expand.expand.random_share import RandomShare

orders = st.lists(st.integers(1, 5000), unique=True, max_size=60)


@given(orders, st.integers(0, 9), st.floats(0, 1))
def test_everything_is_served_once_and_what_is_not_random_keeps_its_order(order, seed, share):
    random = RandomShare(seed, share)
    queue = random.spread(order)
    assert sorted(queue) == sorted(order)
    assert [one for one in queue if not random.holds(one)] == [one for one in order if not random.holds(one)]


@given(orders, st.randoms())
def test_the_random_ones_come_in_an_order_that_the_scores_do_not_know(order, shuffle):
    random, other = RandomShare(3, 0.4), list(order)
    shuffle.shuffle(other)
    of_both = [[one for one in random.spread(ids) if random.holds(one)] for ids in (order, other)]
    assert of_both[0] == of_both[1]


def test_they_are_spread_evenly_over_the_queue():
    random, ids = RandomShare(0, 0.1), range(1, 5001)
    places = [place for place, one in enumerate(random.spread(ids)) if random.holds(one)]
    assert len(places) == pytest.approx(500, abs=65)
    assert places[:3] == [9, 19, 29]
    first = [one for one in random.spread(ids) if random.holds(one)][:100]
    assert sum(first) / 100 == pytest.approx(2500, abs=500)  # from everywhere, though the queue is by id


def test_without_a_share_the_queue_is_as_it_was():
    assert RandomShare(0, 0.0).spread([3, 1, 2]) == [3, 1, 2]


def test_a_promise_leaves_a_tenth_random_unless_told_otherwise(recursion):
    def due(**settings):
        return RandomShare.due(recursion.settings.changed(**settings)).share

    assert due() == 0.0
    assert due(operating_point="conformal") == 0.1
    assert due(operating_point="conformal", random_share=0) == 0.0
    assert due(random_share=0.2) == 0.2


def test_a_review_keeps_the_share_that_it_opened_with_when_the_rest_is_put_in_order_anew(reviewing, changed):
    ledger = reviewing.ledger
    round_ = ledger.rounds.current()
    assert RandomShare.of(round_).share == 0.0
    opened = dataclasses.replace(round_, report=round_.report | {"random_share": 0.5})
    assert RandomShare.of(opened) == RandomShare(reviewing.settings.method.seed, 0.5)
    assert refit(changed(reviewing, order="risk", random_share=1.0)) == 3
