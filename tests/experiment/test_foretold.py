"""What was foretold of every review, beside what came of it."""

import numpy as np
import pandas as pd
import pytest

from recursive_expand.experiment.calibration import chance_error
from recursive_expand.experiment.foretold import foretold_rows


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
