"""The loss of slices of which only is known what they show: image-level labels without a mask."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

LABELLED = 253
"""Target value of the pixels over which a slice's labels are pooled: somewhere among them is what they name, and
nothing else."""
SHARPNESS = 5.0
"""r of Pinheiro and Collobert (2015): 0 pools to the mean, infinity to the maximum."""


def slice_label_loss(logits: Tensor, target: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of pooled foreground against image-level labels.

    The log-odds m of each class are pooled over a slice's LABELLED pixels as log(mean(exp(r m))) / r, a smooth maximum
    (Pinheiro and Collobert, 2015, equation 6), and taken as the log-odds of the class being in the slice.

    Args:
        logits: (B, K + 1, H, W).
        target: (B, H, W) integer; only LABELLED pixels count.
        labels: (B, K), 1 where the slice shows the class, 0 where it does not; of slices without LABELLED pixels not
            read.

    Returns:
        Scalar: the mean over the batch of each slice's mean over classes; 0 for a slice without LABELLED pixels.
    """
    counted = target == LABELLED
    pixels = counted.flatten(1).sum(1)
    chosen = pixels.nonzero().flatten()
    if not len(chosen):
        return logits.sum() * 0
    planes = logits[chosen].flatten(2)
    others = torch.stack([_without(planes, k).logsumexp(1) for k in range(1, planes.shape[1])], 1)
    odds = (planes[:, 1:] - others).masked_fill(~counted[chosen].flatten(1)[:, None], -math.inf)
    pooled = ((SHARPNESS * odds).logsumexp(2) - pixels[chosen].log()[:, None]) / SHARPNESS
    wanted = labels.to(logits.device)[chosen].to(pooled.dtype)
    per_slice = functional.binary_cross_entropy_with_logits(pooled, wanted, reduction="none").mean(1)
    return per_slice.sum() / len(logits)


def _without(planes: Tensor, k: int) -> Tensor:
    """All channels but one."""
    return torch.cat([planes[:, :k], planes[:, k + 1 :]], 1)
