"""The queue's order: classes in turn, within a class the most confident first."""

from hypothesis import given
from hypothesis import strategies as st

from recursive_expand.expand.ordering import queue_order

candidates = st.lists(
    st.tuples(st.integers(0, 1000), st.sampled_from(["", "epidural", "subdural"]), st.floats(0, 1)),
    unique_by=lambda candidate: candidate[0],
)


def test_classes_take_turns_and_the_cleanest_comes_first():
    found = [(1, "subdural", 0.5), (2, "subdural", 0.9), (3, "epidural", 0.1), (4, "subdural", 0.7)]
    assert queue_order(found) == [3, 2, 4, 1]


def test_the_half_that_is_most_likely_accepted_comes_first():
    found = [(1, "subdural", 0.5), (2, "subdural", 0.9), (3, "epidural", 0.1), (4, "subdural", 0.7)]
    assert queue_order(found, likely_first=True) == [2, 4, 3, 1]


@given(candidates, st.booleans())
def test_everything_is_served_once(found, likely_first):
    order = queue_order(found, likely_first=likely_first)
    assert sorted(order) == sorted(proposal_id for proposal_id, _, _ in found)


@given(candidates)
def test_no_score_of_the_first_half_is_below_one_of_the_second(found):
    score = {proposal_id: value for proposal_id, _, value in found}
    scores = [score[proposal_id] for proposal_id in queue_order(found, likely_first=True)]
    half = (len(scores) + 1) // 2
    assert not scores[half:] or min(scores[:half]) >= max(scores[half:])


@given(candidates)
def test_within_a_class_confidence_falls(found):
    of = {proposal_id: (name, confidence) for proposal_id, name, confidence in found}
    order = [of[proposal_id] for proposal_id in queue_order(found)]
    for wanted in {name for name, _ in order}:
        confidences = [confidence for name, confidence in order if name == wanted]
        assert confidences == sorted(confidences, reverse=True)


@given(candidates)
def test_at_no_point_is_a_class_two_ahead_of_one_that_still_waits(found):
    of = {proposal_id: name for proposal_id, name, _ in found}
    left = {name: sum(1 for other in of.values() if other == name) for name in of.values()}
    served = dict.fromkeys(left, 0)
    for proposal_id in queue_order(found):
        served[of[proposal_id]] += 1
        left[of[proposal_id]] -= 1
        assert all(max(served.values()) - served[name] <= 1 for name in served if left[name])


@given(candidates, st.randoms())
def test_the_order_does_not_depend_on_the_order_of_the_candidates(found, random):
    shuffled = list(found)
    random.shuffle(shuffled)
    assert queue_order(shuffled) == queue_order(found)
