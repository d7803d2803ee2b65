"""What was foretold of every review, beside what came of it."""

import hashlib
import json
import shutil

import numpy as np
import pandas as pd
import pytest

from recursive_expand.experiment.calibration import chance_error
from recursive_expand.experiment.foretold import foretold_rows, foretold_table
from recursive_expand.experiment.results import load_results


def reviewed(scores, accepted, *, seed=1, index=0):
    return pd.DataFrame(
        {
            "seed": seed,
            "round": index,
            "order": range(len(scores)),
            "score": scores,
            "confidence": 0.5,
            "accepted": accepted,
        }
    )


def test_each_round_is_held_against_what_was_foretold_of_it():
    verdicts = pd.concat(
        [
            reviewed([0.9, 0.9, 0.1, 0.1], [True, False, True, False]),
            reviewed([0.9, 0.6, 0.1, 0.1], [True, True, False, False], index=1),
        ]
    )
    rounds = pd.DataFrame({"seed": [1, 1, 1], "round": [0, 1, 2], "foretold_slices": [2.0, np.nan, np.nan]})
    first, second = foretold_rows(verdicts, rounds).to_dict("records")
    assert (first["slices"], first["accepted"], first["new"], first["foretold"]) == (4, 0.5, 2, 2.0)
    assert first["predicted"] == pytest.approx(0.5) and first["calibration_error"] == pytest.approx(0.0)
    assert first["first_quarter"] == 1.0
    assert second["calibration_error"] == pytest.approx(0.5 - 1.7 / 4)
    assert np.isnan(second["foretold"])


def test_runs_of_earlier_versions_foretold_nothing():
    (row,) = foretold_rows(reviewed([0.5], [True]), pd.DataFrame({"seed": [1], "round": [0]})).to_dict("records")
    assert np.isnan(row["foretold"])


def test_what_the_operating_point_promised_is_held_against_what_was_observed():
    rounds = {"seed": [1], "round": [0], "promised": [0.7], "observed_of_patients": [0.8], "observed_random": [0.75]}
    (row,) = foretold_rows(reviewed([0.5], [True]), pd.DataFrame(rounds)).to_dict("records")
    assert (row["promised"], row["observed"], row["observed_random"]) == (0.7, 0.8, 0.75)


def test_chance_leaves_an_error_to_the_best_of_scores():
    few, many = (chance_error(np.full(number, 0.5)) for number in (20, 2000))
    assert few == pytest.approx(np.sqrt(0.25 / 20 * 2 / np.pi), rel=0.2)  # mean distance of a binomial share
    assert many < few / 2
    assert chance_error(np.ones(20)) == 0.0


def test_second_looks_have_columns_of_their_own_and_count_nowhere_else(made_up, tmp_path):
    without = load_results(made_up.output)
    shutil.copytree(made_up.output, tmp_path / "out")
    run = tmp_path / "out" / "runs" / "paper" / "seed-0"
    verdicts = pd.read_csv(run / "verdicts.csv").assign(second_look=False)
    again = verdicts.head(4).assign(second_look=True, accepted=[True, False, False, False], order=range(30, 34))
    pd.concat([verdicts, again]).to_csv(run / "verdicts.csv", index=False)
    result = json.loads((run / "result.json").read_text())
    result["files"]["verdicts.csv"] = hashlib.sha256((run / "verdicts.csv").read_bytes()).hexdigest()
    (run / "result.json").write_text(json.dumps(result))
    results = load_results(tmp_path / "out")
    assert (len(results.verdicts), len(results.second_looks)) == (len(without.verdicts), 4)
    (preset, other), before = results.presets, [foretold_table(without, name) for name in without.presets]
    table = foretold_table(results, preset)
    assert table.header[-2:] == ("Second looks", "Accepted then") and "first looks" in table.note
    assert table.rows[0] == (*before[0].rows[0], "2", "0")  # means over two seeds: 4 and 1 slices of one
    assert foretold_table(results, other) == before[1]  # no column where nothing came again
