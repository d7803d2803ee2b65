"""The losses that f minimises: equation 1 of Parida et al. (2020) and the Dice loss on expert masks."""

from __future__ import annotations

from typing import Literal

import torch
from monai.losses import DiceLoss
from torch import Tensor
from torch.nn import functional

IGNORE = 255
"""Target value of pixels that are left out of every loss."""
REJECTED = 254
"""Target value of the pixels of a rejected region: they should not be confident foreground."""
AcceptedLoss = Literal["cross_entropy", "symmetric", "generalised", "lopsided"]
SYMMETRIC_ALPHA, SYMMETRIC_BETA, SYMMETRIC_LOG_0 = 0.1, 1.0, -4.0
"""Weights of cross-entropy and its reverse, and what log 0 counts as in the latter (Wang et al., 2019, section 4)."""
GENERALISED_Q = 0.7
"""Between cross-entropy (0) and mean absolute error (1) (Zhang and Sabuncu, 2018, section 4)."""


def cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """Equation 1: multi-class cross-entropy, the mean over a slice's pixels.

    Args:
        logits: (B, K + 1, H, W).
        target: (B, H, W) integer class values 0..K, or IGNORE.

    Returns:
        Scalar: the mean over the slices of each one's mean over its pixels that are not IGNORE. A slice without any
        such pixel counts as 0.
    """
    return _slice_means(_cross_entropy_per_pixel(logits, target), target).mean()


def robust_cross_entropy(
    logits: Tensor, target: Tensor, accepted: Tensor, kind: AcceptedLoss, *, background_trust: float = 1.0
) -> Tensor:
    """Equation 1 with another loss on accepted slices, whose targets may be wrong.

    With p the probability of the target's class, symmetric cross-entropy is alpha (-log p) + beta A (p - 1) with A for
    log 0, generalised cross-entropy (1 - p^q) / q: both grow less than cross-entropy where f is sure of something else.

    Lopsided is cross-entropy where the target is foreground; where it is background, the soft bootstrap of Reed et al.
    (2015): beta (-log p) + (1 - beta) H with H the entropy of f's probabilities, after Yi et al., "Brain metastasis
    segmentation network trained with robustness to annotations with multiple false negatives" (2020). Where f is fairly
    sure of foreground, H holds against the target if beta is below 0.22.

    Args:
        logits: (B, K + 1, H, W).
        target: (B, H, W) integer class values 0..K, or IGNORE.
        accepted: (B,) bool, on the CPU: which slices `kind` is for.
        kind: their loss.
        background_trust: beta of the lopsided loss, 0..1; with 1 it is cross-entropy.

    Returns:
        Scalar, averaged as `cross_entropy` does.
    """
    per_pixel = _cross_entropy_per_pixel(logits, target)
    # Both follow from -log p, which is 0 on pixels that are left out; so are they, then.
    if kind == "symmetric":
        reverse = SYMMETRIC_LOG_0 * torch.expm1(-per_pixel)
        robust = SYMMETRIC_ALPHA * per_pixel + SYMMETRIC_BETA * reverse
    elif kind == "generalised":
        robust = -torch.expm1(-GENERALISED_Q * per_pixel) / GENERALISED_Q
    elif kind == "lopsided":
        log_p = logits.log_softmax(1)
        entropy = -(log_p.exp() * log_p).sum(1)
        robust = torch.where(target == 0, background_trust * per_pixel + (1 - background_trust) * entropy, per_pixel)
    else:
        robust = per_pixel
    chosen = accepted.to(logits.device)[:, None, None]
    return _slice_means(torch.where(chosen, robust, per_pixel), target).mean()


def rejected_loss(logits: Tensor, target: Tensor, *, limit: float) -> Tensor:
    """By how much the foreground probability in rejected regions exceeds a limit.

    An expert who rejects a mask says that it is not right, not that it holds no foreground: below the limit nothing is
    taught.

    Args:
        logits: (B, K + 1, H, W).
        target: (B, H, W) integer; only REJECTED pixels count.
        limit: foreground probability, 0..1.

    Returns:
        Scalar: the mean over the slices of each one's mean excess over its REJECTED pixels; 0 for a slice without.
    """
    rejected = target == REJECTED
    excess = functional.relu(1 - logits.softmax(1)[:, 0] - limit) * rejected
    return (excess.flatten(1).sum(1) / rejected.flatten(1).sum(1).clamp(min=1)).mean()


def dice_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Multi-class soft Dice loss over a batch.

    Dice is taken over all pixels of the batch together and averaged over the foreground classes that its targets hold:
    a class that is absent from a small batch would only add a constant.

    Args:
        logits: (B, K + 1, H, W).
        target: (B, H, W) integer class values 0..K, or IGNORE; any other value counts as a class of its own that f
            never names.

    Returns:
        Scalar in 0..1; 0 where the targets are all background.
    """
    counted = (target != IGNORE).unsqueeze(1)
    values = torch.arange(logits.shape[1], dtype=target.dtype, device=target.device).view(1, -1, 1, 1)
    one_hot = (target.unsqueeze(1) == values).to(logits.dtype)
    per_class = DiceLoss(include_background=False, batch=True, reduction="none")(
        logits.softmax(1) * counted, one_hot
    ).flatten()
    present = one_hot[:, 1:].sum((0, 2, 3)) > 0
    return (per_class * present).sum() / present.sum().clamp(min=1)


def segmentation_loss(
    logits: Tensor,
    target: Tensor,
    with_dice: Tensor,
    *,
    accepted: Tensor | None = None,
    accepted_loss: AcceptedLoss = "cross_entropy",
    background_trust: float = 1.0,
    rejected_limit: float | None = None,
) -> Tensor:
    """Cross-entropy on every slice, and Dice on those with expert masks (the paper's section 3, final stage).

    Args:
        logits: (B, K + 1, H, W).
        target: (B, H, W) integer class values 0..K, or IGNORE; with `rejected_limit`, REJECTED too.
        with_dice: (B,) bool, on the CPU: which slices the Dice loss is for.
        accepted: (B,) bool, on the CPU: which slices `accepted_loss` is for; None: none.
        accepted_loss: what takes the place of cross-entropy there.
        background_trust: of the lopsided one.
        rejected_limit: `rejected_loss` with this limit is added; None: no target is REJECTED.

    Returns:
        Scalar. The Dice term is weighted by the share of slices it is for.
    """
    hinge = None
    if rejected_limit is not None:
        hinge = rejected_loss(logits, target, limit=rejected_limit)
        target = torch.where(target == REJECTED, IGNORE, target)
    if accepted is None or accepted_loss == "cross_entropy":
        loss = cross_entropy(logits, target)
    else:
        loss = robust_cross_entropy(logits, target, accepted, accepted_loss, background_trust=background_trust)
    if hinge is not None:
        loss = loss + hinge
    if bool(with_dice.all()):
        return loss + dice_loss(logits, target)
    if bool(with_dice.any()):
        chosen = with_dice.nonzero().flatten().to(logits.device)
        loss = loss + dice_loss(logits[chosen], target[chosen]) * float(with_dice.float().mean())
    return loss


def _cross_entropy_per_pixel(logits: Tensor, target: Tensor) -> Tensor:
    return functional.cross_entropy(logits, target.long(), ignore_index=IGNORE, reduction="none")


def _slice_means(per_pixel: Tensor, target: Tensor) -> Tensor:
    """(B,): the mean over each slice's pixels that are not IGNORE; 0 without any."""
    counted = (target != IGNORE).flatten(1).sum(1)
    return per_pixel.flatten(1).sum(1) / counted.clamp(min=1)
