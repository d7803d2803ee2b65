"""Compare presets: what each gained over its own round 0, at the same number of verdicts and at its own end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from recursive_expand.experiment.calibration import (
    best_order,
    calibration_bins,
    calibration_error,
    first_quarter_lift,
    predicted_acceptance,
)
from recursive_expand.experiment.metrics import ANY
from recursive_expand.experiment.results import Results
from recursive_expand.experiment.statistics import Summary, summarise
from recursive_expand.experiment.tables import NONE, Table, what_leads

GAINS = ("dice", "recall")
"""Metrics whose median is compared with round 0's."""
_RUN = ["preset", "seed"]
_COLUMNS = (
    ("Median Dice of round 0", "first_dice", ".3f"),
    ("Gain of median Dice", "dice_gain", "+.3f"),
    ("Change of median recall", "recall_gain", "+.3f"),
    ("Final median Dice", "final_dice", ".3f"),
    ("Lead", "lead", "+.3f"),
    ("Verdicts used", "verdicts", ".0f"),
    ("Acceptance rate", "acceptance_rate", ".3f"),
    ("First quarter", "first_quarter_lift", ".2f"),
    ("First quarter of the best order", "best_lift", ".2f"),
    ("Calibration error", "calibration_error", ".3f"),
)
"""Heading, column and number format of every measure of a preset."""
_READING = (
    "Mean ± half of the 95 % t-interval, over the seeds that every preset has run. Gain and change are relative to the "
    "same run's round 0. Lead: final median Dice minus that of {first}, seed by seed. Acceptance rate, first quarter "
    "and calibration error refer to the slices reviewed before that model. First quarter: how many times more slices "
    "were accepted in the first quarter of each round's review than in a random quarter; the best order is the upper "
    "limit. Calibration error: mean absolute difference between the predicted probability of acceptance and the "
    "accepted share."
)

PEER_NOTE = (
    " A peer learns from the pixel set alone, for the CPU time in its name (without preprocessing); it has no rounds."
)


def verdict_budgets(rounds: pd.DataFrame, *, max_verdicts: int = 0) -> pd.Series:
    """The number of verdicts at which presets are compared.

    Args:
        rounds: rows of `rounds.csv` of all presets.
        max_verdicts: the experiment's limit; 0: none.

    Returns:
        One value per seed: the limit, or without one the smallest number of verdicts that any preset's last model
        learned from. Other presets' rounds may end well below that number, so it is lowered to what the preset with
        the fewest verdicts then used. It always lets every run learn from its first review.
    """
    ends = rounds.groupby(_RUN)["verdicts_before"].max().groupby("seed").min()
    if max_verdicts:
        return pd.Series(max_verdicts, index=ends.index, name="budget")
    later = rounds[rounds["verdicts_before"] > 0]
    firsts = later.groupby(_RUN)["verdicts_before"].min().groupby("seed").max().reindex(ends.index, fill_value=0)
    used = newest_within(rounds, ends.combine(firsts, max)).groupby("seed")["verdicts_before"].min()
    return used.combine(firsts, max).rename("budget")


def newest_within(rounds: pd.DataFrame, budgets: pd.Series) -> pd.DataFrame:
    """The newest model of every run within its seed's budget of verdicts.

    Args:
        rounds: rows of `rounds.csv`.
        budgets: by seed, each at least 0: round 0's model learned from no verdict and is always within budget.

    Returns:
        Columns `preset`, `seed`, `round` and `verdicts_before`, one row per run.
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
        rounds, verdicts: rows of `rounds.csv` and `verdicts.csv`.
        budgets: by seed.

    Returns:
        One row per test set and run: `test_set`, `preset`, `seed`, `round`, `verdicts` (used by that round's model),
        `acceptance_rate`, `first_quarter_lift`, `best_lift`, `calibration_error` (of the slices reviewed before that
        round; nan without any), `first_dice` and `final_dice` (medians over patients of round 0's and that round's
        model) and `<metric>_gain` for each of `GAINS`: the change of the median over patients from round 0 of the
        same run.
    """
    newest = newest_within(rounds, budgets)
    medians = patients.groupby(["test_set", *_RUN, "round"])[list(GAINS)].median()
    rows = []
    for run in newest.itertuples():
        of_run = (verdicts.preset == run.preset) & (verdicts.seed == run.seed)
        triage = _triage(verdicts[of_run & (verdicts["round"] < run.round)])
        for test_set in patients["test_set"].unique():
            first = medians.loc[(test_set, run.preset, run.seed, 0)]
            last = medians.loc[(test_set, run.preset, run.seed, run.round)]
            rows.append(
                {
                    "test_set": test_set,
                    "preset": run.preset,
                    "seed": run.seed,
                    "round": run.round,
                    "verdicts": run.verdicts_before,
                    **triage,
                    "first_dice": first["dice"],
                    "final_dice": last["dice"],
                    **{f"{metric}_gain": last[metric] - first[metric] for metric in GAINS},
                }
            )
    return pd.DataFrame(rows)


