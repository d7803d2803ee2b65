"""Dice, IoU, precision and recall from voxel counts, for all foreground and for each class."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Counts:
    """Voxel counts of a prediction against a reference; they add up over slices and cases.

    The empty-mask rule, for all four metrics (Maier-Hein et al., "Metrics reloaded", 2024, leaves it to the user):
    where reference and prediction are both empty, nothing was to be found and nothing was claimed: 1. Where only
    one of them is empty: 0. So every case has a value, and a mean over cases leaves none out.

    Attributes:
        true_positive: voxels in both.
        false_positive: voxels in the prediction alone.
        false_negative: voxels in the reference alone.
    """

    true_positive: int = 0
    false_positive: int = 0
    false_negative: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.true_positive + other.true_positive,
            self.false_positive + other.false_positive,
            self.false_negative + other.false_negative,
        )

    @property
    def dice(self) -> float:
        """2 TP / (2 TP + FP + FN)."""
        return self._ratio(2 * self.true_positive, self.false_positive + self.false_negative)

    @property
    def iou(self) -> float:
        """TP / (TP + FP + FN)."""
        return self._ratio(self.true_positive, self.false_positive + self.false_negative)

    @property
    def precision(self) -> float:
        """TP / (TP + FP)."""
        return self._ratio(self.true_positive, self.false_positive)

    @property
    def recall(self) -> float:
        """TP / (TP + FN)."""
        return self._ratio(self.true_positive, self.false_negative)

    def _ratio(self, right: int, wrong: int) -> float:
        if right == 0:
            return 1.0 if self.false_positive + self.false_negative == 0 else 0.0
        return right / (right + wrong)


@dataclass(frozen=True)
class MaskCounts:
    """Counts of a mask against its reference.

    Attributes:
        foreground: of whatever class.
        by_class: one entry a class, in the task's order.
    """

    foreground: Counts
    by_class: tuple[Counts, ...]

    def __add__(self, other: MaskCounts) -> MaskCounts:
        return MaskCounts(
            self.foreground + other.foreground,
            tuple(a + b for a, b in zip(self.by_class, other.by_class, strict=True)),
        )


def count(prediction: NDArray[np.uint8], reference: NDArray[np.uint8], classes: int) -> MaskCounts:
    """Count voxels of a prediction against its reference.

    Args:
        prediction: any shape, uint8 class values 0..classes.
        reference: the same shape and values.
        classes: K.

    Returns:
        The counts.

    Raises:
        ValueError: for different shapes or a value above `classes`.
    """
    if prediction.shape != reference.shape:
        raise ValueError(f"prediction {prediction.shape} and reference {reference.shape} must have one shape")
    either = (prediction > 0) | (reference > 0)
    pairs = prediction[either].astype(np.int64) * (classes + 1) + reference[either]
    highest = int(max(prediction.max(initial=0), reference.max(initial=0)))
    if highest > classes:
        raise ValueError(f"mask value {highest} is no class: there are {classes}")
    table = np.bincount(pairs, minlength=(classes + 1) ** 2).reshape(classes + 1, classes + 1)
    by_class = tuple(
        Counts(int(table[k, k]), int(table[k].sum() - table[k, k]), int(table[:, k].sum() - table[k, k]))
        for k in range(1, classes + 1)
    )
    both = int(table[1:, 1:].sum())
    return MaskCounts(Counts(both, int(table[1:, 0].sum()), int(table[0, 1:].sum())), by_class)
