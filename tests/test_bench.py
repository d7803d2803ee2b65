"""Tests of scripts/_bench: how it times, compares and judges; nothing is timed here."""

import importlib
import io
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

SCRIPTS = Path(__file__).parent.parent / "scripts"


@pytest.fixture(scope="module", autouse=True)
def _scripts_on_path() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(SCRIPTS))
        yield
        for name in [name for name in sys.modules if name.split(".")[0] == "_bench"]:
            del sys.modules[name]


def _module(name: str) -> ModuleType:
    return importlib.import_module(f"_bench.{name}")


def test_paths_take_turns() -> None:
    order: list[str] = []

    def path(name: str, seconds: float):
        def run() -> float:
            order.append(name)
            return seconds

        return run

    found = _module("timing").in_turn({"a": path("a", 1.0), "b": path("b", 2.0)}, 2)
    assert order == ["a", "b", "a", "b"]
    assert found == {"a": [1.0, 1.0], "b": [2.0, 2.0]}


def test_a_ratio_is_of_medians() -> None:
    assert _module("timing").ratio([10.0, 20.0, 900.0], [2.0, 1.0, 50.0]) == 10.0


@pytest.mark.parametrize(("name", "value", "met"), [("at_least", 10.0, True), ("at_least", 9.99, False)])
def test_a_least_bar(name: str, value: float, met: bool) -> None:
    assert getattr(_module("report"), name)(10).met(value) is met


@pytest.mark.parametrize(("value", "met"), [(2.0, True), (2.01, False)])
def test_a_most_bar(value: float, met: bool) -> None:
    assert _module("report").at_most(2).met(value) is met


def test_a_section_names_what_it_missed() -> None:
    report = _module("report")
    section = report.Section("infer", "how")
    section.add("stock / ours", 19.0, "19x", report.at_least(20))
    section.add("ours", 5.0, "5 ms")
    assert section.missed == ["stock / ours"]
    (kept,) = report.as_json({"cpu": "x"}, [section])["sections"]
    assert [(row["what"], row["met"]) for row in kept["rows"]] == [("stock / ours", False), ("ours", None)]
    assert report.table(section).row_count == 2


def test_voxel_agreement_counts_background_and_dice_does_not() -> None:
    agreement = _module("agreement")
    one, other = np.zeros((1, 10, 10), np.uint8), np.zeros((1, 10, 10), np.uint8)
    one[0, 0, :2] = 1
    other[0, 0, 1:3] = 1
    assert agreement.voxel_agreement({"c": one}, {"c": other}) == pytest.approx(0.98)
    assert agreement.foreground_dice({"c": one}, {"c": other}) == pytest.approx(0.5)


def test_dice_needs_the_same_class() -> None:
    one = {"c": np.array([[[1, 0]]], np.uint8)}
    assert _module("agreement").foreground_dice(one, {"c": np.array([[[2, 0]]], np.uint8)}) == 0.0


def test_empty_masks_agree() -> None:
    empty = {"c": np.zeros((1, 2, 2), np.uint8)}
    assert _module("agreement").foreground_dice(empty, empty) == 1.0


def test_threads_must_be_positive() -> None:
    with pytest.raises(SystemExit):
        _module("__main__").parse_arguments(["--threads", "0"])


def test_sections_can_run_alone() -> None:
    options = _module("__main__").parse_arguments(["--only", "queue", "--quick"])
    assert options.only == ["queue"]
    assert options.quick


def test_the_stock_inferer_gives_each_slice_its_own_pass() -> None:
    volume = torch.arange(2 * 3 * 4 * 5, dtype=torch.float32).reshape(1, 2, 3, 4, 5)
    doubled = _module("stock_infer").SliceBatches()(volume, lambda slices: 2 * slices)
    assert torch.equal(doubled, 2 * volume)


def test_a_whole_slice_is_refined_in_one_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    stock_infer, refine = _module("stock_infer"), importlib.import_module("recursive_expand.segment.refine")
    settings = _module("material").bench_settings(1)
    shapes = []
    segment = refine.felzenszwalb

    def spy(image: np.ndarray, **settings: object) -> np.ndarray:
        shapes.append(image.shape)
        return segment(image, **settings)

    monkeypatch.setattr(refine, "felzenszwalb", spy)
    hu, mask = np.full((64, 96), 30, np.int16), np.zeros((64, 96), np.uint8)
    hu[5:15, 5:15] = hu[50:60, 80:90] = 70
    mask[5:15, 5:15], mask[50:60, 80:90] = 1, 2
    refined = stock_infer.refine_whole_slice(mask, hu, settings.method.refinement, settings.task.windows[0])
    assert shapes == [(64, 96)]
    assert refined[10, 10] == 1 and refined[55, 85] == 2


