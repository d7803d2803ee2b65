"""Tables, figures and the page of an experiment."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Self

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import yaml

from recursive_expand.errors import InputError
from recursive_expand.experiment.compare import comparison_tables
from recursive_expand.experiment.config import ExperimentConfig
from recursive_expand.experiment.evaluation import VARIANTS
from recursive_expand.experiment.figures import (
    acceptance,
    box_plots,
    calibration,
    dice_per_round,
    expansion,
    risk_coverage,
)
from recursive_expand.experiment.layout import CONFIG, RESULT, write_csv
from recursive_expand.experiment.metrics import ANY
from recursive_expand.experiment.overlays import Shown, choose, choose_found, newly_found
from recursive_expand.experiment.report import write_report
from recursive_expand.experiment.results import load_results
from recursive_expand.experiment.sections import report_sections
from recursive_expand.experiment.statistics import compare, pairs
from recursive_expand.experiment.tables import (
    Table,
    class_table,
    distribution_table,
    result_table,
    seed_table,
    trace_table,
)
from recursive_expand.experiment.verdicts import COLUMNS


class _Page(HTMLParser):
    """The parts of a report's page."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str | None] = []
        self.anchors: list[str | None] = []
        self.images: list[str | None] = []
        self.rules = 0
        self._texts: list[tuple[str, str]] = []
        self._tag = ""

    @classmethod
    def of(cls, page: str) -> Self:
        parsed = cls()
        parsed.feed(page)
        return parsed

    def texts(self, tag: str) -> list[str]:
        """Text of every element of a kind."""
        return [text for name, text in self._texts if name == tag]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._tag = tag
        self._texts.append((tag, ""))
        found = dict(attrs)
        if tag == "a":
            self.links.append(found["href"])
        if tag == "section":
            self.anchors.append(found["id"])
        if tag == "img":
            self.images.append(found["alt"])
        self.rules += found.get("class") == "rule"

    def handle_endtag(self, tag: str) -> None:
        self._tag = ""

    def handle_data(self, data: str) -> None:
        if self._tag:
            name, text = self._texts[-1]
            self._texts[-1] = (name, text + data)


def test_table_1_is_the_statistics_of_the_rows(made_up: ExperimentConfig) -> None:
    results = load_results(made_up.output)
    patients = results.patients
    rows = patients[(patients.preset == "paper") & (patients.variant == "f+g") & (patients.region == "any bleed")]
    table = pairs(rows, "dice")
    compared = compare(table.before.to_numpy(), table.after.to_numpy())
    shown = result_table(results, "paper")
    dice = shown.header.index("Dice")
    before, after, change, p = (row[dice] for row in shown.rows)
    assert before.startswith(f"{compared.before.mean:.3f} ({compared.before.median:.3f}) ± ")
    assert after.startswith(f"{compared.after.mean:.3f} ({compared.after.median:.3f}) ± ")
    assert change == f"▲ {compared.median_change:.3f}"
    assert p == f"{compared.p:.3f}"
    assert shown.rows[0][0] == "held out (n = 4)"


def test_f_alone_leads_where_the_paper_measures_f(made_up: ExperimentConfig) -> None:
    results = load_results(made_up.output)
    assert [results.lead(preset) for preset in results.presets] == ["f", "f+g"]
    results.patients.loc[results.patients.variant == "f", "dice"] = 0.25
    first, other = result_table(results, "paper"), result_table(results, "paper", variant="f+g")
    dice = first.header.index("Dice")
    assert [row[dice].startswith("0.250 (0.250)") for row in (first.rows[0], other.rows[0])] == [True, False]
    assert (first.name, other.name) == ("table1-paper", "table1-paper-f-then-g")
    assert "the network alone (f)" in first.caption and "f, then g" in other.caption
    refined, alone = result_table(results, "no g"), result_table(results, "no g", variant="f")
    assert [row[dice].startswith("0.250 (0.250)") for row in (refined.rows[0], alone.rows[0])] == [False, True]
    by_class = next(row for row in class_table(results, "paper").rows if row[1] == "any bleed")
    assert by_class[3] == "0.250 → 0.250"
    compared = comparison_tables(results)[1]
    assert compared.rows[0][3].startswith("0.250") and not compared.rows[1][3].startswith("0.250")
    assert "paper: the network alone (f); no g: the network refined (f, then g)" in compared.caption
    figure = box_plots(results, "paper")
    assert figure.get_suptitle().endswith("f alone")


def test_only_patients_with_a_class_count_for_it(made_up: ExperimentConfig) -> None:
    results = load_results(made_up.output)
    patients = results.patients
    table = class_table(results, "no g")
    for row in table.rows:
        region = row[1]
        holding = patients[(patients.region == region) & (patients.reference_ml > 0)].patient.nunique()
        assert int(row[2]) == holding
        assert ("→" in row[3]) == (holding > 0)


def test_seeds_are_compared_by_what_they_cost(made_up: ExperimentConfig) -> None:
    rows = seed_table(load_results(made_up.output)).rows
    assert [row[1:5] for row in rows] == [
        ("paper", "2", "1.0", "30 (30) ± 0"),
        ("no g", "2", "1.0", "30 (30) ± 0"),
    ]


