"""Triage: features of a proposal, and what verdicts foretell from them."""

from __future__ import annotations

import math
import random
import shutil
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recursive_expand.cases import Geometry, LabelMap
from recursive_expand.expand import triage
from recursive_expand.expand.rounds import run_round
from recursive_expand.expand.triage import PRIOR_VERDICTS, triage_features
from recursive_expand.ledger import Actor, CalibrationSlice, Candidate, Features, JudgedProposal, VerdictKind

acceptance_scores = partial(triage.acceptance_scores, tau=0.3)


def features(area=100.0, components=1, flip_dice=None, snapshot_dice=None):
    return Features(math.log(area), components, flip_dice, snapshot_dice)


def candidate(number, leading_class="subdural", *, confidence=0.5, slices=1, before=False, **given):
    return Candidate(number, leading_class, confidence, features(**given), slices, before)


def judged(number, accepted, rejected, leading_class="subdural", *, confidence=0.5, before=False, **given):
    slices = accepted + rejected
    return JudgedProposal(number, leading_class, confidence, features(**given), slices, before, accepted, rejected)


def known(number, wrong, leading_class="subdural", *, confidence=0.5, before=False, **given):
    return CalibrationSlice(f"synthetic:{number}:0", leading_class, confidence, features(**given), before, wrong)


@pytest.fixture
def small_are_rejected():
    """Twenty verdicts: proposals of 300 mm2 were accepted, those of 20 mm2 rejected."""
    large = [judged(n, 1, 0, area=300 + n) for n in range(10)]
    return large + [judged(10 + n, 0, 1, area=20 + n) for n in range(10)]


def test_features_are_those_of_the_mask():
    mask = np.zeros((3, 8, 8), np.uint8)
    mask[0, 0, 0], mask[0, 1, 1] = 1, 2  # they touch at a corner: one component
    mask[2, 0, 0], mask[2, 7, 7] = 1, 1
    geometry = Geometry.of((8, 8, 3), np.diag([-0.5, -2.0, 5.0, 1.0]))
    flip_dice, snapshot_dice = np.array([[0.8, np.nan, 0.4], [0.1, 1.0, 0.5]], np.float32)
    label = LabelMap.from_slices(mask, geometry)
    found = triage_features(label, flip_dice=flip_dice, snapshot_dice=snapshot_dice)
    assert found.log_area == pytest.approx(math.log(4.0))
    assert found.components == 3
    assert found.flip_dice == pytest.approx(0.6)
    assert found.snapshot_dice == pytest.approx(0.3)


def test_without_flips_snapshots_or_a_mask_features_are_missing():
    geometry = Geometry.of((8, 8, 3), np.diag([-0.5, -2.0, 5.0, 1.0]))
    mask, ones = np.zeros((3, 8, 8), np.uint8), np.ones(3, np.float32)
    assert triage_features(LabelMap.from_slices(mask, geometry), flip_dice=ones, snapshot_dice=ones) is None
    mask[1, 0, 0] = 1
    unknown = np.full(3, np.nan, np.float32)
    found = triage_features(LabelMap.from_slices(mask, geometry), flip_dice=unknown, snapshot_dice=unknown)
    assert found == Features(0.0, 1, None, None)


def test_where_nothing_is_known_the_score_is_the_confidence(small_are_rejected):
    assert acceptance_scores([candidate(1, confidence=0.6)], []) == {1: 0.6}
    assert acceptance_scores([], small_are_rejected) == {}


@pytest.mark.parametrize("number", [1, 5, 20])
def test_verdicts_of_one_kind_foretell_no_certainty(number):
    score = acceptance_scores([candidate(99)], [judged(n, 1, 0) for n in range(number)])[99]
    assert score == pytest.approx((number + 0.5) / (number + 1), abs=0.02)


def test_verdicts_of_one_kind_leave_the_order_to_the_confidence():
    said = [judged(n, 1, 0, confidence=0.5 + n / 40, area=100 + n * n) for n in range(15)]
    open_ = [candidate(50 + n, confidence=0.5 + n / 20, area=150 - n) for n in range(6)]
    scores = acceptance_scores(open_, said)
    assert sorted(scores, key=scores.__getitem__) == [one.proposal_id for one in open_]


