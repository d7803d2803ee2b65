"""cache.py: every scan is decoded once, and again only if it changed."""

from __future__ import annotations

import json
import os
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from recursive_expand.archives.cache import VoxelCache
from recursive_expand.archives.kept_files import IN_USE_SECONDS
from recursive_expand.cases import Geometry, Volume
from recursive_expand.errors import InputError

AFFINE = np.array([[-0.1 - 0.2, 0, 0, 1 / 3], [0, -0.46, -0.2, 110], [0, -0.15, 5.0, -30], [0, 0, 0, 1]])


@pytest.fixture
def volume():
    return Volume(np.arange(90, dtype=np.int16).reshape(3, 6, 5), Geometry.of((5, 6, 3), AFFINE))


@pytest.fixture
def cache(tmp_path):
    return VoxelCache(tmp_path / "cache")


def test_a_volume_comes_back_mapped_read_only_and_exact(cache, volume):
    assert cache.get("a") is None
    for mapped in (cache.put("a", volume), cache.get("a")):
        assert isinstance(mapped.hu, np.memmap) and not mapped.hu.flags.writeable
        assert mapped.hu.flags.c_contiguous and np.array_equal(mapped.hu, volume.hu)
        assert mapped.geometry.affine.tobytes() == volume.geometry.affine.tobytes()
        assert mapped.geometry.native_shape == (5, 6, 3)
        assert mapped.geometry.orientation == volume.geometry.orientation


def test_a_scan_is_read_once_and_again_when_it_changed(cache, volume):
    readings = []

    def read():
        readings.append(1)
        return volume

    assert np.array_equal(cache.load("a", "1-1", read).hu, volume.hu)
    assert isinstance(cache.load("a", "1-1", read).hu, np.memmap) and len(readings) == 1
    changed = Volume(volume.hu + np.int16(1), volume.geometry)
    assert np.array_equal(cache.load("a", "1-2", lambda: changed).hu, volume.hu + 1)
    cache.load("b", "1-2", read)
    assert len(readings) == 2


def test_threads_that_want_the_same_case_read_it_once(cache, volume):
    readings = []

    def read():
        readings.append(1)
        return volume

    with ThreadPoolExecutor(8) as pool:
        volumes = list(pool.map(lambda _: cache.load("a", "1-1", read), range(16)))
    assert len(readings) == 1
    assert all(np.array_equal(mapped.hu, volume.hu) for mapped in volumes)


def test_what_0_1_0_cached_is_still_there(tmp_path, cache, volume):
    np.save(tmp_path / "cache" / "a.npy", volume.hu)
    facts = {"native_shape": [5, 6, 3], "affine": AFFINE.tolist(), "signature": "123-456"}
    (tmp_path / "cache" / "a.json").write_text(json.dumps(facts))
    assert np.array_equal(cache.load("a", "123-456", lambda: 1 / 0).hu, volume.hu)


@pytest.mark.parametrize("damage", ["no array", "no facts", "half array", "half facts", "other shape"])
def test_a_damaged_entry_counts_as_missing(tmp_path, cache, volume, damage):
    cache.put("a", volume)
    array, facts = tmp_path / "cache" / "a.npy", tmp_path / "cache" / "a.json"
    if damage == "no array":
        array.unlink()
    elif damage == "no facts":
        facts.unlink()
    elif damage == "half array":
        array.write_bytes(array.read_bytes()[:-20])
    elif damage == "half facts":
        facts.write_bytes(facts.read_bytes()[:20])
    else:
        facts.write_text(json.dumps(json.loads(facts.read_text()) | {"native_shape": [5, 6, 4]}))
    assert cache.get("a") is None


def test_a_refused_scan_leaves_nothing(tmp_path, cache):
    def refuse():
        raise InputError("a.nii", "is empty")

    with pytest.raises(InputError, match="is empty"):
        cache.load("a", "0-1", refuse)
    assert not list((tmp_path / "cache").iterdir())


def test_removed_cases_are_gone_and_ids_are_checked(tmp_path, cache, volume):
    cache.put("a", volume)
    cache.remove("a")
    cache.remove("a")
    assert not list((tmp_path / "cache").iterdir())
    with pytest.raises(InputError, match="case id"):
        cache.put("../a", volume)


def test_a_bounded_cache_forgets_the_least_recently_used_and_none_in_use(tmp_path, volume):
    size = volume.hu.nbytes + 128  # of numpy's header
    cache = VoxelCache(tmp_path / "cache", most_bytes=2.5 * size)
    long_ago = time.time() - 2 * IN_USE_SECONDS
    for age, case_id in enumerate("ab"):
        cache.put(case_id, volume)
        os.utime(tmp_path / "cache" / f"{case_id}.npy", (long_ago - age, long_ago - age))
    assert cache.get("b") is not None  # older than a, but used again
    cache.put("c", volume)
    assert cache.get("a") is None
    assert cache.get("b") is not None and cache.get("c") is not None
    assert np.array_equal(cache.load("a", "1", lambda: volume).hu, volume.hu)
