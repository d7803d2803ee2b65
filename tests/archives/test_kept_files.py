"""Files that can be made again, and the patients' pseudonyms."""

from __future__ import annotations

import os
import time

from recursive_expand.archives.kept_files import IN_USE_SECONDS, KeptFiles
from recursive_expand.archives.pacs.pseudonyms import pseudonym, salt_of


def test_the_least_recently_used_go_first_and_none_in_use(tmp_path):
    kept = KeptFiles(tmp_path, 250)
    long_ago = time.time() - IN_USE_SECONDS
    for age, name in enumerate("abcd"):
        (tmp_path / name).write_bytes(bytes(100))
        os.utime(tmp_path / name, (long_ago - age * 100, long_ago - age * 100))
    assert kept.get("d") == tmp_path / "d"
    assert kept.get("x") is None
    assert kept.trim() == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "d"]
    assert KeptFiles(tmp_path, 0).trim() == 1
    assert [path.name for path in tmp_path.iterdir()] == ["d"]


def test_a_new_file_counts_and_what_is_too_much_goes(tmp_path):
    kept, long_ago = KeptFiles(tmp_path, 250), time.time() - 2 * IN_USE_SECONDS
    for name in "abc":
        (tmp_path / name).write_bytes(bytes(100))
        os.utime(tmp_path / name, (long_ago, long_ago))
        kept.added(name)
        long_ago += 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b", "c"]


def test_a_pseudonym_is_the_workspaces_own(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    one, other = salt_of(tmp_path / "a"), salt_of(tmp_path / "b")
    assert salt_of(tmp_path / "a") == one != other
    assert pseudonym(one, "4711") == pseudonym(one, " 4711 ") != pseudonym(other, "4711")
    assert pseudonym(one, "4711", "ward") != pseudonym(one, "4711")
    assert pseudonym(one, " ") is None
    assert "4711" not in pseudonym(one, "4711")
    assert (tmp_path / "a" / "salt").stat().st_mode & 0o077 == 0