def test_before_any_verdict_slices_of_known_truth_foretell(small_are_rejected):
    """Those of 300 mm2 are 10 % wrong, those of 20 mm2 60 %; the expert takes 30 %."""
    calibration = [known(n, 0.1, area=300 + n) for n in range(20)] + [
        known(20 + n, 0.6, area=20 + n) for n in range(20)
    ]
    open_ = [candidate(50, area=20), candidate(51, area=400)]
    scores = acceptance_scores(open_, [], calibration)
    assert scores[50] < 0.3 and scores[51] > 0.7
    strict = triage.acceptance_scores(open_, [], calibration, tau=0.05)
    assert strict[50] < 0.1 and strict[51] < 0.1


def test_verdicts_outweigh_what_was_foretold_as_they_come():
    calibration = [known(n, 0.0) for n in range(100)]
    rejected = [judged(n, 0, 1) for n in range(4 * PRIOR_VERDICTS)]
    numbers = range(0, len(rejected) + 1, 5)
    scores = [acceptance_scores([candidate(999)], rejected[:n], calibration)[999] for n in numbers]
    assert scores[0] > 0.9 and scores[-1] < 0.35
    assert scores == sorted(scores, reverse=True)


def test_what_was_rejected_before_is_likelier_rejected_again():
    """Of what an earlier round proposed already, synthetic slices tell: no verdict is of the second kind yet."""
    calibration = [known(n, 0.9 if n % 5 else 0.0, before=True) for n in range(40)]
    first = [judged(n, n % 2, 1 - n % 2) for n in range(40)]
    scores = acceptance_scores([candidate(50), candidate(51, before=True)], first, calibration)
    assert scores[51] < 0.4 < scores[50]


def test_a_volume_is_looked_at_as_one_of_its_slices(small_are_rejected):
    scores = acceptance_scores(
        [candidate(50, area=305), candidate(51, area=10 * 305, components=10, slices=10)], small_are_rejected
    )
    assert scores[51] == pytest.approx(scores[50])


chances = st.floats(0, 1)
rows = st.lists(st.tuples(chances, st.floats(1, 1000), st.integers(1, 9), st.booleans(), chances), max_size=12)


@settings(max_examples=25, deadline=None)
@given(calibration=rows, verdicts=rows, waiting=rows)
def test_scores_are_probabilities(calibration, verdicts, waiting):
    slices = [
        known(n, wrong, confidence=confidence, area=area, components=parts, before=before)
        for n, (confidence, area, parts, before, wrong) in enumerate(calibration)
    ]
    said = [
        judged(
            n, int(wrong < 0.5), int(wrong >= 0.5), confidence=confidence, area=area, components=parts, before=before
        )
        for n, (confidence, area, parts, before, wrong) in enumerate(verdicts)
    ]
    open_ = [
        candidate(100 + n, confidence=confidence, area=area, components=parts, before=before)
        for n, (confidence, area, parts, before, _) in enumerate(waiting)
    ]
    scores = acceptance_scores(open_, said, slices)
    assert scores.keys() == {one.proposal_id for one in open_}
    assert all(0 <= score <= 1 for score in scores.values())


def test_what_resembles_accepted_proposals_scores_high(small_are_rejected):
    scores = acceptance_scores([candidate(50, area=20), candidate(51, area=400)], small_are_rejected)
    assert scores[50] < 0.3 and scores[51] > 0.7


def test_nothing_is_foretold_beyond_what_was_judged(small_are_rejected):
    scores = acceptance_scores([candidate(50, area=309), candidate(51, area=1e6)], small_are_rejected)
    assert scores[51] == pytest.approx(scores[50])


def test_classes_that_are_rejected_score_low():
    seen = [judged(n, n % 2, 1 - n % 2, "subdural" if n % 2 else "epidural") for n in range(20)]
    names = ("subdural", "epidural", "intraventricular")
    scores = acceptance_scores([candidate(50 + n, name) for n, name in enumerate(names)], seen)
    assert scores[51] < scores[52] < scores[50]  # nothing is known of intraventricular bleeds