def _triage(reviewed: pd.DataFrame) -> dict[str, float]:
    if reviewed.empty:
        return dict.fromkeys(("acceptance_rate", "first_quarter_lift", "best_lift", "calibration_error"), np.nan)
    accepted = reviewed["accepted"].astype(bool).to_numpy()
    return {
        "acceptance_rate": float(accepted.mean()),
        "first_quarter_lift": first_quarter_lift(reviewed),
        "best_lift": first_quarter_lift(best_order(reviewed)),
        "calibration_error": calibration_error(calibration_bins(predicted_acceptance(reviewed), accepted)),
    }


def comparison_tables(results: Results) -> tuple[Table, Table]:
    """All presets by test set, with intervals over seeds: at the same number of verdicts, and each at its own end.

    Only seeds that every preset has run are used; otherwise presets would be compared on different seeds.
    """
    presets = results.presets
    runs = results.rounds[_RUN].drop_duplicates().groupby("seed").size()
    seeds = runs.index[runs == len(presets)]
    patients, rounds, verdicts = (
        frame[frame["seed"].isin(seeds)] for frame in (results.patients, results.rounds, results.verdicts)
    )
    patients = patients[patients.leads & (patients.region == ANY)]
    limit = results.config.max_verdicts
    budgets = verdict_budgets(rounds, max_verdicts=limit)
    ends = pd.Series(np.inf, index=budgets.index)
    fewest = "as many as the preset that ended with the fewest, or one round's review if that is more"
    equal = f"the experiment's limit of {limit}" if limit else fewest

    def table(name: str, title: str, allowed: pd.Series, rule: str) -> Table:
        found = comparison_rows(patients, rounds, verdicts, allowed)
        rows: list[tuple[str, ...]] = []
        rules: set[int] = set()
        for test_set in results.config.tests:
            if not len(found) or test_set not in set(found.test_set):
                continue  # nothing was measured on it
            of_set = found[found.test_set == test_set].set_index(["preset", "seed"])
            for preset in presets:
                chosen = of_set.loc[preset]
                lead = chosen["final_dice"] - of_set.loc[presets[0], "final_dice"]
                cells = _cells(chosen.assign(lead=lead if preset != presets[0] else np.nan))
                rows.append((test_set if preset == presets[0] else "", preset, str(len(chosen)), *cells))
            leader = of_set.loc[presets[0], "final_dice"]
            rows += [("", *cells) for cells in _peer_cells(results.peers, test_set, seeds, leader)]
            rules.add(len(rows) - 1)
        return Table(
            name=name,
            caption=f"{title}: {what_leads(results)}, any bleed, medians over patients",
            header=("Data set", "Preset", "Seeds", *(heading for heading, _, _ in _COLUMNS)),
            rows=tuple(rows),
            rules=frozenset(rules),
            note=rule + PEER_NOTE if len(results.peers) else rule,
        )

    return (
        table(
            "compare",
            "Presets at the same number of verdicts",
            budgets,
            f"A run is measured by its newest model within the allowed number of verdicts: {equal}, by seed. "
            + _READING.format(first=presets[0]),
        ),
        table("compare-ends", "Presets at their own ends", ends, "A run is measured by its last model."),
    )


def _peer_cells(
    peers: pd.DataFrame, test_set: str, seeds: Sequence[int], leader: pd.Series
) -> Iterator[tuple[str, ...]]:
    """A row for each peer: no rounds, no verdicts."""
    if not len(peers):
        return
    of_set = peers[(peers.test_set == test_set) & (peers.region == ANY) & peers.seed.isin(seeds)]
    for name, rows in of_set.groupby("peer", sort=False):
        final = rows.groupby("seed")["dice"].median()
        nothing = {column: np.nan for _, column, _ in _COLUMNS}
        measures = pd.DataFrame(nothing, index=final.index)
        measures = measures.assign(final_dice=final, lead=final - leader.reindex(final.index), verdicts=0.0)
        yield str(name), str(len(final)), *_cells(measures)


def _cells(chosen: pd.DataFrame) -> Sequence[str]:
    return [_interval(summarise(chosen[column].dropna().to_numpy()), form) for _, column, form in _COLUMNS]


def _interval(summary: Summary, form: str) -> str:
    if summary.n == 0:
        return NONE
    width = "" if summary.n == 1 else f" ± {summary.half_width:{form.removeprefix('+')}}"
    return f"{summary.mean:{form}}{width}"
