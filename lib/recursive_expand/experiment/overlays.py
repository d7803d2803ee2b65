"""Overlays of ground truth, prediction before and prediction after: what the recursion improved, found and lost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy import ndimage

from recursive_expand.archives.images import read_label, read_volume
from recursive_expand.cases import Volume
from recursive_expand.errors import RecursiveExpandError
from recursive_expand.experiment.config import slug
from recursive_expand.experiment.data import ExperimentData
from recursive_expand.experiment.evaluation import reference
from recursive_expand.experiment.figures import AFTER, BEFORE
from recursive_expand.experiment.metrics import ANY
from recursive_expand.experiment.results import Results
from recursive_expand.experiment.test_sets import TestCase
from recursive_expand.segment.regions.registry import region_named


@dataclass(frozen=True)
class Kind:
    """A kind of change, and the rule by which its slices are chosen.

    Attributes:
        title: of its figure.
        figure: the paper's.
        rule: which slices are shown, the largest change first and at most one of a case.
    """

    title: str
    figure: str
    rule: str


KINDS = {
    "improved": Kind("Improved", "Figure 3", "partly found before, with the largest gain of Dice"),
    "expanded": Kind("Expanded from a seed", "Figure 4", "partly found before, with the largest gain of recall"),
    "worsened": Kind("Worsened", "Figure 5", "with the largest loss of Dice"),
    "further": Kind("Improved, further slices", "Figure 6", "as in Figure 3, the next ones"),
    "found": Kind(
        "Newly found",
        "Figure 7",
        "with the most true voxels in regions (8-connected, in the slice) that held no mark before and hold one after",
    ),
}
"""By name; the paper does not say how it chose."""
TRUTH = "#2ca02c"
LEAST_VOXELS = 10
"""Smallest number of reference voxels of a shown slice."""
SHOWN = 5
"""Largest number of slices of a kind; at most one per case."""


@dataclass(frozen=True)
class Shown:
    """A slice for a figure.

    Attributes:
        title: names the slice.
        hu: (rows, columns) int16.
        truth, before, after: (rows, columns) bool.
        dice: before and after.
    """

    title: str
    hu: NDArray[np.int16]
    truth: NDArray[np.bool_]
    before: NDArray[np.bool_]
    after: NDArray[np.bool_]
    dice: tuple[float, float]


def choose(slices: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Choose the slices of each kind that the numbers decide: all but the newly found regions.

    Args:
        slices: rows of `slices.csv.gz` of one run and test set.

    Returns:
        By kind, at most `SHOWN` rows with `case_id`, `slice`, `dice_before`, `dice_after`; the largest change first.
    """
    both = _both(slices)
    change = both.dice_after - both.dice_before
    seeds = both[both.true_positive_before > 0]
    improved = _largest(seeds[change[seeds.index] > 0], change)
    gained = (seeds.true_positive_after - seeds.true_positive_before) / (
        seeds.true_positive_before + seeds.false_negative_before
    )
    return {
        "improved": improved.head(SHOWN),
        "expanded": _largest(seeds[gained > 0], gained).head(1),
        "worsened": _largest(both[change < 0], -change).head(SHOWN),
        "further": improved.iloc[SHOWN : 2 * SHOWN],
    }


def newly_found(truth: NDArray[np.bool_], before: NDArray[np.bool_], after: NDArray[np.bool_]) -> int:
    """True voxels of a slice in regions of the reference that were missed altogether before and are marked after.

    Args:
        truth, before, after: (rows, columns).
    """
    regions, count = ndimage.label(truth, structure=np.ones((3, 3)))
    sizes, seen, now = (
        np.bincount(regions[mask], minlength=count + 1) for mask in (truth, truth & before, truth & after)
    )
    new = (seen == 0) & (now > 0) & (sizes >= LEAST_VOXELS)
    return int(sizes[new].sum())


def choose_found(slices: pd.DataFrame, read: Callable[[str, int], Shown]) -> list[Shown]:
    """The slices with the largest newly found regions.

    Args:
        slices: rows of `slices.csv.gz` of one run and test set.
        read: gives a case's slice with its masks.
    """
    both = _both(slices)
    gained = both[both.true_positive_after > both.true_positive_before]
    best: dict[str, tuple[int, Shown]] = {}
    for row in gained.itertuples():
        one = read(row.case_id, int(row.slice))
        voxels = newly_found(one.truth, one.before, one.after)
        if voxels > best.get(row.case_id, (0, one))[0]:
            best[row.case_id] = voxels, one
    return [one for _, one in sorted(best.values(), key=lambda found: -found[0])[:SHOWN]]


def _both(slices: pd.DataFrame) -> pd.DataFrame:
    """One row for each slice with enough blood, before and after side by side."""
    rows = slices[slices.leads & (slices.region == ANY)]
    keys = ["case_id", "slice"]
    columns = [*keys, "dice", "true_positive", "false_negative"]
    before, after = (rows.loc[rows.stage == stage, columns] for stage in ("before", "after"))
    both = before.merge(after, on=keys, suffixes=("_before", "_after"))
    return both[both.true_positive_before + both.false_negative_before >= LEAST_VOXELS]


def _largest(rows: pd.DataFrame, by: pd.Series) -> pd.DataFrame:
    """The rows in the order of a value, the largest first, one for each case."""
    order = by[rows.index].sort_values(ascending=False, kind="stable").index
    return rows.loc[order].drop_duplicates("case_id")


