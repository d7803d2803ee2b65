"""The queue's order: classes in turn, within a class the most acceptable first; put in order anew during a review."""

import shutil
import sqlite3

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recursive_expand.expand import queue as module
from recursive_expand.expand.queue import order_for_review, queue_order, refit
from recursive_expand.expand.registration import register_cases
from recursive_expand.ledger import VerdictKind

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


SIZES = (12, 3, 13, 4, 14, 5)
"""Sides of the squares that u1 to u6 propose: large ones are accepted, small ones rejected."""


@pytest.fixture
def six(reviewing, freeze):
    """Six more proposals of round 0, u1 to u6, behind the three that wait; all of one confidence."""
    folder = reviewing.archive.studies
    for number in range(1, len(SIZES) + 1):
        shutil.copy(folder / "u0.nii.gz", folder / f"u{number}.nii.gz")
    register_cases(reviewing)
    for number, side in enumerate(SIZES, start=1):
        mask = np.zeros((3, 48, 48), np.uint8)
        mask[0, 10 : 10 + side, 10 : 10 + side] = 2
        freeze(reviewing, f"u{number}", mask)
    return reviewing


def in_queue(recursion):
    return [proposal.case_id for proposal, _ in recursion.ledger.queue.page(now=0)]


def scores(recursion):
    return {proposal.case_id: proposal.score for proposal, _ in recursion.ledger.queue.page(now=0)}


def test_the_order_of_a_review_names_everything_that_waits_once(six, changed):
    waiting = {proposal.proposal_id for proposal, _ in six.ledger.queue.page(now=0)}
    candidates = six.ledger.queue.candidates(round_index=0)
    order, found = order_for_review(changed(six, order="balanced"), candidates)
    assert set(order) == waiting and len(order) == len(waiting)
    assert found == {}
    order, found = order_for_review(changed(six, order="risk"), candidates)
    assert set(order) == waiting == found.keys()


def test_what_is_proposed_for_a_review_to_come_is_ordered_before_it_opens(
    reviewing, begin, freeze, proposed, decide_all
):
    """It is held until then, and must not be missing when the review opens."""
    decide_all(reviewing, VerdictKind.REJECT)
    begin(reviewing, 1)
    draft = proposed(reviewing, "u0")
    frozen = freeze(reviewing, "u0", draft, round_index=1)
    candidates = reviewing.ledger.queue.candidates(round_index=1)
    assert order_for_review(reviewing, candidates)[0] == [frozen.proposal_id]


def test_acceptance_is_predicted_anew_from_the_verdicts_of_this_review(six, changed, say):
    risky = changed(six, order="risk")
    before = in_queue(six)
    for case_id, kind in {"u1": "accept", "u2": "reject", "u3": "accept", "u4": "reject"}.items():
        say(six, case_id, VerdictKind(kind))
    assert in_queue(six) == [case_id for case_id in before if case_id not in ("u1", "u2", "u3", "u4")]
    assert refit(risky) == 5
    found = scores(six)
    assert set(found) == {"i0", "i1", "u0", "u5", "u6"}
    assert all(score is not None and 0 <= score <= 1 for score in found.values())
    order = in_queue(six)
    assert order.index("u5") < order.index("u6")
    assert [found[case_id] for case_id in order] == sorted(found.values(), reverse=True)  # all of one class


def test_in_the_balanced_order_nothing_is_predicted_anew(six, changed, say):
    before = in_queue(six)
    assert refit(changed(six, order="balanced")) == 0
    assert in_queue(six) == before


def test_only_the_front_is_written_however_long_the_queue(six, changed, monkeypatch):
    monkeypatch.setattr(module, "FRONT", 2)
    before = in_queue(six)
    sort_keys = keys(six)
    assert refit(changed(six, order="risk")) == 2
    after = in_queue(six)
    assert [case_id for case_id in before if case_id in after[2:]] == after[2:]
    assert {case_id for case_id, key in keys(six).items() if sort_keys[case_id] != key} == set(after[:2])


def keys(recursion):
    with sqlite3.connect(recursion.workspace.ledger) as connection:
        return dict(connection.execute("SELECT case_id, sort_key FROM proposals"))


def test_with_nothing_left_there_is_nothing_to_put_in_order(reviewing, changed, decide_all):
    decide_all(reviewing, VerdictKind.ACCEPT)
    assert refit(changed(reviewing, order="risk")) == 0
