"""Tests of CT windows."""

import numpy as np
import pytest
import torch

from recursive_expand.segment.windows import apply_windows, window_image
from recursive_expand.settings import Window

BRAIN, BONE = Window(level=40, width=80), Window(level=600, width=2800)


def test_windows_map_their_ends_to_0_and_1_and_clamp():
    hu = torch.tensor([[[-1024, 0, 40, 80, 3071]]], dtype=torch.int16)
    images = apply_windows(hu, (BRAIN, BONE))
    assert images.dtype == torch.float32
    assert images[0, 0, 0].tolist() == [0, 0, 0.5, 1, 1]
    assert images[0, 1, 0, 0] == 0  # air is 0 in every window
    assert images[0, 1, 0, 2] == pytest.approx(0.3)


def test_a_channel_axis_changes_nothing():
    hu = torch.randint(-1000, 1000, (2, 3, 4), dtype=torch.int16)
    assert torch.equal(apply_windows(hu, (BRAIN,)), apply_windows(hu.unsqueeze(1), (BRAIN,)))


def test_other_shapes_are_refused_by_name():
    with pytest.raises(ValueError, match=r"not \(1, 2, 2, 4, 4\)"):
        apply_windows(torch.zeros(1, 2, 2, 4, 4), (BRAIN,))


def test_g_sees_the_window_that_f_sees():
    hu = np.arange(-50, 150, dtype=np.int16).reshape(10, 20)
    expected = apply_windows(torch.from_numpy(hu)[None], (BRAIN,))[0, 0].numpy()
    np.testing.assert_allclose(window_image(hu, BRAIN), expected, atol=1e-6)
