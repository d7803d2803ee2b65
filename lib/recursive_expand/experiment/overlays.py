"""Overlays of ground truth, prediction before and prediction after: what the recursion improved, found and lost."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from recursive_expand.archives.images import read_label, read_volume
from recursive_expand.errors import RecursiveExpandError
from recursive_expand.experiment.config import slug
from recursive_expand.experiment.data import ExperimentData
from recursive_expand.experiment.evaluation import VARIANTS, reference
from recursive_expand.experiment.figures import AFTER, BEFORE
from recursive_expand.experiment.metrics import ANY
from recursive_expand.experiment.results import Results
from recursive_expand.experiment.test_sets import TestCase
from recursive_expand.segment.regions.registry import region_named

KINDS = {"improved": "Improved", "found": "Newly found", "worsened": "Worsened"}
"""A bleed that was partly found before and better after (the paper's Figures 3, 4, 6); one that was missed before
(Figure 7); a slice with a lower Dice after (Figure 5)."""
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
    """Choose the slices with the largest change of each kind.

    Args:
        slices: rows of `slices.csv.gz` of one run and test set.

    Returns:
        By kind, at most `SHOWN` rows with `case_id`, `slice`, `dice_before`, `dice_after`; the largest change first.
    """
    rows = slices[(slices.variant == VARIANTS[0]) & (slices.region == ANY)]
    keys = ["case_id", "slice"]
    columns = [*keys, "dice", "true_positive", "false_negative"]
    before, after = (rows.loc[rows.stage == stage, columns] for stage in ("before", "after"))
    both = before.merge(after, on=keys, suffixes=("_before", "_after"))
    both = both[both.true_positive_before + both.false_negative_before >= LEAST_VOXELS]
    change = both.dice_after - both.dice_before
    found = {
        "improved": both[(both.true_positive_before > 0) & (change > 0)],
        "found": both[(both.true_positive_before == 0) & (both.true_positive_after > 0)],
        "worsened": both[change < 0],
    }
    return {
        kind: part.loc[change[part.index].abs().sort_values(ascending=False, kind="stable").index]
        .drop_duplicates("case_id")
        .head(SHOWN)
        for kind, part in found.items()
    }


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
    chosen = choose(slices[(slices.preset == preset) & (slices.seed == run["seed"]) & (slices.test_set == test_set)])
    last = run["rounds"][-1]["round"]
    masks = [_predictions(run, index, test_set) for index in (0, last)]
    figures = {}
    for kind, rows in chosen.items():
        shown = [
            _read(cases[row.case_id], int(row.slice), masks, (row.dice_before, row.dice_after), results.classes)
            for row in rows.itertuples()
        ]
        if shown:
            figures[kind] = draw(shown, f"{KINDS[kind]}, preset {preset}, {test_set}", view=run["view"])
    return figures


def draw(shown: list[Shown], title: str, *, view: dict[str, Any]) -> Figure:
    """Draw three rows (ground truth, before, after), one column per slice.

    Args:
        shown: the slices.
        title: the figure's.
        view: name of the `region` that pictures are cropped to, `level` and `width` of the window in HU.
    """
    figure, axes = plt.subplots(
        3, len(shown), figsize=(1.8 * len(shown) + 0.4, 5.6), squeeze=False, layout="constrained"
    )
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

    def key(round_: dict[str, Any]) -> tuple[str, str]:
        return round_["model_sha256"], round_["config_sha256"]

    wanted = next(key(round_) for round_ in run["rounds"] if round_["round"] == round_index)
    first = next(round_["round"] for round_ in run["rounds"] if key(round_) == wanted)
    return run["folder"] / "predictions" / f"round_{first:04d}" / slug(test_set)


def _read(case: TestCase, number: int, masks: list[Path], dice: tuple[float, float], classes: list[str]) -> Shown:
    volume = read_volume(case.image)
    orientation = volume.geometry.orientation
    truth = reference(case, volume.geometry, len(classes))[number] > 0
    before, after = (
        orientation.to_slices(read_label(folder / f"{case.case_id}.nii.gz").native)[number] > 0 for folder in masks
    )
    title = case.case_id if len(volume.hu) == 1 else f"{case.case_id}, slice {number}"
    return Shown(title, volume.hu[number], truth, before, after, dice)


def _crop(hu: NDArray[np.int16], region: str) -> tuple[slice, slice]:
    """Crop to the region's box, so that pictures are not mostly air."""
    box = region_named(region).box(hu)
    if box is None:
        return slice(None), slice(None)
    return slice(box.r0, box.r1), slice(box.c0, box.c1)
