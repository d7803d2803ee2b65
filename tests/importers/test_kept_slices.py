"""kept_slices.py: fewer slices, and the first and the last where they were."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recursive_expand.cases import Geometry, Volume
from recursive_expand.importers.kept_slices import keep_slices

AFFINE = np.array([[-0.5, 0, 0, 9], [0, -0.5, 1.5, 8], [0, 0, 5, 7], [0, 0, 0, 1.0]])


@given(st.sets(st.integers(0, 7), min_size=1).map(sorted))
def test_first_and_last_slice_stay_in_their_place(numbers):
    geometry = Geometry.of((4, 5, 8), AFFINE)
    volume = Volume(np.arange(160, dtype=np.int16).reshape(8, 5, 4), geometry)
    kept = keep_slices(volume, numbers)
    assert np.array_equal(kept.hu, volume.hu[numbers])
    assert kept.geometry.native_shape == (4, 5, len(numbers))
    assert kept.geometry.affine @ (0, 0, 0, 1) == pytest.approx(AFFINE @ (0, 0, numbers[0], 1))
    last = kept.geometry.affine @ (0, 0, len(numbers) - 1, 1)
    assert last == pytest.approx(AFFINE @ (0, 0, numbers[-1], 1))
    assert kept.geometry.orientation == geometry.orientation
