"""The sections of the report: what each says and which tables and figures it shows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from matplotlib.figure import Figure

from recursive_expand.errors import RecursiveExpandError
from recursive_expand.experiment.compare import comparison_tables
from recursive_expand.experiment.config import slug
from recursive_expand.experiment.data import ExperimentData, prepare_data
from recursive_expand.experiment.evaluation import VARIANTS
from recursive_expand.experiment.figures import (
    acceptance,
    box_plots,
    calibration,
    dice_per_round,
    expansion,
    risk_coverage,
)
from recursive_expand.experiment.foretold import foretold_table
from recursive_expand.experiment.overlays import KINDS, overlay_figures
from recursive_expand.experiment.results import Results
from recursive_expand.experiment.tables import (
    Table,
    class_table,
    distribution_table,
    file_table,
    result_table,
    round_table,
    seed_table,
    trace_table,
)

DEFINITIONS = (
    "A patient's masks are compared voxel by voxel, for any bleed (all foreground, whatever its class) and for each "
    "class. Dice, IoU, precision and recall: 1 if reference and prediction are both empty, 0 if one of them is. HD95 "
    "is the larger of the two directions' 95th percentiles of the surface distance (MONAI), NSD the share of both "
    "surfaces that lies within {tolerance:g} mm of the other (MONAI); both empty: 0 mm and 1; one of them empty: the "
    "scan's diagonal and 0. Volume error is the absolute difference in mL; a voxel's volume is the determinant of its "
    "affine, which is correct for a tilted gantry too. So every patient has a value for every metric, and no mean "
    "leaves one out."
)


@dataclass(frozen=True)
class NamedFigure:
    """A figure of the report.

    Attributes:
        name: file name without extension.
        caption: what it shows.
        figure: the drawing.
    """

    name: str
    caption: str
    figure: Figure


@dataclass(frozen=True)
class Section:
    """A section of the report.

    Attributes:
        title: its heading.
        text: its introduction.
        tables, figures: in order; tables come first.
    """

    title: str
    text: str = ""
    tables: tuple[Table, ...] = ()
    figures: tuple[NamedFigure, ...] = ()


def report_sections(results: Results) -> Iterator[Section]:
    """The report's sections, in order; figures are drawn as their section is reached."""
    presets = results.presets
    yield Section(
        "Before and after the recursion",
        "Round 0's model (before) and the last round's (after), on cases that neither of them learned from unless the "
        "test set's name says so.",
        tables=(*(result_table(results, preset) for preset in presets), seed_table(results)),
        figures=tuple(
            NamedFigure(
                f"boxplots-{slug(preset)}",
                "Boxes: quartiles, line: median, diamond: mean, whiskers: 1.5 times the box, points: patients.",
                box_plots(results, preset),
            )
            for preset in presets
        ),
    )
    if len(presets) > 1 or len(results.peers):
        yield Section(
            "Side by side",
            "What each preset gained over its own round 0: with no more verdicts than the others, and at its own end.",
            tables=comparison_tables(results),
        )
    figures, missing = _overlays(results)
    yield Section(
        "What changed",
        f"Slices of the first seed, by the rules below them: ground truth green, before orange, after red. {missing}",
        figures=figures,
    )
    yield Section(
        "The recursion",
        "How far the training set grew, how the models improved, and what the experts accepted.",
        tables=tuple(round_table(results, preset) for preset in presets),
        figures=(
            NamedFigure("expansion", "Training slices of each round by source; means over seeds.", expansion(results)),
            NamedFigure("dice", "Dice of every round's model; thin lines are single seeds.", dice_per_round(results)),
            NamedFigure(
                "acceptance",
                "Share of the reviewed slices that the expert accepted, by the class of most of the slice's marked "
                "voxels in the proposal.",
                acceptance(results),
            ),
        ),
    )
    yield Section(
        "Does the model know when it is right?",
        "The score shown with a proposal, compared with the verdict: the probability of acceptance that triage "
        "predicted, or the confidence without triage.",
        tables=tuple(foretold_table(results, preset) for preset in presets),
        figures=(
            NamedFigure(
                "calibration",
                "Bins of equally many reviewed slices; on the dotted line, the score equals the share accepted. The "
                "error is the mean distance to that line.",
                calibration(results),
            ),
            NamedFigure(
                "risk-coverage",
                "Share rejected among the slices with the highest scores. The lower the area under the curve, the "
                "better the score puts acceptable masks first.",
                risk_coverage(results),
            ),
        ),
    )
    yield Section("Data", tables=(distribution_table(results),))
    yield Section(
        "By class, and with or without g",
        "What leads by class; and the other of the two: f alone, or with g.",
        tables=(
            *(class_table(results, preset) for preset in presets),
            *(result_table(results, preset, variant=other) for preset in presets for other in _others(results, preset)),
        ),
    )
    yield Section("Definitions", DEFINITIONS.format(tolerance=results.config.surface_tolerance))
    yield Section("Where every number comes from", tables=(trace_table(results), file_table(results)))


def _others(results: Results, preset: str) -> list[str]:
    return [variant for variant in VARIANTS if variant != results.lead(preset)]


def _overlays(results: Results) -> tuple[tuple[NamedFigure, ...], str]:
    """Overlays of each preset's first seed, and sentences about those that are missing."""
    figures: list[NamedFigure] = []
    notes: list[str] = []
    by_seed: dict[int, ExperimentData] = {}
    for preset in results.presets:
        run = next(run for run in results.runs if run["preset"] == preset)
        seed = run["seed"]
        try:
            if seed not in by_seed:
                by_seed[seed] = prepare_data(results.config, results.classes, seed)
            for test_set in results.config.tests:
                drawn = overlay_figures(results, run, by_seed[seed], test_set)
                for kind, figure in drawn.items():
                    name = f"overlay-{slug(preset)}-{slug(test_set)}-{kind}"
                    about = KINDS[kind]
                    caption = f"The paper's {about.figure}: slices {about.rule}; one of a case."
                    figures.append(NamedFigure(name, caption, figure))
                lacking = [KINDS[kind].figure for kind in KINDS if kind not in drawn]
                if lacking:
                    notes.append(f"No slice of {test_set} under {preset} is one for {', '.join(lacking)}.")
        except RecursiveExpandError as error:
            notes.append(f"Some are missing: {error}.")
            break
    return tuple(figures), " ".join(notes)
