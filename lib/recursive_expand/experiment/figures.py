"""The experiment's figures: box plots, curves and rates, each drawn from rows of the results."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from recursive_expand.experiment.calibration import (
    calibration_bins,
    calibration_error,
    predicted_acceptance,
    risk_at_coverage,
)
from recursive_expand.experiment.metrics import ANY, METRICS
from recursive_expand.experiment.results import Results
from recursive_expand.experiment.statistics import pairs

SHOWN_AS = {"f+g": "f, then g", "f": "f alone"}
"""What a variant is called."""
BEFORE, AFTER = "#e08a1e", "#b3242b"
"""The paper's colours: orange before the recursion, red after it."""
SERIES = ("#1f5f99", "#b3242b", "#3a7d44", "#7b4f9d", "#8a6d3b", "#5b6770")
"""Colours of presets and classes."""
FEW_PRESETS, PANELS_IN_A_ROW = 3, 4
"""Of how many presets every bar can have its number; how many have panels side by side."""
SOURCES = {
    "trained_pixel": ("expert masks", "#5b6770"),
    "trained_accepted": ("accepted", "#3a7d44"),
    "trained_joined": ("newly segmented", "#e08a1e"),
    "trained_clean": ("labelled clean", "#a9c7e0"),
}
"""Label and colour of each source of training slices, by its column of `rounds.csv`."""
STYLE: dict[Any, Any] = {
    "figure.dpi": 150,
    "savefig.bbox": "tight",
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "grid.color": "#e3e3e3",
    "axes.axisbelow": True,
    "legend.frameon": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "recursive_expand",
}
"""matplotlib's settings while figures are drawn and saved."""


def box_plots(results: Results, preset: str) -> Figure:
    """Every metric before and after, one row of panels per test set (the paper's Figures 2 and 8)."""
    tests = list(results.config.tests)
    figure = Figure(figsize=(1.75 * len(METRICS), 2.7 * len(tests)), layout="constrained")
    axes = figure.subplots(len(tests), len(METRICS), squeeze=False)
    for row, test_set in enumerate(tests):
        patients = results.patients
        chosen = patients[
            (patients.preset == preset) & (patients.test_set == test_set) & patients.leads & (patients.region == ANY)
        ]
        for column, (name, metric) in enumerate(METRICS.items()):
            axis = axes[row, column]
            table = pairs(chosen, name)
            _boxes(axis, [table["before"].to_numpy(), table["after"].to_numpy()])
            axis.set_title(metric.heading)
            axis.set_ylim((-0.03, 1.03) if metric.higher_is_better else (0, None))
            if column == 0:
                axis.set_ylabel(f"{test_set}\n(n = {len(table)} patients)")
    figure.suptitle(f"Before and after the recursion, preset {preset}: {SHOWN_AS[results.lead(preset)]}", fontsize=11)
    return figure


def expansion(results: Results) -> Figure:
    """Training slices of each round by source, as means over seeds: how far the training set grew."""
    figure, axes = _panels(results.presets, "training slices")
    rounds = results.rounds
    sources = {name: shown for name, shown in SOURCES.items() if name in rounds}  # earlier versions knew fewer
    for axis, preset in zip(axes, results.presets, strict=True):
        means = rounds[rounds.preset == preset].groupby("round")[list(sources)].mean()
        seeds = rounds[rounds.preset == preset].groupby("round").seed.nunique()
        bottom = np.zeros(len(means))
        for source, (label, colour) in sources.items():
            axis.bar(means.index, means[source], bottom=bottom, color=colour, label=label, width=0.7)
            bottom += means[source].to_numpy()
        for index, top in zip(means.index, bottom, strict=True):
            fewer = f"\n{seeds[index]} of {seeds.max()} seeds" if seeds[index] < seeds.max() else ""
            axis.annotate(f"{top:.0f}{fewer}", (index, top), ha="center", va="bottom", fontsize=7)
        _rounds_axis(axis, preset)
        axis.margins(y=0.15)
    _legend_below(figure, axes[0], len(sources))
    return figure


