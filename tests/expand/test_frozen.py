"""Frozen proposals on disk."""

import os
import subprocess
import sys
import time

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from recursive_expand.cases import Geometry, LabelMap
from recursive_expand.errors import InputError
from recursive_expand.expand.frozen import (
    SECONDS_TO_BE_RECORDED,
    freeze_files,
    frozen_file,
    frozen_ignore,
    frozen_label,
    sweep_proposals,
)
from recursive_expand.expand.workspace import Workspace
from recursive_expand.ledger import ProposalRecord, ProposalState

AFFINES = [np.diag([-1.0, -1.0, 3.0, 1.0]), np.array([[0, 0, 2.0, 1], [1.0, 0, 0, 2], [0, -1.0, 0, 3], [0, 0, 0, 1]])]
GEOMETRY = Geometry.of((4, 5, 6), AFFINES[0])
CLASSES = ("epidural", "subdural")


def record(file):
    return ProposalRecord(1, "a", 0, "", "", file, ProposalState.OPEN, (), (), {}, 0.0)


def freeze(workspace, value=1, *, ignore=False, geometry=GEOMETRY):
    """Freeze a mask of one value all over."""
    label = LabelMap(np.full(geometry.native_shape, value, np.uint8), geometry)
    return freeze_files(workspace, label, np.full(geometry.shape, ignore))


def age(path, seconds=SECONDS_TO_BE_RECORDED + 60):
    os.utime(path, (time.time() - seconds,) * 2)


def files(workspace):
    return sorted(path.name for path in workspace.proposals.rglob("*") if path.is_file())


@pytest.mark.parametrize("affine", AFFINES, ids=["axial", "sagittal, turned"])
@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_masks_and_trust_come_back(tmp_path, affine, data):
    geometry = Geometry.of((4, 5, 6), affine)
    mask = data.draw(hnp.arrays(np.uint8, geometry.shape, elements=st.integers(0, 2)))
    ignore = data.draw(hnp.arrays(np.bool_, geometry.shape))
    workspace = Workspace(tmp_path)
    label = LabelMap.from_slices(mask, geometry, CLASSES)
    proposal = record(freeze_files(workspace, label, ignore))
    found = frozen_label(workspace, proposal, CLASSES)
    assert (found.sha256, found.classes) == (label.sha256, CLASSES)
    assert np.array_equal(found.slices, mask)
    assert np.array_equal(frozen_ignore(workspace, proposal), ignore)
    assert frozen_file(workspace, proposal).is_file()


def test_files_are_named_for_their_content(tmp_path):
    """So that two who make the same proposal at once write the same files, and no other proposal can replace them."""
    workspace = Workspace(tmp_path / "one")
    file = freeze(workspace)
    assert freeze(Workspace(tmp_path / "other")) == file
    assert freeze(workspace) == file
    assert len(files(workspace)) == 2  # mask and trust
    moved = Geometry.of((4, 5, 6), np.diag([-1.0, -1.0, 4.0, 1.0]))
    others = {freeze(workspace, 2), freeze(workspace, ignore=True), freeze(workspace, geometry=moved)}
    assert len(others | {file}) == 4
    assert len(files(workspace)) == 8


def test_what_is_there_is_not_written_again(tmp_path):
    workspace = Workspace(tmp_path)
    path = tmp_path / freeze(workspace)
    inode = path.stat().st_ino
    freeze(workspace)
    assert path.stat().st_ino == inode


def test_nothing_half_written_stays_where_the_mask_cannot_be_written(tmp_path, monkeypatch):
    def full(*_args, **_kwargs):
        raise OSError("no space left on device")

    monkeypatch.setattr("recursive_expand.archives.nifti.write", full)
    workspace = Workspace(tmp_path)
    with pytest.raises(OSError, match="no space"):
        freeze(workspace)
    assert [name for name in files(workspace) if not name.endswith(".trust.npz")] == []


def test_a_missing_or_damaged_file_is_named(tmp_path):
    workspace = Workspace(tmp_path)
    proposal = record(freeze(workspace))
    frozen_file(workspace, proposal).write_bytes(b"nonsense")
    with pytest.raises(InputError, match=frozen_file(workspace, proposal).name):
        frozen_label(workspace, proposal, CLASSES)
    frozen_file(workspace, proposal).unlink()
    with pytest.raises(InputError, match=frozen_file(workspace, proposal).name):
        frozen_label(workspace, proposal, CLASSES)


def test_the_sweep_takes_old_files_that_no_row_names_and_nothing_else(tmp_path):
    workspace = Workspace(tmp_path)
    recorded, left, young = (freeze(workspace, value) for value in (1, 2, 3))
    for file in (recorded, left):
        age(tmp_path / file)
        age(tmp_path / f"{file.removesuffix('.nii.gz')}.trust.npz")
    kept = {
        path for file in (recorded, young) for path in (tmp_path / file).parent.glob(f"{(tmp_path / file).name[:64]}*")
    }
    assert sweep_proposals(workspace, {recorded}) == 2
    assert {path for path in workspace.proposals.rglob("*") if path.is_file()} == kept
    assert len(kept) == 4
    assert sweep_proposals(workspace, {recorded}) == 0


def test_the_sweep_takes_half_written_files_only_from_processes_that_are_gone(tmp_path):
    """The server freezes what a client asks for while a round's own process begins to propose."""
    workspace = Workspace(tmp_path)
    folder = (tmp_path / freeze(workspace)).parent
    old, young = folder / ".old.nii.gz.0123.tmp", folder / ".young.nii.gz.4567.tmp"
    for path in (old, young):
        path.write_bytes(b"half")
    age(old)
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    killed, writing = (folder / f".p.nii.gz.{pid}-{'0' * 16}.tmp" for pid in (gone.pid, os.getpid()))
    for path in (killed, writing):
        path.write_bytes(b"half")
    assert sweep_proposals(workspace, set()) == 2
    assert young.exists() and writing.exists() and not old.exists() and not killed.exists()


def test_the_sweep_takes_the_trust_of_a_mask_that_was_never_written(tmp_path):
    workspace = Workspace(tmp_path)
    mask = tmp_path / freeze(workspace)
    mask.unlink()
    [trust] = mask.parent.iterdir()
    age(trust)
    assert sweep_proposals(workspace, set()) == 1
    assert files(workspace) == []


def test_an_old_leftover_that_is_proposed_again_is_not_swept_before_it_is_recorded(tmp_path):
    workspace = Workspace(tmp_path)
    for path in (tmp_path / freeze(workspace)).parent.iterdir():
        age(path)
    freeze(workspace)
    assert sweep_proposals(workspace, set()) == 0
    assert len(files(workspace)) == 2


def test_without_any_proposal_there_is_nothing_to_sweep(tmp_path):
    assert sweep_proposals(Workspace(tmp_path), set()) == 0
