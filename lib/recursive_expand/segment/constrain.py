"""From one slice's logits to its mask, with image-level labels as constraints."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

AllowedClasses = Sequence[frozenset[str] | None]
"""Image-level labels of a case as constraints, one entry a slice: None where nothing is known, else the classes
present."""


@dataclass(frozen=True)
class SliceProbabilities:
    """f's mask of an area and the class probabilities of the pixels where foreground is not out of the question.

    Most pixels of a slice are background without doubt. Leaving them out spares most of the exponentials, copies and
    memory of a full softmax.

    Attributes:
        mask: (H, W) uint8 class values.
        pixels: (n,) flat indices of the pixels looked at: all whose foreground probability may reach the limit.
        probabilities: (n, K + 1) float32, column 0 being background. Under image-level labels they are conditional
            on these labels.
    """

    mask: NDArray[np.uint8]
    pixels: NDArray[np.int64]
    probabilities: NDArray[np.float32]

    def within(self, inside: NDArray[np.bool_]) -> SliceProbabilities:
        """The same, with background without doubt outside (H, W) bool `inside`."""
        kept = inside.ravel()[self.pixels]
        return SliceProbabilities(self.mask * inside, self.pixels[kept], self.probabilities[kept])

    def ignore_band(
        self, mask: NDArray[np.uint8], confident_background: float, confident_foreground: float
    ) -> NDArray[np.bool_]:
        """Pixels that a mask should not teach.

        Args:
            mask: (H, W) uint8, the mask after g.
            confident_background, confident_foreground: limits of the foreground probability.

        Returns:
            (H, W) bool: between the limits (both included), or at odds with the mask: foreground that is not
            confident foreground, background that is not confident background.
        """
        foreground = np.zeros(mask.size, np.float32)
        foreground[self.pixels] = 1 - self.probabilities[:, 0]
        in_mask = mask.ravel() > 0
        unsure = np.where(in_mask, foreground <= confident_foreground, foreground >= confident_background)
        return unsure.reshape(mask.shape)

    def confidence(self, mask: NDArray[np.uint8]) -> float:
        """Mean probability of the mask's class over the mask's voxels; nan for an empty mask.

        Pixels that g added and f never considered count as 0.
        """
        voxels = np.count_nonzero(mask)
        if not voxels:
            return math.nan
        values = mask.ravel()[self.pixels]
        claimed = np.take_along_axis(self.probabilities, values[:, None].astype(np.int64), axis=1)[:, 0]
        return float(claimed[values > 0].sum(dtype=np.float64) / voxels)


def constrain(
    logits: Tensor,
    allowed: frozenset[str] | None,
    classes: tuple[str, ...],
    *,
    limit: float,
    thresholds: Sequence[float | None] | None = None,
) -> SliceProbabilities:
    """Decide every pixel's class.

    Args:
        logits: (K + 1, H, W), on any device.
        allowed: image-level labels: None where nothing is known; one class, and all foreground is that class;
            several, and each pixel gets the most probable of these and background; none, and all is background.
        classes: the task's K class names.
        limit: foreground probability below which a pixel that is background needs no probabilities.
        thresholds: one for each class: foreground probability above which a pixel gets its most probable class, if that
            is the one; None, for a class or for all: where that class is more probable than background.

    Returns:
        Mask and probabilities, on the CPU.

    Raises:
        ValueError: for a class that the task does not have.
    """
    shape = tuple(logits.shape[1:])
    if allowed is not None and not allowed <= set(classes):
        raise ValueError(f"image-level labels name {', '.join(sorted(allowed - set(classes)))}: no class of this task")
    if allowed is not None and not allowed:
        nothing = np.zeros((0, len(classes) + 1), np.float32)
        return SliceProbabilities(np.zeros(shape, np.uint8), np.zeros(0, np.int64), nothing)
    # With several classes the others are ruled out; with one, f's foreground of whatever class becomes that one.
    several = allowed is not None and len(allowed) > 1
    columns = [k for k, name in enumerate(classes, start=1) if not several or name in (allowed or ())]
    planes = logits.contiguous().flatten(1)
    # The sum of n exponentials is at most n times the largest: below this no pixel can reach the limit.
    given = [threshold for threshold in thresholds or () if threshold is not None]
    limit = min([limit, *given])
    reachable = (math.log(limit) - math.log1p(-limit) if 0 < limit < 1 else -math.inf) - math.log(len(columns))
    strongest = planes[columns].amax(0) if several else planes[1:].amax(0)
    # On the CPU numpy finds the few that are true ten times as fast as torch.
    pixels = np.flatnonzero((strongest - planes[0] >= min(0.0, reachable) - 0.1).cpu().numpy())
    found = planes[:, torch.from_numpy(pixels).to(planes.device)].T.float()
    if several:
        ruled_out = [k for k in range(1, len(classes) + 1) if k not in columns]
        found[:, ruled_out] = -math.inf
    probabilities = found.softmax(1)
    values = found.argmax(1)
    one = classes.index(next(iter(allowed))) + 1 if allowed is not None and len(allowed) == 1 else None
    if thresholds is not None and given:
        likeliest = probabilities[:, 1:].argmax(1)
        # No probability is above 2: there a class without a threshold stays where it is more probable than background.
        each = probabilities.new_tensor([2.0 if threshold is None else threshold for threshold in thresholds])
        each = each[likeliest] if one is None else each[one - 1]
        reached = (1 - probabilities[:, 0] > each) | ((each > 1) & (values > 0))
        values = torch.where(reached, likeliest + 1, 0)
    if one is not None:
        foreground = probabilities[:, 1:].sum(1)
        probabilities[:, 1:] = 0
        probabilities[:, one] = foreground
        values = torch.where(values > 0, one, 0)
    mask = np.zeros(planes.shape[1], np.uint8)
    mask[pixels] = values.to(torch.uint8).cpu().numpy()
    return SliceProbabilities(mask.reshape(shape), pixels, probabilities.cpu().numpy())
