"""The experiment's tables: values as text, written as CSV and LaTeX."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from recursive_expand.experiment.distribution import BLEED, NO_BLEED, TOTAL, UNKNOWN
from recursive_expand.experiment.metrics import ANY, METRICS
from recursive_expand.experiment.results import Results
from recursive_expand.experiment.statistics import Comparison, Summary, compare, median_gains, pairs, summarise

_WHAT = {"f+g": "the network refined (f, then g)", "f": "the network alone (f)"}
_SUFFIX = {"f+g": "f-then-g", "f": "f"}
UP, DOWN, SAME, NONE = "▲", "▼", "–", "–"
_LATEX = {"▲": r"$\blacktriangle$", "▼": r"$\blacktriangledown$", "±": r"$\pm$", "–": "--", "→": r"$\to$"}
_LATEX |= {"_": r"\_", "%": r"\%", "&": r"\&", "#": r"\#", "<": "$<$", ">": "$>$"}


@dataclass(frozen=True)
class Table:
    """A table of text.

    Attributes:
        name: file name without extension, and LaTeX label.
        caption: what it shows.
        header: column headings.
        rows: cells; each row has as many as the header.
        rules: indices of the rows followed by a rule.
        note: how to read it.
    """

    name: str
    caption: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    rules: frozenset[int] = frozenset()
    note: str = ""

    def to_csv(self) -> str:
        """As CSV with a header."""
        out = io.StringIO()
        csv.writer(out, lineterminator="\n").writerows([self.header, *self.rows])
        return out.getvalue()

    def to_latex(self) -> str:
        """As a `table` environment with booktabs' rules."""
        lines = [r"\begin{table}", r"\centering", rf"\caption{{{_tex(self.caption)}}}", rf"\label{{tab:{self.name}}}"]
        lines += [rf"\begin{{tabular}}{{{'l' * len(self.header)}}}", r"\toprule"]
        lines += [" & ".join(map(_tex, self.header)) + r" \\", r"\midrule"]
        for number, row in enumerate(self.rows):
            lines.append(" & ".join(map(_tex, row)) + r" \\")
            if number in self.rules and number + 1 < len(self.rows):
                lines.append(r"\midrule")
        lines += [r"\bottomrule", r"\end{tabular}"]
        lines += [rf"\par\smallskip {_tex(self.note)}"] if self.note else []
        return "\n".join([*lines, r"\end{table}", ""])


def result_table(results: Results, preset: str, *, variant: str | None = None) -> Table:
    """Table 1: every metric of any bleed, for every test set, before and after the recursion, over patients.

    Args:
        results: the experiment's.
        preset: which.
        variant: one of `VARIANTS`; None: the one that leads.
    """
    leading = results.lead(preset)
    variant = variant or leading
    rows: list[tuple[str, ...]] = []
    rules = set()
    for test_set in results.config.tests:
        compared = {metric: _compared(results, preset, test_set, variant, ANY, metric) for metric in METRICS}
        n = compared["dice"].after.n
        stages = (("Before", "before"), ("After", "after"))
        for label, stage in stages:
            cells = (show(getattr(compared[name], stage), digits=m.digits) for name, m in METRICS.items())
            rows.append((f"{test_set} (n = {n})" if stage == "before" else "", label, *cells))
        changes = (_change(compared[name].median_change, metric.digits) for name, metric in METRICS.items())
        rows.append(("", "Median change", *changes))
        rows.append(("", "Wilcoxon p", *(_p(compared[metric].p) for metric in METRICS)))
        rules.add(len(rows) - 1)
    return Table(
        name=f"table1-{_file(preset)}" + ("" if variant == leading else f"-{_SUFFIX[variant]}"),
        caption=f"Table 1, preset {preset}: {_WHAT[variant]} before and after the recursion, any bleed, per patient",
        header=("Data set", "Recursion", *(metric.heading for metric in METRICS.values())),
        rows=tuple(rows),
        rules=frozenset(rules),
        note="Mean (median) ± half of the 95 % confidence interval of the mean, a t-interval over patients; a "
        "patient's value is the mean over seeds. ▲ and ▼ are the change of the median over patients. Lower is better "
        "for HD95 and volume error.",
    )