def dice_per_round(results: Results) -> Figure:
    """Dice of every round's model on the validation cases and on the test sets; lines are means over seeds."""
    figure, axes = _panels(results.presets, "Dice, any bleed")
    for axis, preset in zip(axes, results.presets, strict=True):
        rounds = results.rounds[results.rounds.preset == preset]
        held_out = bool(rounds.validation_held_out.astype(bool).all())
        label = "validation share" if held_out else "pixel set itself (no validation share)"
        _curve(axis, rounds[["seed", "round", "validation_dice"]], "#5b6770", f"{label}, mean", dashed=True)
        patients = results.patients
        for test_set, colour in zip(results.config.tests, SERIES, strict=False):
            chosen = patients[
                (patients.preset == preset)
                & (patients.test_set == test_set)
                & patients.leads
                & (patients.region == ANY)
            ].drop_duplicates(["seed", "round", "patient"])
            by_round = chosen.groupby(["seed", "round"]).dice
            _curve(axis, by_round.mean().rename("dice").reset_index(), colour, f"{test_set}, mean")
            _curve(axis, by_round.median().rename("dice").reset_index(), colour, f"{test_set}, median", faint=True)
        _rounds_axis(axis, preset)
        axis.set_ylim(0, 1)
        axis.legend(fontsize=7, loc="lower right")
    return figure


def acceptance(results: Results) -> Figure:
    """Share of the reviewed slices that were accepted, by class, over all rounds and seeds."""
    regions, few = [*results.classes, "all"], len(results.presets) <= FEW_PRESETS
    figure = Figure(figsize=(8.5 if few else 15, 3.2 if few else 4.2), layout="constrained")
    axis = figure.subplots()
    colours = SERIES if few else matplotlib.color_sequences["tab20"]
    width = 0.8 / max(len(results.presets), 1)
    for number, preset in enumerate(results.presets):
        verdicts = _verdicts(results, preset)
        found = [verdicts if region == "all" else verdicts[verdicts.region == region] for region in regions]
        places = np.arange(len(regions)) + (number - (len(results.presets) - 1) / 2) * width
        shares = [float(one.accepted.mean()) if len(one) else 0.0 for one in found]
        axis.bar(places, shares, width * 0.92, color=colours[number % len(colours)], label=preset)
        if not few:  # there is no room for numbers; the table has them
            continue
        for at, share, one in zip(places, shares, found, strict=True):
            text = f"{share:.0%}\nof {len(one)}" if len(one) else "none"
            axis.annotate(text, (at, share), ha="center", va="bottom", fontsize=6)
    axis.set_xticks(range(len(regions)), regions)
    axis.set_ylim(0, 1.15)
    axis.set_yticks(np.linspace(0, 1, 6))
    axis.yaxis.set_major_formatter(PercentFormatter(1))
    axis.set_ylabel("accepted slices")
    if len(results.presets) > 1:
        _legend_below(figure, axis, min(len(results.presets), PANELS_IN_A_ROW))
    return figure


def calibration(results: Results) -> Figure:
    """Predicted against observed acceptance: are 80 % of the slices with a score of 0.8 accepted?"""
    figure, axes = _panels(results.presets, "share accepted", size=(3.2, 3.2))
    for axis, preset in zip(axes, results.presets, strict=True):
        verdicts = _verdicts(results, preset)
        axis.plot([0, 1], [0, 1], color="#999999", linewidth=0.8, linestyle=":")
        if len(verdicts):
            bins = calibration_bins(predicted_acceptance(verdicts), verdicts.accepted.to_numpy())
            error = calibration_error(bins)
            axis.plot(bins.score, bins.accepted, marker="o", markersize=4, color=SERIES[0])
            text = f"calibration error {error:.3f}\n{len(verdicts)} slices, {bins.n.mean():.0f} a bin"
            axis.text(0.03, 0.97, text, transform=axis.transAxes, fontsize=8, va="top")
        axis.set(xlim=(0, 1), ylim=(0, 1), xlabel="score (mean of the bin)", title=preset, aspect="equal")
    return figure


