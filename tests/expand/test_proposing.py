"""Learn: proposals obey labels, never repeat what was accepted, and one bad case does not stop the others."""

import dataclasses
import logging

import numpy as np
import pytest

from recursive_expand.cases import ImageLabels
from recursive_expand.expand import proposing
from recursive_expand.expand.frozen import frozen_ignore, frozen_mask
from recursive_expand.expand.proposing import cases_to_propose, propose
from recursive_expand.ledger import CaseEntry, ProposalState, VerdictKind
from recursive_expand.segment.predict import Prediction, Predictor

ACCEPT, REJECT = VerdictKind.ACCEPT, VerdictKind.REJECT


class FixedPredictor:
    """f and g that make the same mask for every case: `mask`, with `before_done` called first."""

    def __init__(self, mask, before_done=lambda case_id: None):
        self.mask, self.before_done = mask, before_done

    def propose_volumes(self, volumes, allowed=None):
        for case_id, volume in volumes:
            self.before_done(case_id)
            confidence = np.where(self.mask.any(axis=(1, 2)), 0.9, np.nan).astype(np.float32)
            ignore, agreement = np.zeros(volume.hu.shape, np.bool_), np.full_like(confidence, np.nan)
            yield case_id, Prediction(self.mask.copy(), ignore, confidence, agreement)


def slices_of(study, case_id, round_index):
    """Slices with a mask, as the frozen file has them."""
    native = frozen_mask(study.workspace, round_index, case_id)
    found = study.volume(study.ledger.case(case_id)).geometry.orientation.to_slices(native)
    return tuple(int(n) for n in np.flatnonzero(found.any(axis=(1, 2))))


@pytest.fixture
def say(reviewing):
    def _say(case_id, verdict, rejected=()):
        sha256 = reviewing.ledger.current_proposal(case_id).sha256
        return reviewing.ledger.decide(case_id, sha256, verdict, rejected_slices=rejected, reviewer="x", client="x")

    return _say


@pytest.fixture
def next_round(reviewing):
    """Round 1 under way; call it to propose with a predictor."""

    def _propose(predictor, *, task=None, **kwargs):
        study = reviewing
        if study.ledger.current_round().round == 0:
            settings = {"config": {}, "config_sha256": "", "training_set": {}, "training_set_sha256": ""}
            study.ledger.start_round(1, base_model=None, **settings, verdict_ids=[], report={})
            study.ledger.publish_model(1, trained_model="m" * 64, model="m" * 64, promoted=True, report={})
        made = propose(study, predictor, "m" * 64, 1, cases_to_propose(study, 1), **kwargs)
        return {proposal.case_id: proposal for proposal in made}

    return _propose


def frozen_of(study, case_id):
    native = frozen_mask(study.workspace, 0, case_id)
    return study.volume(study.ledger.case(case_id)).geometry.orientation.to_slices(native).copy()


def full(value=2, slices=(0, 1, 2)):
    mask = np.zeros((3, 48, 48), np.uint8)
    mask[list(slices), 10:20, 10:20] = value
    return mask


def test_every_undecided_case_is_proposed_once_a_round(reviewing):
    assert {p.case_id for p, _ in reviewing.ledger.queue(now=0)} == {"i0", "i1", "u0"}
    assert list(cases_to_propose(reviewing, 0)) == []
    assert [case.case_id for case in cases_to_propose(reviewing, 1)] == ["i0", "i1", "u0"]


def test_what_the_ledger_says_is_what_was_frozen(reviewing):
    for case_id in ("i0", "i1", "u0"):
        proposal, mask = reviewing.ledger.current_proposal(case_id), frozen_of(reviewing, case_id)
        assert proposal.slices == slices_of(reviewing, case_id, 0)
        assert proposal.voxels == {"intraparenchymal": int((mask == 2).sum())}
        assert 0.5 < proposal.confidence <= 1
        assert frozen_ignore(reviewing.workspace, 0, case_id).shape == mask.shape


def test_a_case_accepted_whole_is_not_proposed_again(next_round, say):
    say("i0", ACCEPT)
    assert next_round(FixedPredictor(full())).keys() == {"i1", "u0"}


def test_accepted_slices_are_not_proposed_again(reviewing, next_round, say):
    say("u0", ACCEPT, [1])
    made = next_round(FixedPredictor(full()))
    assert made["u0"].slices == slices_of(reviewing, "u0", 1) == (1,)


