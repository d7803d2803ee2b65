"""A model on the locked validation share."""

import pytest

from recursive_expand.cases import LabelMap
from recursive_expand.expand.training_set import AcceptedSlices
from recursive_expand.expand.validation import validate, validate_accepted
from recursive_expand.segment.metrics import Counts, count
from recursive_expand.segment.predict import Predictor


def test_scores_are_means_over_cases_against_expert_masks(reviewing):
    predictor = Predictor(reviewing.settings, reviewing.network(reviewing.ledger.rounds.current_model()[1]))
    cases = ["p0", "p1", "p2"]
    scores = validate(reviewing, predictor, cases)
    single = [validate(reviewing, predictor, [case_id]) for case_id in cases]
    assert scores["cases"] == 3
    for metric in ("dice", "iou", "precision", "recall"):
        assert scores[metric] == pytest.approx(sum(score[metric] for score in single) / 3)
        assert 0.3 < scores[metric] <= 1


def test_all_voxels_together_weigh_voxels_not_cases(reviewing, monkeypatch):
    predictor = Predictor(reviewing.settings, reviewing.network(reviewing.ledger.rounds.current_model()[1]))
    masks = {case_id: reviewing.expert_label(reviewing.ledger.cases.get(case_id)) for case_id in ("p0", "p1")}
    # Without foreground in its reference, a case scores 0 for whatever is marked; its voxels are few among all.
    empty = LabelMap.background(masks["p1"].geometry)
    expected = Counts()
    for (_, prediction), truth in zip(
        predictor.propose_volumes((c, reviewing.volume(c)) for c in masks),
        (masks["p0"], empty),
        strict=True,
    ):
        expected += count(prediction.mask, truth.slices, 5).foreground
    monkeypatch.setattr(type(reviewing), "expert_label", lambda _, case: masks["p0"] if case.case_id == "p0" else empty)
    scores = validate(reviewing, predictor, ["p0", "p1"])
    assert scores["pooled"]["dice"] == pytest.approx(expected.dice)
    assert scores["pooled"]["foreground_voxels"] == (masks["p0"].native > 0).sum()
    assert scores["dice"] < scores["pooled"]["dice"]


def test_the_model_that_made_what_was_accepted_finds_all_of_it_and_another_does_not(reviewing):
    proposals = [reviewing.ledger.proposals.current(case_id) for case_id in ("i0", "u0")]
    accepted = [AcceptedSlices(p.case_id, 0, p.sha256, p.slices[:2]) for p in proposals]
    maker = Predictor(reviewing.settings, reviewing.network(reviewing.ledger.rounds.current_model()[1]))
    found = validate_accepted(reviewing, maker, accepted)
    assert (found["slices"], found["pooled"]["dice"], found["pooled"]["recall"]) == (4, 1.0, 1.0)
    voxels = sum(
        one.voxels
        for p in proposals
        for one in reviewing.ledger.proposals.marked(p.proposal_id)
        if one.slice in p.slices[:2]
    )
    assert found["pooled"]["foreground_voxels"] == voxels
    fresh = Predictor(reviewing.settings, reviewing.network(None))
    assert validate_accepted(reviewing, fresh, accepted)["pooled"]["dice"] < 0.9
