"""Our path over a study, from its files to frozen proposals."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from _bench.material import fresh_folder
from _bench.study import link_all, open_bench_study, publish
from recursive_expand.expand.frozen import frozen_mask
from recursive_expand.expand.proposing import cases_to_propose, propose
from recursive_expand.expand.registration import register_cases
from recursive_expand.expand.study import Study
from recursive_expand.segment.predict import Predictor


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
        study = self._begin()
        began = time.perf_counter()
        register_cases(study)
        self._propose(study)
        return time.perf_counter() - began

    def warm(self) -> float:
        """The same without reading: voxels are in the cache, as in every round but the first."""
        study = self._begin()
        register_cases(study)
        began = time.perf_counter()
        self._propose(study)
        return time.perf_counter() - began

    def masks(self) -> dict[str, NDArray[np.uint8]]:
        """Case id to the (S, R, C) mask that the last run froze."""
        study = open_bench_study(self._studies, {})
        found = {}
        for case in study.ledger.iter_cases():
            native = frozen_mask(study.workspace, 0, case.case_id)
            found[case.case_id] = study.volume(case).geometry.orientation.to_slices(native)
        return found

    def _begin(self) -> Study:
        self._studies = fresh_folder("propose_ours")
        link_all(self._heads, self._studies)
        study = open_bench_study(self._studies, {"threads": str(self._threads)})
        publish(study, self._weights, self._sha256)
        return study

    def _propose(self, study: Study) -> None:
        predictor = Predictor(study.settings, study.network(self._sha256))
        for _ in propose(study, predictor, self._sha256, 0, cases_to_propose(study, 0)):
            pass
