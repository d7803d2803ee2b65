"""Presets compared at the same number of verdicts."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from recursive_expand.experiment.compare import comparison_rows, comparison_tables, newest_within, verdict_budgets
from recursive_expand.experiment.config import ExperimentConfig
from recursive_expand.experiment.results import load_results
from recursive_expand.experiment.tables import NONE


@pytest.fixture
def rounds() -> pd.DataFrame:
    """`slow` needs 100 verdicts a round, `quick` 30 to 50; two seeds."""
    used = {("slow", 0): (0, 100, 200), ("quick", 0): (0, 50, 120), ("slow", 1): (0, 100), ("quick", 1): (0, 30)}
    rows = [(*run, index, verdicts) for run, counts in used.items() for index, verdicts in enumerate(counts)]
    return pd.DataFrame(rows, columns=["preset", "seed", "round", "verdicts_before"])


def test_without_a_limit_the_cheapest_preset_sets_the_budget_of_each_seed(rounds: pd.DataFrame) -> None:
    assert verdict_budgets(rounds[rounds.seed == 0]).to_dict() == {0: 100}
    assert verdict_budgets(rounds, max_verdicts=60).to_dict() == {0: 60, 1: 60}


def test_the_budget_is_lowered_to_what_coarser_rounds_use(rounds: pd.DataFrame) -> None:
    """Of 120 verdicts `slow` can only use 100, so `quick` may use no more than these either."""
    budgets = verdict_budgets(rounds[rounds.seed == 0])
    newest = newest_within(rounds[rounds.seed == 0], budgets).set_index("preset")
    assert newest["verdicts_before"].to_dict() == {"slow": 100, "quick": 50}


def test_every_run_may_learn_from_its_first_review(rounds: pd.DataFrame) -> None:
    """`slow` needs 100 verdicts for its first round; at the 30 that `quick` ends with it would count as untaught."""
    assert verdict_budgets(rounds).to_dict() == {0: 100, 1: 100}
    assert verdict_budgets(rounds[rounds["verdicts_before"] == 0]).to_dict() == {0: 0, 1: 0}


def test_the_newest_model_within_the_budget_counts(rounds: pd.DataFrame) -> None:
    newest = newest_within(rounds, pd.Series({0: 120, 1: 30})).set_index(["preset", "seed"])
    assert newest["round"].to_dict() == {("slow", 0): 1, ("quick", 0): 2, ("slow", 1): 0, ("quick", 1): 1}
    assert newest.loc[("slow", 0), "verdicts_before"] == 100


def test_a_round_without_new_verdicts_counts_as_the_newest(rounds: pd.DataFrame) -> None:
    more = pd.concat([rounds, pd.DataFrame([("quick", 0, 3, 120)], columns=rounds.columns)])
    newest = newest_within(more.reset_index(drop=True), pd.Series({0: 120, 1: 30}))
    assert newest[(newest.preset == "quick") & (newest.seed == 0)]["round"].tolist() == [3]


def test_gains_are_of_medians_against_the_runs_own_round_0() -> None:
    rounds = pd.DataFrame(
        [("a", 0, 0, 0), ("a", 0, 1, 10), ("a", 0, 2, 40)], columns=["preset", "seed", "round", "verdicts_before"]
    )
    dice = {0: (0.1, 0.2, 0.9), 1: (0.3, 0.5, 0.6), 2: (1.0, 1.0, 1.0)}
    patients = pd.DataFrame(
        [("t", "a", 0, index, value, value / 2) for index, values in dice.items() for value in values],
        columns=["test_set", "preset", "seed", "round", "dice", "recall"],
    )
    verdicts = pd.DataFrame(
        [("a", 0, 0, order, accepted, 0.9) for order, accepted in enumerate((True, False, False, True))]
        + [("a", 0, 1, order, True, 0.9) for order in range(9)],
        columns=["preset", "seed", "round", "order", "accepted", "confidence"],
    ).assign(score=None)
    (row,) = comparison_rows(patients, rounds, verdicts, pd.Series({0: 39})).to_dict("records")
    assert (row["round"], row["verdicts"], row["acceptance_rate"]) == (1, 10, 0.5)
    assert row["dice_gain"] == pytest.approx(0.5 - 0.2)
    assert row["recall_gain"] == pytest.approx(0.25 - 0.1)
    assert (row["first_dice"], row["final_dice"]) == (0.2, 0.5)
    assert row["first_quarter_lift"] == 2
    assert row["calibration_error"] == pytest.approx(0.4)
    (none,) = comparison_rows(patients, rounds, verdicts, pd.Series({0: 5})).to_dict("records")
    assert (none["round"], none["dice_gain"]) == (0, 0) and np.isnan(none["acceptance_rate"])


def test_the_table_has_a_row_a_preset_with_intervals_over_seeds(made_up: ExperimentConfig) -> None:
    results = load_results(made_up.output)
    table = comparison_tables(results)[0]
    assert [row[:3] for row in table.rows] == [("held out", "paper", "2"), ("", "no g", "2")]
    chosen = results.patients[(results.patients.variant == "f+g") & (results.patients.region == "any bleed")]
    medians = chosen[chosen.preset == "paper"].groupby("stage")["dice"].median()
    gain, acceptance = table.header.index("Gain of median Dice"), table.header.index("Acceptance rate")
    assert table.rows[0][gain] == f"{medians['after'] - medians['before']:+.3f} ± 0.000"
    assert table.rows[0][acceptance] == "0.667 ± 0.000"
    assert comparison_tables(results)[1].rows == table.rows  # all runs end with the same number of verdicts
    lead = table.header.index("Lead")
    assert table.rows[0][lead] == NONE
    finals = [chosen[(chosen.preset == p) & (chosen.stage == "after")]["dice"].median() for p in ("no g", "paper")]
    assert table.rows[1][lead] == f"{finals[0] - finals[1]:+.3f} ± 0.000"


def test_seeds_that_a_preset_has_not_run_are_left_out(made_up: ExperimentConfig) -> None:
    results = load_results(made_up.output)
    unfinished = results.rounds.drop(results.rounds.query("preset == 'paper' and seed == 1").index)
    object.__setattr__(results, "rounds", unfinished)
    assert [row[2] for row in comparison_tables(results)[0].rows] == ["1", "1"]


def test_at_its_own_end_a_run_may_have_used_more_verdicts(made_up: ExperimentConfig) -> None:
    results = load_results(made_up.output)
    longer = results.rounds.query("preset == 'paper' and round == 1").assign(round=2, verdicts_before=90)
    better = results.patients.query("preset == 'paper' and round == 1").assign(round=2, stage="between", dice=1.0)
    object.__setattr__(results, "rounds", pd.concat([results.rounds, longer], ignore_index=True))
    object.__setattr__(results, "patients", pd.concat([results.patients, better], ignore_index=True))
    equal, ends = comparison_tables(results)
    used, final = equal.header.index("Verdicts used"), equal.header.index("Final median Dice")
    assert [table.rows[0][used] for table in (equal, ends)] == ["30 ± 0", "90 ± 0"]
    assert ends.rows[0][final] == "1.000 ± 0.000" != equal.rows[0][final]
    assert equal.rows[1] != ends.rows[1]  # the lead is over another Dice


def test_a_test_set_that_no_run_has_is_left_out(made_up: ExperimentConfig) -> None:
    results = load_results(made_up.output)
    more = results.config.model_copy(update={"tests": {"new": "test", **results.config.tests}})
    object.__setattr__(results, "config", more)
    assert [row[0] for row in comparison_tables(results)[0].rows] == ["held out", ""]
