"""The report: an experiment's tables and figures as files, and one HTML page with all of them."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import matplotlib
from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib.figure import Figure
from PIL import Image

from recursive_expand.archives.atomic import write_atomic
from recursive_expand.experiment.config import slug
from recursive_expand.experiment.figures import STYLE
from recursive_expand.experiment.results import Results, load_results
from recursive_expand.experiment.sections import NamedFigure, Section, report_sections

REPORT = "report.html"


def write_report(folder: Path) -> Path:
    """Write `report.html`, `figures/` (PNG, SVG) and `tables/` (CSV, LaTeX) of the runs that are done.

    Args:
        folder: the experiment's output folder.

    Returns:
        The page; it contains its figures and needs no network.

    Raises:
        InputError: the folder holds no experiment, or none of its runs is done.
    """
    results = load_results(folder)
    for name in ("tables", "figures"):
        (folder / name).mkdir(exist_ok=True)
    with matplotlib.rc_context(STYLE):
        sections = [_write_section(section, folder) for section in report_sections(results)]
    page = _template().render(title=results.config.title, lead=_lead(results), sections=sections)
    write_atomic(folder / REPORT, page.encode())
    return folder / REPORT


def _template() -> Any:
    environment = Environment(
        loader=PackageLoader("recursive_expand.experiment"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html.j2")


def _write_section(section: Section, folder: Path) -> dict[str, Any]:
    """Write a section's tables and figures as files; returns what the template shows of it."""
    for table in section.tables:
        write_atomic(folder / "tables" / f"{table.name}.csv", table.to_csv().encode())
        write_atomic(folder / "tables" / f"{table.name}.tex", table.to_latex().encode())
    return {
        "title": section.title,
        "anchor": slug(section.title),
        "text": section.text,
        "tables": section.tables,
        "figures": [_write_figure(figure, folder / "figures") for figure in section.figures],
    }


def _write_figure(drawn: NamedFigure, folder: Path) -> dict[str, str]:
    png = _with_palette(_rendered(drawn.figure, "png"))
    write_atomic(folder / f"{drawn.name}.png", png)
    write_atomic(folder / f"{drawn.name}.svg", _rendered(drawn.figure, "svg"))
    source = f"data:image/webp;base64,{base64.b64encode(_as_webp(png)).decode()}"
    return {"name": drawn.name, "caption": drawn.caption, "source": source}


def _lead(results: Results) -> str:
    """What was run, in two sentences."""
    config, expert = results.config, results.config.expert
    if config.studies.workspace is not None:
        rounds = len(results.runs[0]["rounds"])
        return (
            f"A study that people reviewed, begun under preset {results.presets[0]}: each of its {rounds} recorded "
            "models on the test sets, which it did not learn from. True masks of the reviewed scans are not known."
        )
    expected = len(config.presets) * len(config.seeds)
    limits = f"up to {config.max_rounds} recursions"
    limits += f" and {config.max_verdicts} verdicts" if config.max_verdicts else ""
    runs = (
        f"{len(results.runs)} of {expected} runs are done: presets {', '.join(results.presets)}, seeds "
        f"{', '.join(map(str, config.seeds))}, {limits}."
    )
    known = sorted({run["preset"] for run in results.runs if run.get("pretrain", "none") != "none"})
    if config.studies.phantom is not None and known:
        runs += (
            f" These scans and the heads that taught {', '.join(known)} before the first round come from one "
            "generator, which flatters: --conf pretrain none begins with fresh weights."
        )
    if config.reviewers == "people":
        return f"{runs} People reviewed, in the order of the queue."
    return (
        f"{runs} The simulated expert accepts a slice if at most "
        f"{expert.tau:.0%} of its marked voxels are wrong, errs on {expert.error_rate:.0%} of the slices and takes "
        f"{expert.seconds:g} s per verdict; it reviewed over HTTP, in the order of the queue."
    )


def _rendered(figure: Figure, kind: str) -> bytes:
    out = io.BytesIO()
    # Without a date, equal figures are equal files.
    figure.savefig(out, format=kind, metadata={"Date": None} if kind == "svg" else None)
    return out.getvalue()


def _as_webp(png: bytes) -> bytes:
    """The same pixels in half of the bytes: the page is one file, which people send to each other."""
    out = io.BytesIO()
    Image.open(io.BytesIO(png)).convert("RGB").save(out, "webp", lossless=True)
    return out.getvalue()


def _with_palette(png: bytes) -> bytes:
    """The picture in 256 colours: 2.5 times smaller, and no visible loss for charts and greyscale slices."""
    out = io.BytesIO()
    Image.open(io.BytesIO(png)).convert("RGB").quantize(256, dither=Image.Dither.NONE).save(out, "png", optimize=True)
    return out.getvalue()
