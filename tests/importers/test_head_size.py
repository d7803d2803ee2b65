"""head_size.py: the spacing at which skulls are as large as adults'."""

from __future__ import annotations

import numpy as np
import pytest

from recursive_expand.importers.head_size import spacing_of_heads


def skull(spacing, *, share=1.0, top=3000, length=187, width=149):
    """A ring of bone, and a table that is wider than the head, in (R, C) int16 HU."""
    across = (np.arange(512) - 256) * spacing
    radius = np.hypot(across[:, None] / (length / 2), across / (width / 2)) / share
    hu = np.select([radius > 1.1, radius > 1, radius > 0.9], [-1000, 40, 1200], 35)
    hu[-3:] = 200
    return np.clip(hu, -20, top).astype(np.int16)


@pytest.mark.parametrize("spacing", [0.39, 0.49])
@pytest.mark.parametrize("top", [100, 3000])
def test_the_spacing_of_a_head_is_found_in_scans_and_in_windowed_pictures(spacing, top):
    vertex = [skull(spacing, share=share, top=top) for share in (0.3, 0.6, 0.8)]
    heads = [skull(spacing, share=share, top=top) for share in (0.97, 1.0, 1.03)]
    assert spacing_of_heads(vertex + heads * 2) == pytest.approx(spacing, rel=0.05)


def test_without_a_skull_nothing_is_said():
    brain = np.full((64, 64), 35, np.int16)
    noise = brain.copy()
    noise[3:9, 3:9] = 900
    assert spacing_of_heads([]) is None
    assert spacing_of_heads([brain, noise]) is None


def test_what_no_head_ct_can_have_is_not_believed():
    assert spacing_of_heads([skull(0.49)[::6, ::6]]) is None
