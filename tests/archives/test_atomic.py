"""atomic.py: the old file or the new one, never half of one."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from recursive_expand.archives.atomic import atomic_path, is_abandoned, leftovers, sweep, sweep_file, write_atomic


@pytest.mark.parametrize("fsync", [True, False])
def test_the_new_content_takes_the_old_one_s_place(tmp_path, fsync):
    path = tmp_path / "a.json"
    path.write_text("old")
    with atomic_path(path, fsync=fsync) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
        assert temporary.parent == tmp_path
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.json"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), atomic_path(path) as temporary:
        temporary.write_text("half")
        raise ZeroDivisionError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_block_that_writes_nothing_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError), atomic_path(tmp_path / "a"):
        pass


def test_what_a_process_left_is_told_from_what_one_is_writing(tmp_path):
    with atomic_path(tmp_path / "a.nii.gz") as temporary:
        temporary.touch()
        assert not is_abandoned(temporary)
        gone = subprocess.Popen([sys.executable, "-c", ""])
        gone.wait()
        assert is_abandoned(temporary.with_name(temporary.name.replace(str(os.getpid()), str(gone.pid))))
        assert not is_abandoned(temporary.with_name(f".a.nii.gz.{'0' * 16}.tmp"))  # 0.1.0's: nobody knows
        assert not is_abandoned(tmp_path / "a.nii.gz")


def test_what_was_left_of_one_file_goes_alone(tmp_path):
    left = [tmp_path / f".a[1].nii.gz.{'0' * 16}.tmp", tmp_path / f".b.nii.gz.{'1' * 16}.tmp", tmp_path / "a[1].nii.gz"]
    for path in left:
        path.touch()
    assert sweep_file(tmp_path / "a[1].nii.gz", leftovers(tmp_path)) == 1
    assert sorted(tmp_path.iterdir()) == sorted(left[1:])
    assert leftovers(tmp_path / "nowhere") == []


def test_sweep_removes_what_a_killed_process_left(tmp_path):
    write_atomic(tmp_path / "kept.tmp", b"")
    (tmp_path / ".hidden").write_text("")
    with atomic_path(tmp_path / "a.nii.gz") as temporary:
        temporary.write_text("")
        leftover = temporary.with_name(temporary.name.replace("a.nii.gz", "b.nii.gz"))
        leftover.write_text("")
    assert sweep(tmp_path) == 1
    assert {path.name for path in tmp_path.iterdir()} == {"kept.tmp", ".hidden", "a.nii.gz"}
    assert sweep(tmp_path / "missing") == 0
