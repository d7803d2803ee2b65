"""Fixed and chosen operating points on real slices, one patient left out in turn: what an expert would accept.

    python scripts/operating_points.py --weights FILE [--data DIR] [--conf KEY VALUE ...]

f is a start from synthetic heads (`scripts/real_slices.py` says more of the slices). The point for a patient's slices
is chosen as `Method.operating_point` does it, on the slices of the other patients as if they were locked and on
the unseen synthetic slices, or on the latter alone, as in a study without a mask. Nothing is trained.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from safetensors.torch import load_file
from torch import nn

from real_slices import REPOSITORY, TAU, RealSlice, measured, read_slices
from recursive_expand.expand.calibration_set import Known
from recursive_expand.expand.operating_point import most_acceptable, safe_threshold, threshold_grid
from recursive_expand.expand.point_sweep import (
    Point,
    Source,
    SweptSlice,
    at_threshold,
    marked_and_wrong,
    proposed_at,
)
from recursive_expand.segment.network import build_network
from recursive_expand.segment.predict import Predictor
from recursive_expand.segment.unseen import example_volume, unseen_examples
from recursive_expand.settings import Settings, load_settings

FIXED = (0.5, 0.2, 0.1)


class Swept:
    """Slices at points, each set of points proposed at once.

    Args:
        settings, network: what proposes.
        slices: by where they come from.
    """

    def __init__(self, settings: Settings, network: nn.Module, slices: dict[Source, list[Known]]) -> None:
        self._settings, self._network, self._slices = settings, network, slices
        self._found: dict[str, list[SweptSlice]] = {}

    def without(self, patient: str | None) -> Callable[[Sequence[Point]], list[SweptSlice]]:
        """All slices but a patient's; None: the synthetic ones alone."""

        def at(points: Sequence[Point]) -> list[SweptSlice]:
            name = repr(points)
            if name not in self._found:
                self._found[name] = self._proposed(points)
            found = self._found[name]
            if patient is None:
                return [one for one in found if one.source == "synthetic"]
            return [one for one in found if one.patient != patient]

        return at

    def _proposed(self, points: Sequence[Point]) -> list[SweptSlice]:
        classes, found = len(self._settings.task.classes), []
        for source, slices in self._slices.items():
            counts = {one.key: np.zeros((2, len(points), classes), np.int64) for one in slices}
            for place, one, masks in proposed_at(points, self._settings, self._network, slices):
                counts[one.key][:, place] = marked_and_wrong(masks[0], one.truth[0], classes)
            found += [SweptSlice(one.patient or one.key, source, *counts[one.key]) for one in slices]
        return found


def synthetic(settings: Settings) -> Iterator[Known]:
    """The unseen synthetic slices, each a patient."""
    for example in unseen_examples(settings):
        yield Known(example.key, None, example_volume(example), example.target[None], [None])


def known(one: RealSlice) -> Known:
    """A real slice as one of the locked share."""
    return Known(one.name, one.patient, one.volume, one.mask[None], [None])


def chosen(settings: Settings, kind: str, sweep: Callable[[Sequence[Point]], list[SweptSlice]]) -> Point:
    """The point that `operating_point: kind` chooses."""
    classes = settings.task.classes
    if kind == "precision":
        return most_acceptable(settings, sweep, sweep)
    if kind == "precision, thresholds alone":
        return most_acceptable(settings, lambda _: [], sweep)
    grid = threshold_grid(settings)
    swept = sweep([at_threshold(one, classes) for one in grid])
    threshold, promised = safe_threshold(swept, grid, settings.method.thresholds(classes), settings.method)
    print(f"conformal: {threshold:g}, promised {promised}")
    return at_threshold(threshold, classes)


def row(title: str, settings: Settings, network: nn.Module, at: Iterable[tuple[Point, list[RealSlice]]]) -> str:
    """A row of the table: slices, each measured at its point."""
    rows: list[dict[str, object]] = []
    typed = 0
    for point, slices in at:
        under = settings.changed(**point)
        rows += measured(under, network, slices)
        predictor = Predictor(under, network)
        for one in slices:
            mask = predictor.predict(one.volume).mask[0]
            by_class, wrong = marked_and_wrong(mask, one.mask, len(settings.task.classes))
            typed += bool(by_class.sum() and wrong.sum() <= TAU * by_class.sum())
    table = pd.DataFrame(rows)
    both, marked, true = (int(table[name].sum()) for name in ("both", "marked", "true"))
    proposed = table[table["marked"] > 0]
    right = proposed["both"] / proposed["marked"] >= 1 - TAU
    of_patients = right.groupby(proposed["patient"]).mean().mean()
    return (
        f"| {title} | {len(proposed)} | {right.sum()} ({right.mean():.2f}) | {of_patients:.2f} | {typed} | "
        f"{table['dice'].mean():.3f} ({table['dice'].median():.3f}) | {both / max(1, marked):.2f}, {both / true:.2f} |"
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=REPOSITORY.parent / "shared" / "data")
    parser.add_argument("--conf", nargs=2, action="append", default=[], metavar=("KEY", "VALUE"))
    parser.add_argument("--weights", type=Path, required=True, help="f's start, safetensors")
    asked = parser.parse_args()
    settings = load_settings(REPOSITORY / "apps" / "recursive_ich" / "task.yaml", dict(asked.conf))
    network = build_network(settings)
    network.load_state_dict(load_file(asked.weights))
    slices = read_slices(asked.data / "ct_ich_v1_slices", settings.task.classes, None)
    patients = sorted({one.patient for one in slices})
    swept = Swept(settings, network, {"synthetic": list(synthetic(settings)), "locked": [known(one) for one in slices]})
    of_patient = {patient: [one for one in slices if one.patient == patient] for patient in patients}
    for threshold in FIXED:
        fixed = at_threshold(threshold, settings.task.classes)
        print(row(f"fixed {threshold:g}", settings, network, [(fixed, slices)]), flush=True)
    for kind in ("precision, thresholds alone", "precision", "conformal"):
        alone = chosen(settings, kind, swept.without(None))
        print(alone)
        print(row(f"{kind}, synthetic slices alone", settings, network, [(alone, slices)]), flush=True)
        at = []
        for patient in patients:
            others = chosen(settings, kind, swept.without(patient))
            print(patient, others)
            at.append((others, of_patient[patient]))
        print(row(f"{kind}, the other patients too", settings, network, at), flush=True)


if __name__ == "__main__":
    main()
