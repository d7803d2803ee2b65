"""The losses that f minimises: equation 1 of Parida et al. (2020) and the Dice loss on expert masks."""

from __future__ import annotations

import torch
from monai.losses import DiceLoss
from torch import Tensor
from torch.nn import functional

IGNORE = 255
"""Target value of pixels that are left out of every loss."""


def cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """Equation 1: multi-class cross-entropy, the mean over a slice's pixels.

    Args:
        logits: (B, K + 1, H, W).
        target: (B, H, W) integer class values 0..K, or IGNORE.

    Returns:
        Scalar: the mean over the slices of each one's mean over its pixels that are not IGNORE. A slice without any
        such pixel counts as 0.
    """
    per_pixel = functional.cross_entropy(logits, target.long(), ignore_index=IGNORE, reduction="none")
    counted = (target != IGNORE).flatten(1).sum(1)
    return (per_pixel.flatten(1).sum(1) / counted.clamp(min=1)).mean()


def dice_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Multi-class soft Dice loss over a batch.

    Dice is taken over all pixels of the batch together and averaged over the bleed classes that its targets hold: a
    class that is absent from a small batch would only add a constant.

    Args:
        logits: (B, K + 1, H, W).
        target: (B, H, W) integer class values 0..K, or IGNORE.

    Returns:
        Scalar in 0..1; 0 where the targets are all background.
    """
    counted = (target != IGNORE).unsqueeze(1)
    truth = torch.where(target == IGNORE, 0, target).long()
    one_hot = functional.one_hot(truth, logits.shape[1]).movedim(-1, 1) * counted
    per_class = DiceLoss(include_background=False, batch=True, reduction="none")(
        logits.softmax(1) * counted, one_hot
    ).flatten()
    present = one_hot[:, 1:].sum((0, 2, 3)) > 0
    return (per_class * present).sum() / present.sum().clamp(min=1)


def segmentation_loss(logits: Tensor, target: Tensor, with_dice: Tensor) -> Tensor:
    """Cross-entropy on every slice, and Dice on those with expert masks (the paper's section 3, final stage).

    Args:
        logits: (B, K + 1, H, W).
        target: (B, H, W) integer class values 0..K, or IGNORE.
        with_dice: (B,) bool, on the CPU: which slices the Dice loss is for.

    Returns:
        Scalar. The Dice term is weighted by the share of slices it is for.
    """
    loss = cross_entropy(logits, target)
    if bool(with_dice.all()):
        return loss + dice_loss(logits, target)
    if bool(with_dice.any()):
        chosen = with_dice.nonzero().flatten().to(logits.device)
        loss = loss + dice_loss(logits[chosen], target[chosen]) * float(with_dice.float().mean())
    return loss