def class_table(results: Results, preset: str) -> Table:
    """Every class separately, over the patients whose reference holds it."""
    rows: list[tuple[str, ...]] = []
    rules = set()
    for test_set in results.config.tests:
        for region in (ANY, *results.classes):
            compared = {
                metric: _compared(results, preset, test_set, results.lead(preset), region, metric, holding=True)
                for metric in METRICS
            }
            n = compared["dice"].after.n
            cells = (_arrow(compared[name], metric.digits) for name, metric in METRICS.items())
            rows.append((test_set if region == ANY else "", region, str(n), *cells))
        rules.add(len(rows) - 1)
    return Table(
        name=f"classes-{_file(preset)}",
        caption=f"By class, preset {preset}, {_WHAT[results.lead(preset)]}: median before → after, over the patients "
        "whose reference holds the class",
        header=("Data set", "Class", "n", *(metric.heading for metric in METRICS.values())),
        rows=tuple(rows),
        rules=frozenset(rules),
    )


def seed_table(results: Results, *, metrics: Sequence[str] = ("dice", "iou", "precision", "recall")) -> Table:
    """How much the change of the median varies between seeds, and how many verdicts it took."""
    rows: list[tuple[str, ...]] = []
    for test_set in results.config.tests:
        for preset in results.presets:
            chosen = _select(results.patients, preset, test_set, results.lead(preset), ANY)
            gains = (_signed(summarise(median_gains(chosen, metric).to_numpy())) for metric in metrics)
            last = results.rounds[results.rounds.preset == preset].groupby("seed")["round"].max()
            verdicts = _used_verdicts(results, preset)
            cells = (str(len(last)), f"{last.mean():.1f}", show(verdicts, digits=0), *gains)
            rows.append((test_set if preset == results.presets[0] else "", preset, *cells))
    return Table(
        name="seeds",
        caption="Change of the median over patients, by seed",
        header=("Data set", "Preset", "Seeds", "Rounds", "Verdicts used", *(METRICS[m].name for m in metrics)),
        rows=tuple(rows),
        note="Mean (median) ± half of the 95 % t-interval, over seeds. Verdicts used: those that the last model could "
        "learn from.",
    )


def round_table(results: Results, preset: str, *, metrics: Sequence[str] = tuple(METRICS)) -> Table:
    """Every round's model on every test set, over patients: what each review taught."""
    rounds = results.rounds[results.rounds.preset == preset]
    rows: list[tuple[str, ...]] = []
    rules = set()
    for test_set in results.config.tests:
        chosen = _select(results.patients, preset, test_set, results.lead(preset), ANY)
        # Of a recursion that ended in round 0 the same rows are before and after.
        by_round = chosen.drop_duplicates(["seed", "round", "patient_sha256"])
        for index in sorted(rounds["round"].unique()):
            means = by_round[by_round["round"] == index].groupby("patient_sha256")[list(metrics)].mean()
            of_round = rounds[rounds["round"] == index]
            learned = summarise(of_round["verdicts_before"].to_numpy())
            cells = (show(summarise(means[name].to_numpy()), digits=METRICS[name].digits) for name in metrics)
            first = index == rounds["round"].min()
            rows.append((test_set if first else "", str(index), str(learned.n), f"{learned.mean:.0f}", *cells))
        rules.add(len(rows) - 1)
    return Table(
        name=f"rounds-{_file(preset)}",
        caption=f"Round by round, preset {preset}: {_WHAT[results.lead(preset)]}, any bleed, per patient",
        header=("Data set", "Round", "Seeds", "Verdicts learned from", *(METRICS[name].heading for name in metrics)),
        rows=tuple(rows),
        rules=frozenset(rules),
        note="Mean (median) ± half of the 95 % confidence interval of the mean, a t-interval over patients; a "
        "patient's value is the mean over the seeds that reached the round.",
    )


def distribution_table(results: Results) -> Table:
    """Table 2: slices by class and data set; of the first seed's data, if seeds have their own."""
    first = results.data[results.data.data_sha256 == results.data.data_sha256.iloc[0]]
    counts = first.pivot(index="kind", columns="data_set", values="slices")
    sets = list(dict.fromkeys(first.data_set))
    kinds = [*results.classes, BLEED, NO_BLEED, *([UNKNOWN] if counts.loc[UNKNOWN].any() else []), TOTAL]
    cases = first.drop_duplicates("data_set").set_index("data_set")["cases"]
    rows = [(kind, *(f"{counts.at[kind, name]:,}" for name in sets)) for kind in kinds]
    rows.append(("Cases", *(f"{cases[name]:,}" for name in sets)))
    return Table(
        name="table2",
        caption="Table 2: number of slices by class and data set",
        header=("Type of bleed", *sets),
        rows=tuple(rows),
        rules=frozenset({len(results.classes) - 1}),
        note="A slice with several types counts for each of them. Counted from masks in the pixel set and the test "
        "sets, from image-level labels in the image set.",
    )


