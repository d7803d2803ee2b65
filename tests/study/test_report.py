"""Tables, figures and the page of a study."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from pathlib import Path

import matplotlib.pyplot as plt
import pytest

from recursive_expand.errors import InputError
from recursive_expand.study.config import StudyConfig
from recursive_expand.study.figures import acceptance, calibration, risk_coverage
from recursive_expand.study.overlays import choose
from recursive_expand.study.report import write_report
from recursive_expand.study.results import load_results
from recursive_expand.study.run import RESULT, write_csv
from recursive_expand.study.statistics import compare, pairs
from recursive_expand.study.tables import (
    Table,
    class_table,
    distribution_table,
    result_table,
    seed_table,
    trace_table,
)
from recursive_expand.study.verdicts import COLUMNS


def test_table_1_is_the_statistics_of_the_rows(made_up: StudyConfig) -> None:
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


def test_only_patients_with_a_class_count_for_it(made_up: StudyConfig) -> None:
    results = load_results(made_up.output)
    patients = results.patients
    table = class_table(results, "no g")
    for row in table.rows:
        region = row[1]
        holding = patients[(patients.region == region) & (patients.reference_ml > 0)].patient.nunique()
        assert int(row[2]) == holding
        assert ("→" in row[3]) == (holding > 0)


def test_seeds_are_compared_by_what_they_cost(made_up: StudyConfig) -> None:
    rows = seed_table(load_results(made_up.output)).rows
    assert [row[1:5] for row in rows] == [
        ("paper", "2", "1.0", "30 (30) ± 0"),
        ("no g", "2", "1.0", "30 (30) ± 0"),
    ]


def test_table_2_adds_up(made_up: StudyConfig) -> None:
    table = distribution_table(load_results(made_up.output))
    assert table.header == ("Type of bleed", "pixel", "image", "held out")
    numbers = {row[0]: [int(cell) for cell in row[1:]] for row in table.rows}
    assert numbers["Total slices"] == numbers["Cases"] == [2, 3, 4]
    assert [a + b for a, b in zip(numbers["Bleed slices"], numbers["No bleed slices"], strict=True)] == [2, 3, 4]


def test_every_round_is_traced(made_up: StudyConfig) -> None:
    assert len(trace_table(load_results(made_up.output)).rows) == 2 * 2 * 2


def test_tables_are_written_for_latex_and_csv() -> None:
    table = Table("t", "50 % & more_", ("A", "p"), (("▲ 0.1 ± 0.2", "< 0.001"), ("–", "a, b")), rules=frozenset({0}))
    latex = table.to_latex()
    assert r"\caption{50 \% \& more\_}" in latex
    assert r"$\blacktriangle$ 0.1 $\pm$ 0.2 & $<$ 0.001 \\" + "\n" + r"\midrule" in latex
    assert table.to_csv() == 'A,p\n▲ 0.1 ± 0.2,< 0.001\n–,"a, b"\n'
    assert "<td>&lt; 0.001</td>" in table.to_html()


def test_overlays_show_the_largest_changes_and_one_slice_a_case(made_up: StudyConfig) -> None:
    slices = load_results(made_up.output).slices
    one = slices[(slices.preset == "paper") & (slices.seed == 0)]
    chosen = choose(one)
    gains = chosen["improved"].dice_after - chosen["improved"].dice_before
    assert len(gains) and (gains > 0).all() and gains.is_monotonic_decreasing
    assert not len(chosen["worsened"])
    swapped = one.assign(stage=one.stage.map({"before": "after", "after": "before"}))
    assert len(choose(swapped)["worsened"])


def test_the_page_holds_everything_and_links_to_nothing(made_up: StudyConfig, tmp_path: Path) -> None:
    shutil.copytree(made_up.output, tmp_path / "out")
    page = write_report(tmp_path / "out").read_text()
    sources = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert sources and all(source.startswith(("data:image/png;base64,", "#")) for source in sources)
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
    assert page.count("data:image/png") == len(figures)
    assert (tmp_path / "out" / "tables" / "table1-paper.tex").is_file()


def test_a_run_without_proposals_is_reported(made_up: StudyConfig, tmp_path: Path) -> None:
    shutil.copytree(made_up.output, tmp_path / "out")
    for path in (tmp_path / "out" / "runs").glob("*/*/verdicts.csv"):
        write_csv(path, [], COLUMNS)
        result = json.loads(path.with_name(RESULT).read_text())
        result["files"][path.name] = hashlib.sha256(path.read_bytes()).hexdigest()
        path.with_name(RESULT).write_text(json.dumps(result))
    results = load_results(tmp_path / "out")
    assert not len(results.verdicts)
    for figure in (acceptance, calibration, risk_coverage):
        plt.close(figure(results))


def test_a_table_that_was_changed_is_not_reported(made_up: StudyConfig, tmp_path: Path) -> None:
    shutil.copytree(made_up.output, tmp_path / "out")
    with (tmp_path / "out" / "runs" / "paper" / "seed-0" / "patients.csv").open("a") as file:
        file.write("\n")
    with pytest.raises(InputError, match="was changed after its run"):
        load_results(tmp_path / "out")


def test_a_folder_without_a_study_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no study"):
        load_results(tmp_path)
