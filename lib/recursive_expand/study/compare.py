"""Presets side by side: what each gained over its own round 0 with no more verdicts than the others."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from recursive_expand.study.evaluation import VARIANTS
from recursive_expand.study.metrics import ANY
from recursive_expand.study.results import Results
from recursive_expand.study.statistics import Summary, summarise
from recursive_expand.study.tables import NONE, Table

GAINS = ("dice", "recall")
"""Metrics whose median is held against round 0's."""
_RUN = ["preset", "seed"]


def verdict_budgets(rounds: pd.DataFrame, *, max_verdicts: int = 0) -> pd.Series:
    """How many verdicts presets are compared at.

    Args:
        rounds: rows of `rounds.csv` of all presets.
        max_verdicts: the study's limit; 0: none.

    Returns:
        One value a seed: the limit, or without one the smallest number among the presets of verdicts that a run's
        last model could learn from.
    """
    budgets = rounds.groupby(_RUN)["verdicts_before"].max().groupby("seed").min()
    return pd.Series(max_verdicts or budgets, index=budgets.index, name="budget")


def newest_within(rounds: pd.DataFrame, budgets: pd.Series) -> pd.DataFrame:
    """The newest model of every run that learned from no more verdicts than its seed's budget.

    Args:
        rounds: rows of `rounds.csv`.
        budgets: by seed, none below 0: round 0's model learned from no verdict and always counts.

    Returns:
        Columns `preset`, `seed`, `round` and `verdicts_before`, one row a run.
    """
    within = rounds[rounds["verdicts_before"] <= rounds["seed"].map(budgets)]
    newest = within.loc[within.groupby(_RUN, sort=False)["round"].idxmax()]
    return newest[[*_RUN, "round", "verdicts_before"]].reset_index(drop=True)


def comparison_rows(
    patients: pd.DataFrame, rounds: pd.DataFrame, verdicts: pd.DataFrame, budgets: pd.Series
) -> pd.DataFrame:
    """What every run reached within its budget.

    Args:
        patients: rows of `patients.csv` of one variant and region.
        rounds, verdicts: rows of these tables.
        budgets: by seed.

    Returns:
        A row a test set and run: `test_set`, `preset`, `seed`, `round`, `verdicts` (used by that round's model),
        `acceptance_rate` (of the slices reviewed before that round; nan without any), `final_dice` (median over
        patients) and for each of `GAINS` `<metric>_gain`: the change of the median over patients against round 0 of
        the same run.
    """
    newest = newest_within(rounds, budgets)
    medians = patients.groupby(["test_set", *_RUN, "round"])[list(GAINS)].median()
    rows = []
    for test_set in patients["test_set"].unique():
        for run in newest.itertuples():
            first = medians.loc[(test_set, run.preset, run.seed, 0)]
            last = medians.loc[(test_set, run.preset, run.seed, run.round)]
            reviewed = verdicts[
                (verdicts.preset == run.preset) & (verdicts.seed == run.seed) & (verdicts["round"] < run.round)
            ]
            rows.append(
                {
                    "test_set": test_set,
                    "preset": run.preset,
                    "seed": run.seed,
                    "round": run.round,
                    "verdicts": run.verdicts_before,
                    "acceptance_rate": reviewed["accepted"].astype(float).mean(),
                    "final_dice": last["dice"],
                    **{f"{metric}_gain": last[metric] - first[metric] for metric in GAINS},
                }
            )
    return pd.DataFrame(rows)


def comparison_table(results: Results) -> Table:
    """All presets at the same number of verdicts, by test set, with intervals over seeds.

    Only seeds count for which every preset has a run: half a study would compare presets on different seeds.
    """
    presets = results.presets
    runs = results.rounds[_RUN].drop_duplicates().groupby("seed").size()
    seeds = runs.index[runs == len(presets)]
    patients, rounds, verdicts = (
        frame[frame["seed"].isin(seeds)] for frame in (results.patients, results.rounds, results.verdicts)
    )
    patients = patients[(patients.variant == VARIANTS[0]) & (patients.region == ANY)]
    rows: list[tuple[str, ...]] = []
    rules = set()
    limit = results.config.max_verdicts
    if len(seeds):
        budgets = verdict_budgets(rounds, max_verdicts=limit)
        found = comparison_rows(patients, rounds, verdicts, budgets)
        for test_set in results.config.tests:
            for preset in presets:
                chosen = found[(found.test_set == test_set) & (found.preset == preset)]
                rows.append((test_set if preset == presets[0] else "", preset, str(len(chosen)), *_cells(chosen)))
            rules.add(len(rows) - 1)
    equal = f"the study's limit of {limit}" if limit else "the fewest that any preset's last model learned from"
    return Table(
        name="compare",
        caption="Presets at the same number of verdicts: proposals (f, then g), any bleed, medians over patients",
        header=(
            "Data set",
            "Preset",
            "Seeds",
            "Gain of median Dice",
            "Change of median recall",
            "Verdicts used",
            "Acceptance rate",
            "Final median Dice",
        ),
        rows=tuple(rows),
        rules=frozenset(rules),
        note="Mean ± half of the 95 % t-interval, over the seeds that every preset has run. Gain and change are "
        f"against the same run's round 0. Verdicts allowed, by seed: {equal}; a run is measured by its newest model "
        "that learned from no more. Acceptance rate: of the slices reviewed before that model.",
    )


def _cells(chosen: pd.DataFrame) -> Sequence[str]:
    def cell(column: str, form: str) -> str:
        return _interval(summarise(chosen[column].dropna().to_numpy()), form)

    return (
        cell("dice_gain", "+.3f"),
        cell("recall_gain", "+.3f"),
        cell("verdicts", ".0f"),
        cell("acceptance_rate", ".3f"),
        cell("final_dice", ".3f"),
    )


def _interval(summary: Summary, form: str) -> str:
    if summary.n == 0:
        return NONE
    width = "" if summary.n == 1 else f" ± {summary.half_width:{form.removeprefix('+')}}"
    return f"{summary.mean:{form}}{width}"