def test_table_2_adds_up(made_up: ExperimentConfig) -> None:
    table = distribution_table(load_results(made_up.output))
    assert table.header == ("Type of bleed", "pixel", "image", "held out")
    numbers = {row[0]: [int(cell) for cell in row[1:]] for row in table.rows}
    assert numbers["Total slices"] == numbers["Cases"] == [2, 3, 4]
    assert [a + b for a, b in zip(numbers["Bleed slices"], numbers["No bleed slices"], strict=True)] == [2, 3, 4]


def test_every_round_is_traced(made_up: ExperimentConfig) -> None:
    assert len(trace_table(load_results(made_up.output)).rows) == 2 * 2 * 2


def test_tables_are_written_for_latex_and_csv() -> None:
    table = Table("t", "50 % & more_", ("A", "p"), (("▲ 0.1 ± 0.2", "< 0.001"), ("–", "a, b")), rules=frozenset({0}))
    latex = table.to_latex()
    assert r"\caption{50 \% \& more\_}" in latex
    assert r"$\blacktriangle$ 0.1 $\pm$ 0.2 & $<$ 0.001 \\" + "\n" + r"\midrule" in latex
    assert table.to_csv() == 'A,p\n▲ 0.1 ± 0.2,< 0.001\n–,"a, b"\n'


def test_overlays_show_the_largest_changes_and_one_slice_a_case(made_up: ExperimentConfig) -> None:
    slices = load_results(made_up.output).slices
    one = slices[(slices.preset == "paper") & (slices.seed == 0)]
    chosen = choose(one)
    gains = chosen["improved"].dice_after - chosen["improved"].dice_before
    assert len(gains) and (gains > 0).all() and gains.is_monotonic_decreasing
    assert not len(chosen["worsened"])
    swapped = one.assign(stage=one.stage.map({"before": "after", "after": "before"}))
    assert len(choose(swapped)["worsened"])


def test_a_region_is_newly_found_where_nothing_of_it_was_marked() -> None:
    truth = np.zeros((20, 20), bool)
    truth[2:6, 2:6] = truth[10:15, 10:15] = True
    truth[6, 6] = True  # touches the first region by its corner
    nothing, first = np.zeros_like(truth), np.zeros_like(truth)
    first[2, 2] = True
    assert newly_found(truth, nothing, nothing) == 0
    assert newly_found(truth, nothing, first) == 17
    assert newly_found(truth, first, truth) == 25  # the first was seen before
    assert newly_found(truth, first, first) == 0
    assert newly_found(truth, ~truth, truth) == 42  # marks beside a region do not find it


def test_newly_found_regions_are_shown_the_largest_first_and_one_slice_a_case(made_up: ExperimentConfig) -> None:
    """Also on slices of which another region was found before."""
    rows = [
        {"variant": variant, "leads": variant == "f", "region": ANY, "stage": stage, "case_id": case, "slice": number,
         "dice": 0.5, "true_positive": 5 + 20 * (stage == "after"), "false_negative": 40}
        for variant in VARIANTS for stage in ("before", "after") for case, number in (("a", 0), ("a", 1), ("b", 0))
    ]  # fmt: skip
    sizes = {("a", 0): 4, ("a", 1): 6, ("b", 0): 5}

    def read(case: str, number: int) -> Shown:
        truth = np.zeros((20, 20), bool)
        truth[: sizes[case, number], : sizes[case, number]] = truth[15:, 15:] = True
        seen = np.zeros_like(truth)
        seen[15:, 15:] = True
        return Shown(f"{case}{number}", np.zeros((20, 20), np.int16), truth, seen, truth, (0.5, 0.5))

    assert [one.title for one in choose_found(pd.DataFrame(rows), read)] == ["a1", "b0"]


def test_the_page_holds_everything_and_links_to_nothing(made_up: ExperimentConfig, tmp_path: Path) -> None:
    shutil.copytree(made_up.output, tmp_path / "out")
    page = write_report(tmp_path / "out").read_text()
    sources = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert sources and all(source.startswith(("data:image/webp;base64,", "#")) for source in sources)
    assert "http" not in re.sub(r'src="[^"]*"', "", page)
    figures = {path.stem for path in (tmp_path / "out" / "figures").glob("*.png")}
    assert {
        "boxplots-paper",
        "boxplots-no-g",
        "expansion",
        "dice",
        "acceptance",
        "calibration",
        "risk-coverage",
    } < figures
    assert "overlay-paper-held-out-improved" in figures
    assert figures == {path.stem for path in (tmp_path / "out" / "figures").glob("*.svg")}
    assert page.count("data:image/webp") == len(figures)
    assert (tmp_path / "out" / "tables" / "table1-paper.tex").is_file()


