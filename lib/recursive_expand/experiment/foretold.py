"""What was foretold of every review, beside what came of it: acceptance, the queue's order, new slices."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from recursive_expand.experiment.calibration import (
    best_order,
    calibration_bins,
    calibration_error,
    chance_error,
    first_quarter_lift,
    predicted_acceptance,
)
from recursive_expand.experiment.results import Results
from recursive_expand.experiment.statistics import summarise
from recursive_expand.experiment.tables import NONE, Table

_OF_ROUNDS = {
    "foretold": "foretold_slices",
    "promised": "promised",
    "observed": "observed_of_patients",
    "observed_random": "observed_random",
}
"""Columns here and in `rounds.csv`, which tables of earlier runs lack."""


def foretold_rows(verdicts: pd.DataFrame, rounds: pd.DataFrame) -> pd.DataFrame:
    """One row for each reviewed round of each run.

    Args:
        verdicts, rounds: rows of `verdicts.csv` and `rounds.csv` of one preset.

    Returns:
        `seed`, `round`, `slices` reviewed, `accepted` (share), `predicted` (mean score), `calibration_error`,
        `chance_error`, `first_quarter` (its lift over that of the best order; nan where nothing was accepted),
        `foretold` (slices, when the review opened; nan where acceptance was not predicted), `new`, `promised` by the
        operating point (nan without a promise), and `observed` and `observed_random`, means over patients (nan where
        nothing is promised and no share of the queue is random).
    """
    of_rounds = rounds.set_index(["seed", "round"])
    told = {name: of_rounds.get(column, pd.Series(dtype=float)) for name, column in _OF_ROUNDS.items()}
    rows = []
    for (seed, index), of_round in verdicts.groupby(["seed", "round"]):
        scores, accepted = predicted_acceptance(of_round), of_round["accepted"].astype(bool).to_numpy()
        best = first_quarter_lift(best_order(of_round))
        rows.append(
            {
                "seed": seed,
                "round": index,
                "slices": len(of_round),
                "accepted": accepted.mean(),
                "predicted": scores.mean(),
                "calibration_error": calibration_error(calibration_bins(scores, accepted)),
                "chance_error": chance_error(scores),
                "first_quarter": first_quarter_lift(of_round) / best if best else np.nan,
                **{name: column.get((seed, index), np.nan) for name, column in told.items()},
                "new": int(accepted.sum()),
            }
        )
    return pd.DataFrame(rows)


_COLUMNS = (
    ("Slices reviewed", "slices", ".0f"),
    ("Accepted", "accepted", ".3f"),
    ("Predicted", "predicted", ".3f"),
    ("Calibration error", "calibration_error", ".3f"),
    ("By chance", "chance_error", ".3f"),
    ("First quarter, of the best", "first_quarter", ".2f"),
    ("New slices foretold", "foretold", ".0f"),
    ("New slices", "new", ".0f"),
    ("Promised", "promised", ".2f"),
    ("Observed", "observed", ".2f"),
    ("Observed in the random share", "observed_random", ".2f"),
)


def foretold_table(results: Results, preset: str) -> Table:
    """Round by round, means over the seeds that reached the round."""
    of_preset = [frame[frame.preset == preset] for frame in (results.verdicts, results.rounds)]
    found = foretold_rows(*of_preset)
    header: tuple[str, ...] = ("Round", "Seeds", *(heading for heading, _, _ in _COLUMNS))
    rows = tuple(_rows(found)) if len(found) else ()
    note = ""
    again = results.second_looks
    if len(again) and len(again := again[again.preset == preset]):
        header += ("Second looks", "Accepted then")
        rows = tuple((*row, *_again(again, int(row[0]), seeds=int(row[1]))) for row in rows)
        note = " All else is of first looks; second looks: slices of rejected masks that came once more, stricter."
    return Table(
        name=f"foretold-{preset.lower().replace(' ', '-')}",
        caption=f"Predicted acceptance, round by round, preset {preset}",
        header=header,
        rows=rows,
        rules=frozenset(),
        note="Means over seeds. By chance: the calibration error that scores would have if each slice were accepted "
        "with exactly the predicted probability. First quarter: accepted slices in the first quarter of the queue, of "
        "those in the best order's. Foretold when the review opened. Promised by the operating point, observed: means "
        "over patients of the share of their slices that was accepted." + note,
    )


def _again(second_looks: pd.DataFrame, index: int, *, seeds: int) -> tuple[str, str]:
    """Second looks of a round, and how many were accepted: slices, means over its seeds."""
    of_round = second_looks[second_looks["round"] == index]
    return f"{len(of_round) / seeds:.0f}", f"{of_round['accepted'].astype(bool).sum() / seeds:.0f}"


def _rows(found: pd.DataFrame) -> Iterator[tuple[str, ...]]:
    for index, of_round in found.groupby("round"):
        means = [summarise(of_round[name].astype(float).dropna().to_numpy()) for _, name, _ in _COLUMNS]
        cells = (f"{mean.mean:{form}}" if mean.n else NONE for mean, (_, _, form) in zip(means, _COLUMNS, strict=True))
        yield str(index), str(len(of_round)), *cells