def risk_coverage(results: Results) -> Figure:
    """Share of rejected slices among those with the highest scores, by how many are taken."""
    figure, axes = _panels(results.presets, "risk: share rejected among them", size=(3.4, 3))
    for axis, preset in zip(axes, results.presets, strict=True):
        verdicts = _verdicts(results, preset)
        if len(verdicts):
            accepted = verdicts.accepted.to_numpy()
            by_score = risk_at_coverage(predicted_acceptance(verdicts), accepted)
            best = risk_at_coverage(accepted.astype(float), accepted)
            coverage = np.arange(1, len(accepted) + 1) / len(accepted)
            axis.plot(coverage, by_score, color=SERIES[0], label=f"by score, area {by_score.mean():.3f}")
            axis.axhline(by_score[-1], color="#999999", linestyle=":", label=f"any order, area {by_score[-1]:.3f}")
            axis.plot(coverage, best, color="#3a7d44", linestyle="--", label=f"best order, area {best.mean():.3f}")
            axis.legend(fontsize=7, loc="best")
        axis.set(xlim=(0, 1), ylim=(0, 1), xlabel="coverage: share of the reviewed slices", title=preset)
        axis.xaxis.set_major_formatter(PercentFormatter(1))
        axis.yaxis.set_major_formatter(PercentFormatter(1))
    return figure


def _boxes(axis: Axes, values: Sequence[np.ndarray]) -> None:
    """Boxes, with every value as a point."""
    drawn = axis.boxplot(
        values, positions=[0, 1], widths=0.55, patch_artist=True, showfliers=False, showmeans=True,
        meanprops={"marker": "D", "markersize": 4, "markerfacecolor": "white", "markeredgecolor": "black"},
        medianprops={"color": "black"},
    )  # fmt: skip
    for box, colour in zip(drawn["boxes"], (BEFORE, AFTER), strict=True):
        box.set(facecolor=colour, alpha=0.75)
    rng = np.random.default_rng(0)
    for place, (found, colour) in enumerate(zip(values, (BEFORE, AFTER), strict=True)):
        shifts = rng.uniform(-0.16, 0.16, len(found))
        axis.plot(place + shifts, found, ".", markersize=4, color=colour, markeredgecolor="black", markeredgewidth=0.2)
    axis.set_xticks([0, 1], ["before", "after"])


def _panels(
    presets: Sequence[str], label: str, size: tuple[float, float] = (3.6, 3.0)
) -> tuple[Figure, Sequence[Axes]]:
    """One panel per preset on a common scale, a few in a row; those at the left tell what the scale is."""
    columns = min(len(presets), PANELS_IN_A_ROW)
    rows = -(-len(presets) // columns)
    figure = Figure(figsize=(max(size[0] * columns, 4), size[1] * rows), layout="constrained")
    axes = list(figure.subplots(rows, columns, sharey=True, squeeze=False).flat)
    for axis in axes[len(presets) :]:
        axis.set_visible(False)
    for axis in axes[::columns]:
        axis.set_ylabel(label)
    return figure, axes[: len(presets)]


def _curve(
    axis: Axes, table: pd.DataFrame, colour: str, label: str, *, dashed: bool = False, faint: bool = False
) -> None:
    """A line of means over seeds, and a thin line for each of several seeds."""
    value = table.columns[-1]
    table = table.dropna()
    if not len(table):
        return
    style = "--" if dashed else ":" if faint else "-"
    if table.seed.nunique() > 1 and not faint:
        for _, one in table.groupby("seed"):
            axis.plot(one["round"], one[value], color=colour, linewidth=0.6, alpha=0.4, linestyle=style)
    means = table.groupby("round")[value].mean()
    axis.plot(means.index, means, color=colour, linestyle=style, marker="o", markersize=3, label=label)


def _rounds_axis(axis: Axes, title: str) -> None:
    axis.set(xlabel="round", title=title)
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))


def _legend_below(figure: Figure, axis: Axes, columns: int) -> None:
    figure.legend(*axis.get_legend_handles_labels(), loc="outside lower center", ncols=columns)


def _verdicts(results: Results, preset: str) -> pd.DataFrame:
    return results.verdicts[results.verdicts.preset == preset]