def overlay_figures(results: Results, run: dict[str, Any], data: ExperimentData, test_set: str) -> dict[str, Figure]:
    """Figures of a run by kind of change; a kind without slices is left out.

    Args:
        results: the experiment's.
        run: one of its runs.
        data: that run's.
        test_set: name of the test set.

    Raises:
        RecursiveExpandError: the data has changed since the run was measured.
    """
    if data.sha256 != run["data_sha256"]:
        raise RecursiveExpandError(
            f"the data of {run['preset']}, seed {run['seed']}, has changed since it was measured: no overlays"
        )
    preset = run["preset"]
    cases = {case.case_id: case for case in data.tests[test_set]}
    slices = results.slices
    slices = slices[(slices.preset == preset) & (slices.seed == run["seed"]) & (slices.test_set == test_set)]
    last = run["rounds"][-1]["round"]
    masks = [_predictions(run, index, test_set) for index in (0, last)]
    cached = lru_cache(maxsize=1)(lambda case_id: _read_case(cases[case_id], masks, results.classes))
    dice = _both(slices).set_index(["case_id", "slice"])[["dice_before", "dice_after"]]

    def read(case_id: str, number: int) -> Shown:
        volume, found = cached(case_id)
        title = case_id if len(volume.hu) == 1 else f"{case_id}, slice {number}"
        truth, before, after = (mask[number] > 0 for mask in found)
        return Shown(title, volume.hu[number], truth, before, after, tuple(dice.loc[(case_id, number)]))

    shown = {
        kind: [read(row.case_id, int(row.slice)) for row in rows.itertuples()] for kind, rows in choose(slices).items()
    }
    shown["found"] = choose_found(slices, read)
    return {
        kind: draw(shown[kind], f"{about.title}, preset {preset}, {test_set}", view=run["view"])
        for kind, about in KINDS.items()
        if shown[kind]
    }


def draw(shown: list[Shown], title: str, *, view: dict[str, Any]) -> Figure:
    """Draw three rows (ground truth, before, after), one column per slice.

    Args:
        shown: the slices.
        title: the figure's.
        view: name of the `region` that pictures are cropped to, `level` and `width` of the window in HU.
    """
    figure = Figure(figsize=(1.8 * len(shown) + 0.4, 5.6), layout="constrained")
    axes = figure.subplots(3, len(shown), squeeze=False)
    low, high = view["level"] - view["width"] / 2, view["level"] + view["width"] / 2
    for column, one in enumerate(shown):
        box = _crop(one.hu, view["region"])
        rows = (
            ("ground truth", one.truth, TRUTH, ""),
            ("before", one.before, BEFORE, f"Dice {one.dice[0]:.2f}"),
            ("after", one.after, AFTER, f"Dice {one.dice[1]:.2f}"),
        )
        for axis, (name, mask, colour, dice) in zip(axes[:, column], rows, strict=True):
            axis.imshow(one.hu[box], cmap="gray", vmin=low, vmax=high, interpolation="nearest")
            if mask[box].any():
                axis.contourf(mask[box], levels=[0.5, 1.5], colors=[colour], alpha=0.45)
                axis.contour(mask[box], levels=[0.5], colors=[colour], linewidths=1.0)
            axis.set(xticks=[], yticks=[])
            axis.spines[:].set_visible(False)
            axis.grid(visible=False)
            if column == 0:
                axis.set_ylabel(name, color=colour, fontsize=10, fontweight="bold")
            if dice:
                axis.text(0.97, 0.03, dice, transform=axis.transAxes, color="white", fontsize=7, ha="right")
        axes[0, column].set_title(one.title, fontsize=7)
    figure.suptitle(title, fontsize=11)
    return figure


def _predictions(run: dict[str, Any], round_index: int, test_set: str) -> Path:
    """Folder of a round's masks: that of the first round with its model and settings, if the gate kept the model."""

    def key(round_: dict[str, Any]) -> tuple[str, str, Any, Any]:
        # Until 26 November 2026 only the thresholds were written.
        return round_["model_sha256"], round_["config_sha256"], round_.get("proposes_at"), round_.get("thresholds")

    wanted = next(key(round_) for round_ in run["rounds"] if round_["round"] == round_index)
    first = next(round_["round"] for round_ in run["rounds"] if key(round_) == wanted)
    return run["folder"] / "predictions" / f"round_{first:04d}" / slug(test_set)


def _read_case(case: TestCase, masks: list[Path], classes: list[str]) -> tuple[Volume, list[NDArray[np.uint8]]]:
    """A case's voxels and its (slices, rows, columns) masks: the reference, before, after."""
    volume = read_volume(case.image)
    orientation = volume.geometry.orientation
    predicted = [orientation.to_slices(read_label(folder / f"{case.case_id}.nii.gz").native) for folder in masks]
    return volume, [reference(case, volume.geometry, len(classes)), *predicted]


def _crop(hu: NDArray[np.int16], region: str) -> tuple[slice, slice]:
    """Crop to the region's box, so that pictures are not mostly air."""
    box = region_named(region).box(hu)
    if box is None:
        return slice(None), slice(None)
    return slice(box.r0, box.r1), slice(box.c0, box.c1)
