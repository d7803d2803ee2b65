"""A slice that stands alone as a volume."""

import numpy as np

from recursive_expand.segment.slice_volume import THICKNESS_MM, slice_volume


def test_rows_and_columns_keep_their_spacing():
    hu = np.arange(12, dtype=np.int16).reshape(3, 4)
    volume = slice_volume(hu, (0.5, 0.4))
    np.testing.assert_array_equal(volume.hu, hu[None])
    assert volume.geometry.spacing == (THICKNESS_MM, 0.5, 0.4)
