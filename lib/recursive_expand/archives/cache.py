"""The voxel cache: every scan decoded once, then memory-mapped."""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recursive_expand.archives.atomic import atomic_path, write_atomic
from recursive_expand.archives.identifiers import check_id
from recursive_expand.archives.kept_files import KeptFiles
from recursive_expand.cases import Geometry, Volume


class VoxelCache:
    """HU arrays as `.npy` files, each with a `.json` of its geometry and its source's signature.

    The `.json` is written last and removed first: an array without it is not there. Losing the cache costs time only,
    so nothing here waits for the disk.
    """

    def __init__(self, folder: Path, most_bytes: float = math.inf) -> None:
        """Use `folder`, which is made if missing; of more than `most_bytes` the least recently used arrays go."""
        self._kept = KeptFiles(folder, most_bytes, "*.npy") if most_bytes < math.inf else None
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        # As many as may decode at once without sharing a lock; a lock a case would grow with the cases.
        self._locks = tuple(threading.Lock() for _ in range(64))

    def get(self, case_id: str) -> Volume | None:
        """The cached volume, memory-mapped read-only, or None."""
        cached = self._read(case_id)
        return cached[0] if cached else None

    def put(self, case_id: str, volume: Volume, *, source_signature: str = "") -> Volume:
        """Store a volume and give it back memory-mapped.

        Args:
            case_id: whose it is.
            volume: what to store.
            source_signature: of the scan that it was read from (`Archive.signature`), if any.
        """
        array, facts = self._paths(case_id)
        facts.unlink(missing_ok=True)
        with atomic_path(array, fsync=False) as temporary, temporary.open("wb") as file:
            np.save(file, np.ascontiguousarray(volume.hu, np.int16))
        geometry = volume.geometry
        content = {
            "native_shape": list(geometry.native_shape),
            "affine": geometry.affine.tolist(),  # repr of a float64 is exact
            "signature": source_signature,
        }
        write_atomic(facts, json.dumps(content).encode(), fsync=False)
        if self._kept is not None:
            self._kept.added(array.name)
        mapped = self.get(case_id)
        return volume if mapped is None else mapped

    def load(self, case_id: str, signature: str, read: Callable[[], Volume]) -> Volume:
        """A case's volume: from the cache, or read, cached and given back memory-mapped.

        A scan that changed since it was cached is read again. Threads that ask for the same case wait for one reading.

        Args:
            case_id: whose it is.
            signature: the scan's now (`Archive.signature`).
            read: reads the scan where the cache does not have it.

        Raises:
            InputError: where `read` refuses the scan.
        """
        cached = self._read(case_id)
        if cached and cached[1] == signature:  # its readers do not wait for another case's that shares its lock
            return cached[0]
        with self._locks[hash(case_id) % len(self._locks)]:
            cached = self._read(case_id)
            if cached and cached[1] == signature:
                return cached[0]
            return self.put(case_id, read(), source_signature=signature)

    def remove(self, case_id: str) -> None:
        """Forget a case."""
        array, facts = self._paths(case_id)
        facts.unlink(missing_ok=True)
        array.unlink(missing_ok=True)

    def _paths(self, case_id: str) -> tuple[Path, Path]:
        check_id(case_id)
        return self._folder / f"{case_id}.npy", self._folder / f"{case_id}.json"

    def _read(self, case_id: str) -> tuple[Volume, str] | None:
        array, facts = self._paths(case_id)
        try:
            if self._kept is not None:
                self._kept.get(array.name)  # counts as used
            known = json.loads(facts.read_bytes())
            i, j, k = known["native_shape"]
            geometry = Geometry.of((i, j, k), np.array(known["affine"], np.float64))
            hu: NDArray[np.int16] = np.load(array, mmap_mode="r")
        except (OSError, ValueError, KeyError, TypeError):
            # Missing, or half of something from another machine: as good as not cached.
            return None
        if hu.shape != geometry.shape or hu.dtype != np.int16:
            return None
        return Volume(hu, geometry), known["signature"]
