"""Tests of the scripted expert itself."""

import numpy as np
import pytest

from .expert import judge


def _masks() -> tuple[np.ndarray, np.ndarray]:
    truth = np.zeros((4, 4, 3), np.uint8)
    truth[:2, :, :] = 2
    proposal = np.zeros_like(truth)
    proposal[:2, :, 0] = 2  # all right
    proposal[1:3, :, 1] = 2  # half wrong
    return truth, proposal


def test_slices_with_too_many_false_positives_are_rejected() -> None:
    judgement = judge(*_masks(), tau=0.4)
    assert judgement.proposed == (0, 1)
    assert judgement.rejected == (1,)
    assert judgement.verdict == "accept"


def test_missed_blood_is_ignored() -> None:
    truth, proposal = _masks()
    proposal[1, :, 0] = 0
    assert judge(truth, proposal, tau=0.0).rejected == (1,)


def test_the_wrong_class_is_a_false_positive() -> None:
    truth, proposal = _masks()
    judgement = judge(truth, proposal * 2, tau=0.9)
    assert judgement.verdict == "reject"


def test_kept_is_the_proposal_without_its_rejected_slices() -> None:
    truth, proposal = _masks()
    kept = judge(truth, proposal, tau=0.4).kept(proposal)
    assert np.array_equal(kept[:, :, 0], proposal[:, :, 0])
    assert not kept[:, :, 1].any()


def test_nobody_judges_an_empty_proposal() -> None:
    truth, proposal = _masks()
    with pytest.raises(ValueError, match="empty"):
        judge(truth, proposal * 0, tau=0.5)
