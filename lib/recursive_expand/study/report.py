"""The report: tables and figures of a study as files, and one HTML page that holds them all."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from PIL import Image

from recursive_expand.archives.atomic import write_atomic
from recursive_expand.errors import RecursiveExpandError
from recursive_expand.study.compare import comparison_tables
from recursive_expand.study.config import slug
from recursive_expand.study.data import StudyData, prepare_data
from recursive_expand.study.evaluation import VARIANTS
from recursive_expand.study.figures import (
    STYLE,
    acceptance,
    box_plots,
    calibration,
    dice_per_round,
    expansion,
    risk_coverage,
)
from recursive_expand.study.overlays import overlay_figures
from recursive_expand.study.results import Results, load_results
from recursive_expand.study.tables import (
    Table,
    class_table,
    distribution_table,
    file_table,
    result_table,
    seed_table,
    trace_table,
)

REPORT = "report.html"

DEFINITIONS = (
    "A patient's masks are compared voxel by voxel, for any bleed (foreground of whatever class) and for each class. "
    "Dice, IoU, precision and recall: where reference and prediction are both empty 1, where one of them is empty 0. "
    "HD95 is the larger of the two directions' 95th percentiles of the surface distance (MONAI), NSD the share of both "
    "surfaces that lies within {tolerance:g} mm of the other (MONAI); both empty: 0 mm and 1; one of them empty: the "
    "scan's diagonal and 0. Volume error is the absolute difference in mL; a voxel's volume is the determinant of its "
    "affine, which is right for a tilted gantry too. So every patient has a value for every metric, and no mean leaves "
    "one out."
)
_CSS = """
body{font:15px/1.5 system-ui,sans-serif;color:#1d2429;max-width:1300px;margin:0 auto;padding:1.5rem}
h1{font-size:1.7rem;margin-bottom:.2rem} h2{margin-top:2.4rem;border-bottom:2px solid #b3242b;padding-bottom:.2rem}
nav a{margin-right:1rem;color:#1f5f99} .lead{color:#4a555c;max-width:75ch}
figure{margin:1.2rem 0;text-align:center} figure img{max-width:100%;height:auto}
figcaption{color:#4a555c;font-size:.9rem;max-width:80ch;margin:.3rem auto}
.scroll{overflow-x:auto}
table{border-collapse:collapse;font-size:.78rem;margin:1rem 0;font-variant-numeric:tabular-nums}
caption{text-align:left;font-weight:600;padding-bottom:.4rem} th,td{text-align:left;padding:.28rem .5rem .28rem 0}
th{border-bottom:1.5px solid #1d2429;border-top:1.5px solid #1d2429} td{white-space:nowrap}
tr.rule td{border-bottom:1px solid #aab3b8} tbody tr:last-child td{border-bottom:1.5px solid #1d2429}
.note{color:#4a555c;font-size:.83rem;max-width:95ch;margin-top:-.5rem}
"""


@dataclass(frozen=True)
class _Section:
    """A part of the page.

    Attributes:
        title: its heading.
        text: what it shows.
        tables: in order.
        figures: file name without extension, caption, figure.
    """

    title: str
    text: str
    tables: tuple[Table, ...] = ()
    figures: tuple[tuple[str, str, Figure], ...] = ()

    @property
    def anchor(self) -> str:
        return slug(self.title)


def write_report(folder: Path) -> Path:
    """Write `report.html`, `figures/` (PNG, SVG) and `tables/` (CSV, LaTeX) of the runs that are done.

    Args:
        folder: the study's output folder.

    Returns:
        The page; it holds its pictures and needs no network.

    Raises:
        InputError: the folder holds no study, or none of its runs is done.
    """
    results = load_results(folder)
    matplotlib.use("Agg")  # no screen is needed
    parts: list[str] = []
    sections: list[_Section] = []
    with plt.rc_context(STYLE):
        for section in _sections(results):
            sections.append(section)
            parts.append(_section_html(section, folder))
    page = _page(results, sections, parts)
    write_atomic(folder / REPORT, page.encode())
    return folder / REPORT


def _sections(results: Results) -> Iterator[_Section]:
    presets = results.presets
    yield _Section(
        "Before and after the recursion",
        "Round 0's model (before) against the last round's (after) on cases that neither of them learned from.",
        tables=(*(result_table(results, preset) for preset in presets), seed_table(results)),
        figures=tuple(
            (
                f"boxplots-{slug(preset)}",
                "Boxes: quartiles, line: median, diamond: mean, whiskers: 1.5 times the box, points: patients.",
                box_plots(results, preset),
            )
            for preset in presets
        ),
    )
    if len(presets) > 1:
        yield _Section(
            "Presets side by side",
            "What each preset gained over its own round 0: with no more verdicts than the others, and at its own end.",
            tables=comparison_tables(results),
        )
    figures, missing = _overlays(results)
    yield _Section(
        "What changed",
        "Slices with the largest changes, first seed: ground truth green, before orange, after red. " + missing,
        figures=figures,
    )
    yield _Section(
        "The recursion",
        "How far the training set grew, how the models got on, and what the expert said.",
        figures=(
            ("expansion", "Slices that each round trained on, by source; the mean over seeds.", expansion(results)),
            ("dice", "Dice of every round's model; thin lines are single seeds.", dice_per_round(results)),
            (
                "acceptance",
                "Share of the reviewed slices that the expert accepted, by the class that the proposal gives most of "
                "the slice's marked voxels.",
                acceptance(results),
            ),
        ),
    )
    yield _Section(
        "Does the model know when it is right?",
        "The score that is shown with a proposal, held against the verdict: the probability of acceptance that triage "
        "foretold, or the confidence without it.",
        figures=(
            (
                "calibration",
                "Bins with as many reviewed slices each; on the dotted line, a score is the probability of being "
                "accepted. The error is the mean distance to that line.",
                calibration(results),
            ),
            (
                "risk-coverage",
                "Share rejected among the slices with the highest scores. The lower the area under the curve, the "
                "better the score puts acceptable masks first.",
                risk_coverage(results),
            ),
        ),
    )
    yield _Section("Data", "", tables=(distribution_table(results),))
    yield _Section(
        "By class, and without g",
        "Proposals by class; and the network without the refinement g.",
        tables=(
            *(class_table(results, preset) for preset in presets),
            *(result_table(results, preset, variant=VARIANTS[1]) for preset in presets),
        ),
    )
    yield _Section("Definitions", DEFINITIONS.format(tolerance=results.config.surface_tolerance))
    yield _Section("Where every number comes from", "", tables=(trace_table(results), file_table(results)))


def _overlays(results: Results) -> tuple[tuple[tuple[str, str, Figure], ...], str]:
    """Overlays of each preset's first seed, and a sentence where data is no longer there."""
    figures: list[tuple[str, str, Figure]] = []
    by_seed: dict[int, StudyData] = {}
    for preset in results.presets:
        run = next(run for run in results.runs if run["preset"] == preset)
        try:
            if run["seed"] not in by_seed:
                by_seed[run["seed"]] = prepare_data(results.config, results.classes, run["seed"])
            for test_set in results.config.tests:
                drawn = overlay_figures(results, run, by_seed[run["seed"]], test_set)
                figures += [
                    (f"overlay-{slug(preset)}-{slug(test_set)}-{kind}", "", figure) for kind, figure in drawn.items()
                ]
        except RecursiveExpandError as error:
            return tuple(figures), f"Some are missing: {error}."
    return tuple(figures), ""


def _section_html(section: _Section, folder: Path) -> str:
    parts = [f'<section id="{section.anchor}"><h2>{html.escape(section.title)}</h2>']
    if section.text:
        parts.append(f'<p class="lead">{html.escape(section.text.strip())}</p>')
    for table in section.tables:
        write_atomic(_in(folder, "tables", f"{table.name}.csv"), table.to_csv().encode())
        write_atomic(_in(folder, "tables", f"{table.name}.tex"), table.to_latex().encode())
        parts.append(f'<div class="scroll">{table.to_html()}</div>')
    for name, caption, figure in section.figures:
        png = _rendered(figure, "png")
        write_atomic(_in(folder, "figures", f"{name}.png"), png)
        write_atomic(_in(folder, "figures", f"{name}.svg"), _rendered(figure, "svg"))
        plt.close(figure)
        source = f"data:image/png;base64,{base64.b64encode(png).decode()}"
        text = f"<figcaption>{html.escape(caption)}</figcaption>" if caption else ""
        parts.append(f'<figure><img src="{source}" alt="{html.escape(name)}">{text}</figure>')
    return "\n".join([*parts, "</section>"])


def _page(results: Results, sections: list[_Section], parts: list[str]) -> str:
    config = results.config
    expected = len(config.presets) * len(config.seeds)
    limits = f"up to {config.max_rounds} recursions"
    limits += f" and {config.max_verdicts} verdicts" if config.max_verdicts else ""
    expert = config.expert
    lead = (
        f"{len(results.runs)} of {expected} runs are done: presets {', '.join(results.presets)}, seeds "
        f"{', '.join(map(str, config.seeds))}, {limits}. The simulated expert accepts a slice where at most "
        f"{expert.tau:.0%} of its marked voxels are wrong, errs on {expert.error_rate:.0%} of the slices and takes "
        f"{expert.seconds:g} s a verdict; it reviewed over HTTP, in the order of the queue."
    )
    links = "".join(f'<a href="#{section.anchor}">{html.escape(section.title)}</a>' for section in sections)
    title = html.escape(config.title)
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width,initial-scale=1"><style>{_CSS}</style></head>\n'
        f'<body><h1>{title}</h1><p class="lead">{html.escape(lead)}</p><nav>{links}</nav>\n'
        + "\n".join(parts)
        + "\n</body></html>\n"
    )


def _rendered(figure: Figure, kind: str) -> bytes:
    out = io.BytesIO()
    metadata = {"Date": None} if kind == "svg" else None  # equal figures are equal files
    figure.savefig(out, format=kind, metadata=metadata)
    return _with_palette(out.getvalue()) if kind == "png" else out.getvalue()


def _with_palette(png: bytes) -> bytes:
    """The picture in 256 colours, which charts and greyscale slices do not exceed to the eye: 2.5 times smaller."""
    out = io.BytesIO()
    Image.open(io.BytesIO(png)).convert("RGB").quantize(256, dither=Image.Dither.NONE).save(out, "png", optimize=True)
    return out.getvalue()


def _in(folder: Path, *names: str) -> Path:
    path = folder.joinpath(*names)
    path.parent.mkdir(parents=True, exist_ok=True)
    return path
