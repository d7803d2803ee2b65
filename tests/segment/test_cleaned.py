"""What is no finding goes: specks, and rims of bone."""

import numpy as np

from recursive_expand.segment.cleaned import cleaned
from recursive_expand.settings import Refinement


def test_specks_and_rims_go_and_a_finding_stays():
    hu = np.full((40, 40), 35, np.int16)
    hu[:, :4] = 1000
    mask = np.zeros((40, 40), np.uint8)
    mask[20:28, 20:28] = 1  # a finding
    mask[2:4, 30:32] = 2  # 4 pixels of 0.25 mm2
    mask[5:35, 5:7] = 3  # at most 1.5 mm from bone
    found = cleaned(mask, hu, (0.5, 0.5), Refinement(min_area=2.0, min_depth=3.0))
    np.testing.assert_array_equal(found, np.where(mask == 1, 1, 0))


def test_without_limits_the_mask_stays():
    mask = np.eye(6, dtype=np.uint8)
    assert cleaned(mask, np.zeros((6, 6), np.int16), (1.0, 1.0), Refinement()) is mask