def test_what_hardly_differs_from_the_rejected_is_not_served(reviewing, next_round, say):
    say("u0", REJECT)
    say("i1", REJECT)
    same = frozen_of(reviewing, "u0")
    made = next_round(FixedPredictor(same), serve=True)
    assert made["u0"].state is ProposalState.UNCHANGED
    assert made["i1"].state is ProposalState.OPEN
    assert "u0" not in {p.case_id for p, _ in reviewing.ledger.queue(now=0)}


def test_a_rejected_slice_that_came_out_the_same_is_left_out(reviewing, next_round, say):
    say("u0", REJECT)
    mask = full()
    mask[1] = frozen_of(reviewing, "u0")[1]
    made = next_round(FixedPredictor(mask))["u0"]
    assert (made.state, made.slices, made.unchanged_slices) == (ProposalState.OPEN, (0, 2), (1,))
    assert slices_of(reviewing, "u0", 1) == (0, 2)


def test_an_empty_proposal_is_not_served(next_round):
    made = next_round(FixedPredictor(full(0)))
    assert {(p.state, p.confidence) for p in made.values()} == {(ProposalState.EMPTY, 0.0)}


def test_image_level_labels_are_obeyed(reviewing):
    case = reviewing.ledger.case("u0")
    labels = {0: ImageLabels(frozenset()), 1: ImageLabels(frozenset({"subdural"}))}
    entry = CaseEntry("u0", case.role, case.uri, "2", case.slices, image_labels=labels)
    reviewing.ledger.register([entry])
    predictor = Predictor(reviewing.task, reviewing.network(reviewing.ledger.current_model()[1]))
    settings = {"config": {}, "config_sha256": "", "training_set": {}, "training_set_sha256": ""}
    reviewing.ledger.start_round(1, base_model=None, **settings, verdict_ids=[], report={})
    [made] = propose(reviewing, predictor, "m" * 64, 1, [reviewing.ledger.case("u0")])
    mask = reviewing.volume(case).geometry.orientation.to_slices(frozen_mask(reviewing.workspace, 1, "u0"))
    assert 0 not in made.slices
    assert set(np.unique(mask[1])) == {0, 5}  # what bleeds there is subdural
    assert set(np.unique(mask[2])) == {0, 2}


def test_a_case_labelled_clean_throughout_is_not_proposed(reviewing):
    case = reviewing.ledger.case("i1")
    entry = CaseEntry("i1", case.role, case.uri, "2", 3, image_labels={None: ImageLabels(frozenset())})
    reviewing.ledger.register([entry])
    assert [c.case_id for c in cases_to_propose(reviewing, 1)] == ["i0", "u0"]
    without = dataclasses.replace(reviewing, task=reviewing.task.model_copy(update={"use_image_labels": False}))
    assert "i1" in [c.case_id for c in cases_to_propose(without, 1)]


def test_a_broken_case_in_the_middle_is_set_aside_and_the_rest_goes_on(reviewing, next_round, caplog):
    case = reviewing.ledger.case("i1")
    (reviewing.archive.studies / "i1.nii.gz").write_bytes(b"nonsense")
    with caplog.at_level(logging.WARNING):
        made = next_round(FixedPredictor(full()))
    assert made.keys() == {"i0", "u0"}
    assert reviewing.ledger.case(case.case_id).reason.startswith("i1.nii.gz: ")
    assert "i1.nii.gz" in caplog.text


def test_a_verdict_given_while_the_case_is_proposed_anew_counts(reviewing, next_round, say, monkeypatch):
    """The expert accepts round 0's proposal after round 1 has looked at the verdicts, before it froze its own."""
    freeze_files, pending = proposing.freeze_files, ["u0"]

    def slow(workspace, round_index, case_id, *rest):
        if case_id in pending:
            pending.remove(case_id)
            say(case_id, ACCEPT, [2])
        return freeze_files(workspace, round_index, case_id, *rest)

    monkeypatch.setattr(proposing, "freeze_files", slow)
    made = next_round(FixedPredictor(full()))
    assert made["u0"].slices == slices_of(reviewing, "u0", 1) == (2,)


def test_the_first_frozen_proposal_of_a_round_stands(reviewing, next_round):
    made = next_round(FixedPredictor(full()))
    [again] = propose(reviewing, FixedPredictor(full(3)), "m" * 64, 1, [reviewing.ledger.case("u0")])
    assert again == made["u0"]
    assert set(np.unique(frozen_mask(reviewing.workspace, 1, "u0"))) == {0, 2}
