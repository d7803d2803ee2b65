"""Our path over a study, from its files to frozen proposals."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from _bench.files import link_all
from _bench.material import fresh_folder
from _bench.recursion import open_bench_recursion, propose_all, publish
from recursive_expand.expand.frozen import frozen_label
from recursive_expand.expand.recursion import Recursion
from recursive_expand.expand.registration import register_cases


class OurPath:
    """Proposes the same study again and again, each time from nothing.

    Args:
        heads: the images.
        weights: the model's file.
        sha256: its hash.
        threads: CPU threads.
    """

    def __init__(self, heads: Path, weights: Path, sha256: str, threads: int) -> None:
        self._heads, self._weights, self._sha256, self._threads = heads, weights, sha256, threads
        self._studies = fresh_folder("propose_ours")

    def cold(self) -> float:
        """Seconds of reading (scan, decoding, checks), f, g and freezing, with nothing cached."""
        recursion = self._begin()
        began = time.perf_counter()
        register_cases(recursion)
        propose_all(recursion)
        return time.perf_counter() - began

    def warm(self) -> float:
        """The same without reading: voxels are in the cache, as in every round but the first."""
        recursion = self._begin()
        register_cases(recursion)
        began = time.perf_counter()
        propose_all(recursion)
        return time.perf_counter() - began

    def masks(self) -> dict[str, NDArray[np.uint8]]:
        """Case id to the (S, R, C) mask that the last run froze."""
        recursion = open_bench_recursion(self._studies, {})
        found = {}
        for case in recursion.ledger.cases.iterate():
            proposal = recursion.ledger.proposals.of_round(case.case_id, 0)
            assert proposal is not None
            found[case.case_id] = frozen_label(recursion.workspace, proposal, recursion.settings.task.classes).slices
        return found

    def _begin(self) -> Recursion:
        self._studies = fresh_folder("propose_ours")
        link_all(self._heads, self._studies)
        recursion = open_bench_recursion(self._studies, {"threads": str(self._threads)})
        publish(recursion, self._weights, self._sha256)
        return recursion
