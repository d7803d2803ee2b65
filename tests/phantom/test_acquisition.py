"""acquisition.py: what is drawn anew for every look at a head."""

from __future__ import annotations

import numpy as np
import pytest

from recursive_expand.phantom.acquisition import _misread


@pytest.fixture(scope="module")
def misread():
    """A slice of air beside brain at 35 HU and blood at 75 HU, read wrong 60 times."""
    hu = np.full((48, 60), -1000.0)
    hu[:, 20:] = 35.0
    hu[:, 50:] = 75.0
    return np.stack([_misread(hu, np.random.default_rng(seed)) for seed in range(60)])


def test_air_stays_air(misread):
    assert (misread[:, :, :20] == -1000).all()


def test_shading_is_smooth_and_levels_and_scales_differ(misread):
    brain, blood = misread[:, :, 20:50], misread[:, :, 50:]
    assert np.abs(np.diff(brain, axis=1)).max() < 4 and np.abs(np.diff(brain, axis=2)).max() < 4
    assert 3 < brain.mean((1, 2)).std() < 9
    level = brain[:, :, -1].mean(1)
    scale = (blood[:, :, 0].mean(1) - level) / 40
    assert scale.min() < 0.9 and scale.max() > 1.1
    unshaded = brain.std((1, 2)) < 1e-9
    assert 0.1 < unshaded.mean() < 0.5
