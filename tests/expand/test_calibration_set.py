"""The calibration set: what a model proposes where the truth is known, as it would for cases that wait."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recursive_expand.expand import calibration_set as module
from recursive_expand.expand.calibration_set import calibration_set
from recursive_expand.expand.progress import Progress
from recursive_expand.segment.examples import Example
from recursive_expand.segment.predict import Predictor


@pytest.fixture
def calibrate(reviewing, changed, tmp_path):
    """The set of round 0's model, as if it were this round's, under changed settings."""

    def _calibrate(round_index=0, **settings):
        round_ = dataclasses.replace(reviewing.ledger.rounds.current(), round=round_index)
        return calibration_set(changed(reviewing, **settings), round_, Progress(tmp_path / "progress.json"))

    return _calibrate


@pytest.fixture
def locked(reviewing):
    (case,) = [case for case in reviewing.ledger.cases.iterate() if case.validation]
    return case


def test_it_is_of_the_locked_share_and_durable(reviewing, calibrate, locked):
    found = calibrate()
    assert {one.key.split(":")[0] for one in found} == {locked.case_id}
    assert reviewing.ledger.rounds.calibration(0) == found
    assert not any(one.judged_before for one in found)


def test_what_is_wrong_is_told_by_the_expert_s_mask(reviewing, calibrate, locked):
    predictor = Predictor(reviewing.settings, reviewing.network(reviewing.ledger.rounds.current_model()[1]))
    truth = reviewing.expert_label(locked).slices
    allowed = [frozenset({"intraparenchymal"}) if mask.any() else frozenset() for mask in truth]
    # Two of the three cases that wait are labelled, and the first of three is not one of the two.
    mask = predictor.predict(reviewing.volume(locked.case_id)).mask
    wrong = {n: np.mean(mask[n][mask[n] > 0] != truth[n][mask[n] > 0]) for n in range(3) if mask[n].any()}
    assert {one.key: one.wrong for one in calibrate()} == {f"{locked.case_id}:{n}": w for n, w in wrong.items()}
    labelled = predictor.predict(reviewing.volume(locked.case_id), allowed).mask
    found = calibrate(use_image_labels=False)
    assert {one.key for one in found} == {f"{locked.case_id}:{n}" for n in wrong}
    assert {one.leading_class for one in found if labelled.any()} <= set(reviewing.settings.task.classes)


def test_what_an_expert_would_have_accepted_is_not_proposed_again(calibrate):
    first = calibrate(tau=0.0)
    assert first
    assert calibrate(1, tau=0.99) == []
    again = calibrate(1, tau=0.0)
    assert {one.key for one in again} == {one.key for one in first if one.wrong > 0}
    assert all(one.judged_before for one in again)


def test_synthetic_slices_join_where_f_has_learned_from_their_likes(reviewing, calibrate, locked, monkeypatch):
    volume, truth = reviewing.volume(locked.case_id), reviewing.expert_label(locked).slices
    slices = [Example(f"synthetic:{n}", volume.hu[n], truth[n], True, (4.0, 4.0)) for n in range(3)]
    monkeypatch.setattr(module, "unseen_examples", lambda _settings: iter(slices))
    monkeypatch.setattr(module, "unseen_count", lambda _settings: 3)
    found = {one.key: one for one in calibrate(use_image_labels=False)}
    of_case = {n: found[f"{locked.case_id}:{n}"] for n in range(3) if f"{locked.case_id}:{n}" in found}
    for n, one in of_case.items():
        assert dataclasses.replace(found[f"synthetic:{n}:0"], key=one.key) == one


@given(share=st.floats(0, 1), number=st.integers(0, 200))
def test_a_share_falls_evenly(share, number):
    taken = sum(module._falls_in(share, n) for n in range(number))
    assert taken == int(number * share)
