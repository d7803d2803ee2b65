"""Thresholds and their log-odds, in which they are moved."""

from __future__ import annotations

import math

LEAST = 1e-4
"""As near to 0 and to 1 as a threshold that was moved comes: it has four digits, and stays a threshold."""


def log_odds(threshold: float) -> float:
    """Of a probability above 0 and below 1."""
    return math.log(threshold / (1 - threshold))


def threshold_at(odds: float) -> float:
    """The threshold with these log-odds."""
    return min(max(round(1 / (1 + math.exp(-odds)), 4), LEAST), 1 - LEAST)