def test_the_page_is_the_template_filled_with_the_tables(made_up: ExperimentConfig, tmp_path: Path) -> None:
    shutil.copytree(made_up.output, tmp_path / "out")
    page = _Page.of(write_report(tmp_path / "out").read_text())
    results = load_results(tmp_path / "out")
    sections = list(report_sections(results))
    assert page.texts("h2") == [section.title for section in sections]
    assert page.links == [f"#{anchor}" for anchor in page.anchors]
    tables = [table for section in sections for table in section.tables]
    assert page.texts("caption") == [table.caption for table in tables]
    assert page.texts("th") == [cell for table in tables for cell in table.header]
    assert page.texts("td") == [cell for table in tables for row in table.rows for cell in row]
    assert page.rules == sum(len(table.rules) for table in tables)
    assert page.images == [figure.name for section in sections for figure in section.figures]
    assert plt.get_fignums() == []  # pyplot, which would keep every figure, knows none


def test_many_presets_are_drawn_in_rows_and_told_apart(made_up: ExperimentConfig) -> None:
    results = load_results(made_up.output)
    many = [f"without ingredient {n}" for n in range(9)]
    tables = {
        name: pd.concat([getattr(results, name).query("preset == 'paper'").assign(preset=preset) for preset in many])
        for name in ("rounds", "verdicts", "patients")
    }
    [paper] = [preset for preset in results.config.presets if preset.name == "paper"]
    presets = [paper.model_copy(update={"name": name}) for name in many]
    runs = [{**results.runs[0], "preset": name} for name in many]
    crowd = replace(results, config=results.config.model_copy(update={"presets": presets}), runs=runs, **tables)
    assert crowd.presets == many
    [axis] = acceptance(crowd).axes
    assert len({bars.patches[0].get_facecolor() for bars in axis.containers}) == len(many) and not axis.texts
    for figure in (calibration(crowd), risk_coverage(crowd), expansion(crowd), dice_per_round(crowd)):
        assert figure.get_figwidth() < 16
        shown = [axis for axis in figure.axes if axis.get_visible()]
        assert [axis.get_title() for axis in shown] == many
        assert [bool(axis.get_ylabel()) for axis in shown] == [n % 4 == 0 for n in range(9)]


def test_what_is_shown_is_escaped(made_up: ExperimentConfig, tmp_path: Path) -> None:
    shutil.copytree(made_up.output, tmp_path / "out")
    config = tmp_path / "out" / CONFIG
    title = "<script>alert(1)</script> & more"
    config.write_text(yaml.safe_dump(yaml.safe_load(config.read_text()) | {"title": title}))
    text = write_report(tmp_path / "out").read_text()
    assert "<script" not in text
    assert "&lt;script&gt;alert(1)" in text
    assert _Page.of(text).texts("h1") == [title]


def test_a_folder_of_0_1_0_is_reported(made_up: ExperimentConfig, tmp_path: Path) -> None:
    shutil.copytree(made_up.output, tmp_path / "out")
    (tmp_path / "out" / CONFIG).rename(tmp_path / "out" / "study.yaml")
    for path in (tmp_path / "out" / "runs").glob(f"*/*/{RESULT}"):
        result = json.loads(path.read_text())
        result["study_sha256"] = result.pop("experiment_sha256")
        view = result.pop("view")
        path.write_text(json.dumps(result))
    results = load_results(tmp_path / "out")
    assert results.presets == ["paper", "no g"] and results.runs[0]["view"] == view
    assert trace_table(results).rows == trace_table(load_results(made_up.output)).rows


def test_a_start_from_the_phantoms_own_generator_is_told(made_up: ExperimentConfig, tmp_path: Path) -> None:
    shutil.copytree(made_up.output, tmp_path / "out")
    assert "one generator" not in write_report(tmp_path / "out").read_text()
    for path in (tmp_path / "out" / "runs").glob(f"no-g/*/{RESULT}"):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"pretrain": "synthetic"}))
    assert "taught no g before the first round come from one generator" in write_report(tmp_path / "out").read_text()


def test_a_run_without_proposals_is_reported(made_up: ExperimentConfig, tmp_path: Path) -> None:
    shutil.copytree(made_up.output, tmp_path / "out")
    for path in (tmp_path / "out" / "runs").glob("*/*/verdicts.csv"):
        write_csv(path, [], COLUMNS)
        result = json.loads(path.with_name(RESULT).read_text())
        result["files"][path.name] = hashlib.sha256(path.read_bytes()).hexdigest()
        path.with_name(RESULT).write_text(json.dumps(result))
    results = load_results(tmp_path / "out")
    assert not len(results.verdicts)
    for figure in (acceptance, calibration, risk_coverage):
        assert figure(results).axes


def test_a_table_that_was_changed_is_not_reported(made_up: ExperimentConfig, tmp_path: Path) -> None:
    shutil.copytree(made_up.output, tmp_path / "out")
    with (tmp_path / "out" / "runs" / "paper" / "seed-0" / "patients.csv").open("a") as file:
        file.write("\n")
    with pytest.raises(InputError, match="has changed since its run"):
        load_results(tmp_path / "out")


def test_a_folder_without_an_experiment_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no experiment"):
        load_results(tmp_path)