def trace_table(results: Results) -> Table:
    """What every number was computed from: one row per run and round."""
    rows = [
        (
            f"{run['preset']}, seed {run['seed']}",
            str(round_["round"]),
            round_["model_sha256"][:16],
            round_["training_set_sha256"][:16],
            round_["config_sha256"][:16],
            run["data_sha256"][:16],
            run["experiment_sha256"][:16],
            _commit(run["code"]),
            run["finished"],
        )
        for run in results.runs
        for round_ in run["rounds"]
    ]
    return Table(
        name="trace",
        caption="Where the numbers come from: SHA-256 (first 16 digits) by run and round",
        header=("Run", "Round", "Model", "Training set", "Settings", "Data", "Experiment", "Code", "Finished"),
        rows=tuple(rows),
        note="Model: the weights' file in the run's workspace. Training set and settings: as recorded in the run's "
        "ledger, whose hash chain was checked before anything was measured. Data: names and sizes of all images, "
        "voxels of all masks. result.json of each run has the full digests, and those of its tables.",
    )


def file_table(results: Results) -> Table:
    """The files from which all tables and figures are computed, with their hashes."""
    rows = [
        (f"{run['preset']}, seed {run['seed']}", f"{_relative(results, run)}/{name}", digest)
        for run in results.runs
        for name, digest in run["files"].items()
    ]
    return Table(
        name="files",
        caption="The rows behind every table and figure",
        header=("Run", "File", "SHA-256"),
        rows=tuple(rows),
    )


def what_leads(results: Results) -> str:
    """What a table of several presets shows, where they may lead with different variants."""
    by_lead: dict[str, list[str]] = {}
    for preset in results.presets:
        by_lead.setdefault(results.lead(preset), []).append(preset)
    if len(by_lead) == 1:
        return _WHAT[next(iter(by_lead))]
    return "; ".join(f"{', '.join(presets)}: {_WHAT[variant]}" for variant, presets in by_lead.items())


def show(summary: Summary, *, digits: int = 3) -> str:
    """Mean (median) ± half-width, as the paper writes it."""
    if summary.n == 0:
        return NONE
    text = f"{summary.mean:.{digits}f} ({summary.median:.{digits}f})"
    return text if np.isnan(summary.half_width) else f"{text} ± {summary.half_width:.{digits}f}"


def _compared(
    results: Results, preset: str, test_set: str, variant: str, region: str, metric: str, *, holding: bool = False
) -> Comparison:
    rows = _select(results.patients, preset, test_set, variant, region)
    if holding:
        rows = rows[rows.reference_ml > 0]
    table = pairs(rows, metric)
    return compare(table["before"].to_numpy(), table["after"].to_numpy())


def _select(frame: pd.DataFrame, preset: str, test_set: str, variant: str, region: str) -> pd.DataFrame:
    return frame[
        (frame.preset == preset) & (frame.test_set == test_set) & (frame.variant == variant) & (frame.region == region)
    ]


def _used_verdicts(results: Results, preset: str) -> Summary:
    rounds = results.rounds[results.rounds.preset == preset]
    return summarise(rounds.loc[rounds.groupby("seed")["round"].idxmax(), "verdicts_before"].to_numpy())


def _change(value: float, digits: int) -> str:
    if np.isnan(value):
        return NONE
    if round(abs(value), digits) == 0:
        return f"{SAME} {0:.{digits}f}"
    return f"{UP if value > 0 else DOWN} {abs(value):.{digits}f}"


def _signed(summary: Summary) -> str:
    if summary.n == 0:
        return NONE
    text = f"{summary.mean:+.3f} ({summary.median:+.3f})"
    return text if np.isnan(summary.half_width) else f"{text} ± {summary.half_width:.3f}"


def _arrow(compared: Comparison, digits: int) -> str:
    if compared.after.n == 0:
        return NONE
    return f"{compared.before.median:.{digits}f} → {compared.after.median:.{digits}f}"


def _p(value: float) -> str:
    if np.isnan(value):
        return NONE
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _commit(code: dict[str, object]) -> str:
    commit = str(code["commit"])[:10] if code["commit"] else "no commit"
    changed = " + changes" if code["changed_since_commit"] else ""
    return f"{code['recursive_expand']} ({commit}{changed})"


def _relative(results: Results, run: dict) -> str:
    return run["folder"].relative_to(results.folder).as_posix()


def _file(preset: str) -> str:
    return preset.lower().replace(" ", "-")


def _tex(text: str) -> str:
    return "".join(_LATEX.get(character, character) for character in text)
