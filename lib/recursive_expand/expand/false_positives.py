"""What f marks on slices that are labelled clean: its false positives."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from recursive_expand.cases import Volume
from recursive_expand.expand.labelled_slices import CountMarked
from recursive_expand.expand.recursion import Recursion, choose_device
from recursive_expand.ledger import RoundRecord
from recursive_expand.segment.constrain import AllowedClasses
from recursive_expand.segment.predict import Predictor


def count_marked(recursion: Recursion, before: RoundRecord | None) -> CountMarked | None:
    """What mined negatives are chosen by.

    Args:
        recursion: under the settings of the round that begins.
        before: the round before it.

    Returns:
        Counts the voxels that the model of the round before marks where no label hinders it; None where the settings
        mine none, or there is no model.
    """
    if recursion.settings.method.training.clean_slices != "false_positives" or before is None or before.model is None:
        return None
    model = before.model

    def marked(slices: Sequence[tuple[str, int]]) -> list[int]:
        wanted: dict[str, set[int]] = {}
        for case_id, number in slices:
            wanted.setdefault(case_id, set()).add(number)
        allowed: dict[str, AllowedClasses] = {}

        def volumes() -> Iterator[tuple[str, Volume]]:
            for case_id, numbers in wanted.items():
                volume = recursion.volume(case_id)
                # The whole volume, for a slice may be seen with its neighbours; f looks where something is allowed.
                allowed[case_id] = [None if n in numbers else frozenset() for n in range(len(volume.hu))]
                yield case_id, volume

        predictor = Predictor(recursion.settings, recursion.network(model), choose_device())
        found = {
            case_id: np.count_nonzero(prediction.mask, axis=(1, 2))
            for case_id, prediction in predictor.propose_volumes(volumes(), allowed)
        }
        return [int(found[case_id][number]) for case_id, number in slices]

    return marked
