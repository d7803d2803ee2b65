"""Risk control: the lowest threshold that holds a promise of acceptance, or none where too few patients tell."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom

STARTS = 3
"""Thresholds at which the tests begin, each at its share of delta."""


def lowest_safe(risks: Sequence[NDArray[np.float64]], *, alpha: float, delta: float) -> int | None:
    """Learn then test (Angelopoulos et al., arXiv 2110.01052): the last of several thresholds whose risk is controlled.

    With a probability of at least 1 - delta over the patients, the mean risk of new patients from the same population,
    of those on whom something is proposed at the threshold, is at most alpha there. Conformal risk control (arXiv
    2208.02814) wants a risk that falls with the threshold. This one need not: a stricter mask may keep what was wrong,
    and patients on whom nothing is left do not count, as they are not served either. So each threshold is a hypothesis,
    "its risk is above alpha", and they are tested in turn (fixed sequence with `STARTS` starts, which bounds the
    probability of any false rejection), each on the patients whom it serves.

    Args:
        risks: for each threshold, the strictest first, the risk (0..1) of each patient whom it serves.
        alpha: the largest mean risk that is promised.
        delta: the largest probability that the promise does not hold.

    Returns:
        Index of the last threshold, the lowest, that is safe; None where none is, as with few patients none can be.
    """
    step, safe = max(1, math.ceil(len(risks) / STARTS)), -1
    for start in range(0, len(risks), step):
        for index in range(start, len(risks)):
            if p_value(risks[index], alpha) > delta / STARTS:
                break
            safe = max(safe, index)
    return None if safe < 0 else safe


def p_value(risks: NDArray[np.float64], alpha: float) -> float:
    """Of the hypothesis that the mean of a population, from which these values in 0..1 come, is above alpha.

    Hoeffding's and Bentkus' inequality, whichever is tighter (Bates et al., "Distribution-free, risk-controlling
    prediction sets", 2021); valid for any number of values.
    """
    if not len(risks):
        return 1.0
    number, mean = len(risks), float(np.mean(risks))
    hoeffding = math.exp(-number * _divergence(min(mean, alpha), alpha))
    bentkus = math.e * float(binom.cdf(math.ceil(number * mean - 1e-9), number, alpha))
    return min(1.0, hoeffding, bentkus)


def fewest_patients(alpha: float, delta: float) -> int:
    """With fewer patients nothing is safe, even if none has any risk."""
    return math.ceil(math.log(delta / STARTS) / math.log1p(-alpha) - 1e-9)


def _divergence(a: float, b: float) -> float:
    """Kullback-Leibler divergence of two Bernoulli distributions, for 0 <= a <= b < 1."""
    return (a * math.log(a / b) if a else 0.0) + (1 - a) * math.log((1 - a) / (1 - b))