def test_against_measures_nothing_else_unless_asked(tmp_path: Path) -> None:
    (tmp_path / "lib" / "recursive_expand").mkdir(parents=True)
    parse = _module("__main__").parse_arguments
    assert parse(["--against", str(tmp_path)]).only == []
    assert parse(["--against", str(tmp_path), "--only", "queue"]).only == ["queue"]
    assert parse([]).only == ["propose", "train", "infer", "queue", "memory", "desk", "pacs", "start"]
    assert parse(["pacs"]).only == ["pacs"]
    with pytest.raises(SystemExit):
        parse(["--against", str(tmp_path / "lib")])


@pytest.mark.parametrize(
    ("now", "value", "met"),
    [
        ([0.010, 0.012, 0.090], 1.0, True),  # the median is slower, the fastest is not
        ([0.012, 0.013, 0.014], 1.2, False),
        ([0.012, 0.010, 0.001], 0.1, True),
    ],
)
def test_a_comparison_is_missed_where_median_and_fastest_are_slower(now: list[float], value: float, met: bool) -> None:
    row = _module("against").compared("next sample", {"before": [0.010, 0.010, 0.011], "now": now}, "ms")
    assert row.value == pytest.approx(value)
    assert row.bar.met(row.value) is met
    assert row.before == "10.0 / 10.0 / 11.0"


def test_what_the_older_checkout_cannot_do_is_shown_alone() -> None:
    row = _module("against").compared("verifying", {"now": [2.0]}, "s")
    assert (row.before, row.now, row.bar) == ("-", "2.00", None)


def test_a_comparison_has_a_column_for_each_side() -> None:
    report, against = _module("report"), _module("against")
    section = report.Section("against", "how")
    section.rows.append(against.compared("memory", {"before": [300.0], "now": [280.0]}, "MiB"))
    assert [column.header for column in report.table(section).columns] == [
        "measured",
        "before",
        "now",
        "result",
        "asked",
        "",
    ]


def test_jobs_are_answered_line_by_line(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    asked = '{"job": "add", "arguments": {"a": 1, "b": 2}}\n'
    monkeypatch.setattr(sys, "stdin", io.StringIO(2 * asked))
    monkeypatch.setattr(sys, "stdout", answers := io.StringIO())

    def add(a: int, b: int) -> int:
        print("what a library prints is no answer")
        return a + b

    _module("jobs").serve_jobs({"add": add})
    assert answers.getvalue() == "3\n3\n"


def test_a_worker_that_ended_is_named(tmp_path: Path) -> None:
    working = _module("jobs").working("no_such_module_of_jobs", dict(os.environ), tmp_path / "log.txt")
    with working as worker, pytest.raises(RuntimeError, match=r"log\.txt"):
        worker.answer()


def test_both_sides_serve_the_same_jobs() -> None:
    folder = SCRIPTS / "_bench"
    jobs = [
        set(re.findall(r'^ {12}"(\w+)": ', (folder / name).read_text(encoding="utf-8"), re.MULTILINE))
        for name in ("work.py", "work_0_1.py")
    ]
    assert jobs[0] == jobs[1] and "propose" in jobs[0]


def test_many_cases_are_recorded_as_one_by_one(tmp_path: Path) -> None:
    many, recursion_module, work = _module("many_cases"), _module("recursion"), _module("work")
    studies = tmp_path / "studies"
    many.link_cases(studies, 6)
    recursion = recursion_module.open_bench_recursion(studies, {})
    many.fill(recursion)
    assert recursion.ledger.proposals.count(0)["held"] == 6
    recursion_module.open_review(recursion)
    many.judge(recursion, 4)
    many.judge(recursion, 1)
    counts = recursion.ledger.judgements.count()
    assert (counts["accept"], counts["reject"]) == (4, 1)
    assert recursion.ledger.queue.count() == 1
    assert recursion.ledger.audit.verify() is None
    proposal = recursion.ledger.proposals.current("case-000000")
    assert recursion.archive.labelled("final") == set(recursion.ledger.cases.ids(tag="final", labelled=True))
    recursion.ledger.close()
    assert proposal.slices == (0,) and (recursion.workspace.root / proposal.file).is_file()
    ledger = recursion.workspace.ledger
    assert work.verify(str(studies), str(ledger))["seconds"] > 0
    answer = work.end_review(str(studies), str(ledger))
    assert len(answer["training_set"]) == 64
