"""The sweep: what is proposed at each point where the truth is known, and what of it is wrong."""

import dataclasses

import numpy as np
import pytest

from recursive_expand.expand.frozen import frozen_label
from recursive_expand.expand.point_sweep import UNKNOWN, at_threshold, marked_and_wrong, sweep
from recursive_expand.expand.progress import Progress
from recursive_expand.expand.second_chances import propose_second_chances
from recursive_expand.ledger import Actor, VerdictKind
from recursive_expand.segment.predict import Predictor

THRESHOLDS = (0.05, 0.9, None)


@pytest.fixture
def swept(reviewing, changed, tmp_path):
    """The sweep of round 0's model, by source; with the number of a later round, as if it had proposed before."""

    def _swept(round_index=0, **settings):
        first = reviewing.ledger.rounds.current()
        round_ = dataclasses.replace(first, round=round_index, base_model=first.model if round_index else None)
        under = changed(reviewing, use_image_labels=False, **settings)
        points = [at_threshold(one, under.settings.task.classes) for one in THRESHOLDS]
        found = sweep(under, round_, points, Progress(tmp_path / "progress.json"), "thresholds")
        return {source: [one for one in found if one.source == source] for source in ("locked", "judged", "synthetic")}

    return _swept


def test_pixels_are_counted_by_class_where_the_truth_is_known():
    mask = np.array([[1, 1, 2, 0], [2, 2, 1, 1]], np.uint8)
    truth = np.array([[1, 2, 2, 1], [0, UNKNOWN, UNKNOWN, 1]], np.uint8)
    marked, wrong = marked_and_wrong(mask, truth, 3)
    assert (marked.tolist(), wrong.tolist()) == ([3, 2, 0], [1, 1, 0])


def test_locked_masks_are_asked_of_the_round_s_model_at_each_threshold(reviewing, swept):
    found = swept()
    assert not found["judged"] and not found["synthetic"]
    (case,) = [case for case in reviewing.ledger.cases.iterate() if case.validation]
    assert {one.patient for one in found["locked"]} == {case.patient or case.case_id}
    truth = reviewing.expert_label(case).slices
    network = reviewing.network(reviewing.ledger.rounds.current_model()[1])
    classes = reviewing.settings.task.classes
    for place, threshold in enumerate(THRESHOLDS):
        at = {} if threshold is None else dict.fromkeys(classes, threshold)
        mask = Predictor(reviewing.settings.changed(foreground_threshold=at), network)
        mask = mask.predict(reviewing.volume(case.case_id)).mask
        assert sum(one.marked[place].sum() for one in found["locked"]) == np.count_nonzero(mask)
        assert sum(one.wrong[place].sum() for one in found["locked"]) == np.count_nonzero((mask > 0) & (mask != truth))


def test_what_an_expert_would_have_accepted_before_is_left_out(swept):
    assert swept()["locked"]
    assert swept(1, tau=0.99)["locked"] == []


def test_an_accepted_mask_is_the_truth_and_all_of_a_rejected_one_is_wrong(reviewing, swept, say, proposed):
    as_proposed = THRESHOLDS.index(None)  # with fresh weights
    say(reviewing, "u0", VerdictKind.ACCEPT)
    say(reviewing, "i1", VerdictKind.REJECT)
    slices = swept(1)["judged"]
    accepted = [one for one in slices if one.patient == "u0"]
    assert sum(one.marked[as_proposed].sum() for one in accepted) == np.count_nonzero(proposed(reviewing, "u0"))
    assert all(one.wrong[as_proposed].sum() == 0 for one in accepted)
    rejected = [one for one in slices if one.patient == "i1"]
    assert rejected and all(np.array_equal(one.wrong, one.marked) for one in rejected)


def test_a_verdict_that_was_taken_back_tells_nothing(reviewing, swept, say):
    verdict = say(reviewing, "u0", VerdictKind.ACCEPT)
    assert swept(1)["judged"]
    reviewing.ledger.judgements.withdraw(Actor(verdict.reviewer, verdict.client), verdict.verdict_id)
    assert not swept(1)["judged"]


def test_a_case_that_came_twice_is_one_volume_whose_newer_mask_decides(reviewing, changed, swept, say, proposed):
    """The first look accepts slice 0 and rejects the others; the second accepts what is left of those."""
    as_proposed, mask = THRESHOLDS.index(None), proposed(reviewing, "u0")
    for case_id in ("i0", "i1"):
        say(reviewing, case_id, VerdictKind.REJECT)
    say(reviewing, "u0", VerdictKind.ACCEPT, [1, 2])
    round_ = reviewing.ledger.rounds.current()
    config = changed(reviewing, second_chance="stricter", unchanged_dice=1.0).settings.round_config()
    propose_second_chances(reviewing, dataclasses.replace(round_, config=config))
    second = reviewing.ledger.proposals.current("u0")
    assert second.chance == 1
    say(reviewing, "u0", VerdictKind.ACCEPT)
    slices = [one for one in swept(1)["judged"] if one.patient == "u0"]
    marked, wrong = (sum(getattr(one, name)[as_proposed].sum() for one in slices) for name in ("marked", "wrong"))
    kept = frozen_label(reviewing.workspace, second, reviewing.settings.task.classes).slices
    assert marked == np.count_nonzero(mask)
    assert wrong == np.count_nonzero(mask[[1, 2]]) - np.count_nonzero(kept) > 0
