"""Frozen proposals on disk."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from recursive_expand.cases import Geometry, voxel_sha256
from recursive_expand.expand.frozen import freeze_files, frozen_ignore, frozen_mask
from recursive_expand.expand.workspace import Workspace

AFFINES = [np.diag([-1.0, -1.0, 3.0, 1.0]), np.array([[0, 0, 2.0, 1], [1.0, 0, 0, 2], [0, -1.0, 0, 3], [0, 0, 0, 1]])]


@pytest.mark.parametrize("affine", AFFINES, ids=["axial", "sagittal, turned"])
@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_masks_and_trust_come_back(tmp_path, affine, data):
    geometry = Geometry.of((4, 5, 6), affine)
    mask = data.draw(hnp.arrays(np.uint8, geometry.shape, elements=st.integers(0, 5)))
    ignore = data.draw(hnp.arrays(np.bool_, geometry.shape))
    workspace = Workspace(tmp_path)
    sha256 = freeze_files(workspace, 0, "a", mask, ignore, geometry)  # the file before is replaced
    native = frozen_mask(workspace, 0, "a")
    assert voxel_sha256(native) == sha256
    assert np.array_equal(geometry.orientation.to_slices(native), mask)
    assert np.array_equal(frozen_ignore(workspace, 0, "a"), ignore)


def test_nothing_half_written_stays_where_the_mask_cannot_be_written(tmp_path, monkeypatch):
    def full(*_args, **_kwargs):
        raise OSError("no space left on device")

    monkeypatch.setattr("recursive_expand.archives.nifti.write", full)
    geometry = Geometry.of((4, 5, 6), AFFINES[0])
    zeros = np.zeros(geometry.shape, np.uint8)
    with pytest.raises(OSError, match="no space"):
        freeze_files(Workspace(tmp_path), 0, "a", zeros, zeros.astype(bool), geometry)
    assert not (tmp_path / "proposals" / "round_0000" / "a.nii.gz").exists()
    assert not list(tmp_path.rglob("*.tmp"))
