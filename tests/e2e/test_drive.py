"""Tests of the driver itself."""

import numpy as np

from recursive_expand.experiment.expert import ExpertAnswer

from .drive import kept


def test_kept_is_the_proposal_without_its_rejected_slices() -> None:
    proposal = np.ones((2, 3, 4), np.uint8)
    left = kept(ExpertAnswer(proposed=(0, 1, 2, 3), rejected=(1, 3)), proposal)
    assert left.any(axis=(0, 1)).tolist() == [True, False, True, False]
    assert proposal.all()
