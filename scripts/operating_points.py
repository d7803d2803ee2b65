"""Fixed and chosen operating points on real slices, one patient left out in turn: what an expert would accept.

    python scripts/operating_points.py --weights FILE [--data DIR] [--conf KEY VALUE ...]

f is a start from synthetic heads (`scripts/real_slices.py` says more of the slices). The point for a patient's slices
is chosen as `Method.operating_point` does it, on the slices of the other patients as if they were locked and on
the unseen synthetic slices, or on the latter alone, as in a study without a mask. Nothing is trained.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from safetensors.torch import load_file
from torch import nn

from real_slices import REPOSITORY, TAU, RealSlice, measured, read_slices
from recursive_expand.expand.calibration_set import Known
from recursive_expand.expand.operating_point import AREAS, GRID, by_class, safe_threshold
from recursive_expand.expand.point_choice import best_area, best_thresholds
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


def swept(
    points: Sequence[Point], settings: Settings, network: nn.Module, slices: Sequence[Known], source: Source
) -> list[SweptSlice]:
    """Slices at every point."""
    classes = len(settings.task.classes)
    counts = {one.key: np.zeros((2, len(points), classes), np.int64) for one in slices}
    for place, one, masks in proposed_at(points, settings, network, slices):
        counts[one.key][:, place] = marked_and_wrong(masks[0], one.truth[0], classes)
    return [SweptSlice(one.patient or one.key, source, *counts[one.key]) for one in slices]


def synthetic(settings: Settings) -> Iterator[Known]:
    """The unseen synthetic slices, each a patient."""
    for example in unseen_examples(settings):
        yield Known(example.key, None, example_volume(example), example.target[None], [None])


def known(one: RealSlice) -> Known:
    """A real slice as one of the locked share."""
    return Known(one.name, one.patient, one.volume, one.mask[None], [None])


def chosen(settings: Settings, kind: str, network: nn.Module, known: Sequence[tuple[Source, list[Known]]]) -> Point:
    """The point that `operating_point: kind` chooses on these."""
    classes, method = settings.task.classes, settings.method
    configured = method.thresholds(classes)

    def at(points: Sequence[Point]) -> list[SweptSlice]:
        return [one for source, slices in known for one in swept(points, settings, network, slices, source)]

    area: Point = {}
    if kind == "precision":
        swept_areas = at([{"min_area": area} for area in AREAS])
        area = {"min_area": best_area(swept_areas, AREAS, method.refinement.min_area, tau=TAU)}
    by_threshold = at([at_threshold(one, classes) | area for one in GRID])
    if kind == "conformal":
        threshold, promised = safe_threshold(by_threshold, GRID, configured, method)
        print(f"conformal: {threshold:g}, promised {promised}")
        return at_threshold(threshold, classes)
    thresholds = by_class(classes, best_thresholds(by_threshold, GRID, configured, tau=TAU))
    return {"foreground_threshold": thresholds} | area


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
    unseen = list(synthetic(settings))
    of_patient = {patient: [one for one in slices if one.patient == patient] for patient in patients}
    for threshold in FIXED:
        fixed = at_threshold(threshold, settings.task.classes)
        print(row(f"fixed {threshold:g}", settings, network, [(fixed, slices)]), flush=True)
    for kind in ("precision, thresholds alone", "precision", "conformal"):
        alone = chosen(settings, kind, network, [("synthetic", unseen)])
        print(alone)
        print(row(f"{kind}, synthetic slices alone", settings, network, [(alone, slices)]), flush=True)
        at = []
        for patient in patients:
            locked = [known(one) for one in slices if one.patient != patient]
            others = chosen(settings, kind, network, [("synthetic", unseen), ("locked", locked)])
            print(patient, others)
            at.append((others, of_patient[patient]))
        print(row(f"{kind}, the other patients too", settings, network, at), flush=True)


if __name__ == "__main__":
    main()
