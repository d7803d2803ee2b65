"""Risk control: what is promised holds on patients from the same population, and few patients promise nothing."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recursive_expand.expand.risk_control import STARTS, fewest_patients, lowest_safe, p_value

ALPHA, DELTA = 0.3, 0.1


def simulated(rng, patients, *, bias):
    """Of each patient at each of 8 thresholds, the strictest first, the risk, and whether anything is proposed there.

    f's skill differs from patient to patient; a lower threshold serves more patients, and is wrong more often. In
    between, a stricter mask is wrong more often than a looser one: the risk does not fall with the threshold.
    """
    skill = rng.normal(0, 1, (patients, 1))
    strictness = np.linspace(2.5, -2.5, 8)
    served = skill + rng.normal(0, 1, (patients, 8)) > strictness - 2
    chance = 1 / (1 + np.exp(1.2 * skill + strictness - bias + np.where(np.arange(8) == 2, -1.0, 0.0)))
    slices = rng.integers(1, 6, (patients, 1))
    return rng.binomial(np.broadcast_to(slices, chance.shape), chance) / slices, served


@pytest.mark.parametrize("bias", [-0.5, 0.8])
@pytest.mark.parametrize("patients", [12, 60])
def test_the_promise_holds_for_new_patients_but_for_a_probability_of_delta(bias, patients):
    rng = np.random.default_rng([patients, int(10 * bias + 10)])
    risks, served = simulated(rng, 200_000, bias=bias)
    true = [risks[served[:, t], t].mean() for t in range(8)]
    assert min(true) <= ALPHA < max(true)  # the promise can be kept, and can be broken
    broken, promised, observed, draws = 0, 0, [], 600
    for _ in range(draws):
        found, shown = simulated(rng, patients, bias=bias)
        safe = lowest_safe([found[shown[:, t], t] for t in range(8)], alpha=ALPHA, delta=DELTA)
        if safe is not None:
            promised += 1
            broken += true[safe] > ALPHA
            observed.append(1 - true[safe])
    assert broken / draws <= DELTA + 2 * np.sqrt(DELTA * (1 - DELTA) / draws)
    assert not observed or np.mean(observed) >= 1 - ALPHA
    if patients == 60:
        assert promised > draws / 4  # it is no empty promise


@given(st.floats(0.05, 0.9), st.floats(0.01, 0.5), st.integers(1, 8))
def test_fewer_patients_than_can_tell_promise_nothing(alpha, delta, thresholds):
    few = fewest_patients(alpha, delta) - 1
    assert lowest_safe([np.zeros(few)] * thresholds, alpha=alpha, delta=delta) is None
    assert lowest_safe([np.zeros(few + 1)] * thresholds, alpha=alpha, delta=delta) == thresholds - 1


def test_without_a_patient_nothing_is_safe():
    assert lowest_safe([np.zeros(0)] * 3, alpha=ALPHA, delta=DELTA) is None


def test_what_follows_an_unsafe_threshold_is_tested_from_the_next_start_alone():
    good, bad = np.zeros(50), np.ones(50)
    assert lowest_safe([good, bad, good, bad, bad, bad], alpha=ALPHA, delta=DELTA) == 2
    assert lowest_safe([good, bad, bad, good, bad, good], alpha=ALPHA, delta=DELTA) == 0
    assert lowest_safe([bad, bad, bad, bad, good, good], alpha=ALPHA, delta=DELTA) == 5
    assert STARTS == 3


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30), st.floats(0.05, 0.95))
def test_more_risk_is_less_safe(risks, alpha):
    lower = p_value(np.array(risks) * 0.5, alpha)
    assert 0 <= lower <= p_value(np.array(risks), alpha) + 1e-12 <= 1 + 1e-12


def test_the_p_value_of_patients_without_risk_is_that_of_the_binomial():
    assert p_value(np.zeros(7), 0.3) == pytest.approx(0.7**7)