def test_scores_are_probabilities_that_a_slice_is_accepted():
    """Of volumes that are alike, 30 of 40 slices were accepted."""
    scores = acceptance_scores([candidate(9)], [judged(n, 3, 1) for n in range(10)])
    assert scores[9] == pytest.approx(0.75, abs=0.01)


@pytest.mark.parametrize("agreement", ["flip_dice", "snapshot_dice"])
def test_agreement_counts_where_all_that_wait_have_it(agreement):
    seen = [judged(n, n % 2, 1 - n % 2, **{agreement: 0.9 if n % 2 else 0.1}) for n in range(20)]
    waiting = [candidate(50, **{agreement: 0.1}), candidate(51, **{agreement: 0.9})]
    scores = acceptance_scores(waiting, seen)
    assert scores[50] < 0.3 and scores[51] > 0.7
    mixed = acceptance_scores([waiting[0], candidate(51)], seen)
    assert mixed[50] == pytest.approx(mixed[51])
    # Verdicts of a round that knew none say nothing of it.
    before = [judged(100 + n, n % 2, 1 - n % 2) for n in range(20)]
    more = acceptance_scores(waiting, [*before, *seen])
    assert more[50] < 0.4 and more[51] > 0.6
    unknown = acceptance_scores(waiting, before)
    assert unknown[50] == pytest.approx(unknown[51])


def test_proposals_without_features_keep_their_confidence(small_are_rejected):
    old = Candidate(7, "subdural", 0.6, None, 1, False)
    judged_old = JudgedProposal(99, "", 0.5, None, 1, False, 1, 0)
    assert acceptance_scores([old, candidate(8)], [*small_are_rejected, judged_old])[7] == 0.6


def test_the_order_of_the_arguments_does_not_matter(small_are_rejected):
    candidates = [candidate(50 + n, area=10 * (n + 1)) for n in range(6)]
    expected = acceptance_scores(candidates, small_are_rejected)
    random.Random(0).shuffle(candidates)
    random.Random(1).shuffle(small_are_rejected)
    assert acceptance_scores(candidates, small_are_rejected) == expected


def test_a_round_is_served_by_score(recursion, changed, say):
    # After a single epoch masks may be the very same, which are not shown twice.
    risky = changed(recursion, order="risk", flips=True, unchanged_dice=1.0, later_epochs=8)
    run_round(risky)
    first = [proposal for proposal, _ in risky.ledger.queue.page(now=0)]
    assert len(first) > 1 and [p.score for p in first] == sorted((p.score for p in first), reverse=True)
    assert all(one.features and one.features.flip_dice is not None for one in risky.ledger.queue.candidates())
    for number, proposal in enumerate(first):
        say(risky, proposal.case_id, VerdictKind.REJECT if number else VerdictKind.ACCEPT)
    run_round(risky)
    scores = [proposal.score for proposal, _ in risky.ledger.queue.page(now=0)]
    assert scores and scores == sorted(scores, reverse=True)  # all bleeds here are of one class
    assert any(p.score != pytest.approx(p.confidence) for p, _ in risky.ledger.queue.page(now=0))


def test_in_the_balanced_order_nothing_is_foretold_but_could_be_later(after_round_0, tmp_path, reopen):
    """Features are kept whatever the order: it may be another during the review."""
    shutil.copytree(after_round_0, tmp_path / "studies")
    balanced = reopen(tmp_path / "studies", order="balanced", unchanged_dice=1.0, lease_minutes=1)
    for number, (proposal, _) in enumerate(balanced.ledger.queue.page(now=0)):
        kind = VerdictKind.REJECT if number else VerdictKind.ACCEPT
        balanced.ledger.judgements.give(Actor("x", "x"), proposal.case_id, proposal.sha256, kind)
    run_round(balanced)
    assert balanced.ledger.queue.page(now=0)
    assert all(proposal.score is None for proposal, _ in balanced.ledger.queue.page(now=0))
    assert all(one.features is not None for one in balanced.ledger.queue.candidates())
