"""Settings of f's training."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from recursive_expand.settings.section import Section


class Training(Section):
    """How f is trained in round 0 and in later rounds."""

    epochs: int = Field(default=120, ge=1)
    """Epochs of round 0 from fresh weights (the paper: 120)."""
    later_epochs: int = Field(default=3, ge=1)
    """Epochs of every later round (the paper: 3)."""
    tune_epochs: int = Field(default=15, ge=1)
    """Epochs of round 0 with a pretrained start: f is tuned, on the schedule of later rounds. With 40 the masks of four
    patients cost a tenth of the Dice on a fifth's."""
    learning_rate: float = Field(default=2e-3, gt=0)
    """Adam's, in round 0 of an f with fresh weights, and of a start from synthetic heads, whose orthogonalised steps go
    at ten times the rate (`segment/muon.py`)."""
    later_learning_rate: float = Field(default=1e-3, gt=0)
    """The paper names no learning rate; this is Adam's own default. With 1e-4 the paper's three epochs teach too
    little, with round 0's 2e-3 the rounds swing."""
    tune_learning_rate: float = Field(default=3e-4, gt=0)
    """Adam's, in every round of an f with a pretrained start. Its rate fell to nothing while it learned from synthetic
    heads: at the rate of an f with fresh weights the few slices of a round undo more than they teach."""
    later_schedule: Literal["constant", "cosine"] = "constant"
    """The learning rate of later rounds: constant, or falling by epoch along half a cosine (Loshchilov and Hutter,
    2017), so that the last weights do not depend on the last few slices. Round 0's is constant."""
    base_share: float = Field(default=0.0, ge=0, lt=1)
    """Share, in the mean that a round publishes, of the weights that it began with (Wortsman et al., 2022); 0: what was
    trained. Fresh weights have none. The gate takes the mean of both where the trained ones do not hold."""
    batch_size: int = Field(default=4, ge=1)
    """Slices in one step."""
    crop_to_region: bool = True
    """Train on the box of `Task.region` instead of the whole slice. Off: equation 1's mean runs over all H x W
    pixels."""
    dice_loss: Literal["every_round", "later_rounds"] = "every_round"
    """Slices with expert masks are learned with cross-entropy and Dice in every round, or in round 0 with
    cross-entropy alone (the paper's first stage)."""
    augment: bool = False
    """Left-right flips, small shifts of HU and noise."""
    targets: Literal["previous", "frozen", "teacher"] = "frozen"
    """Targets of accepted slices: the previous recursion's prediction (the paper), frozen as accepted, or the
    prediction of the mean of all published models' weights (after Tarvainen and Valpola, 2017), whose probabilities
    then decide on the ignore band."""
    ignore_band: bool = True
    """On accepted slices, leave pixels between confident background and confident foreground out of the loss."""
    accepted_loss: Literal["cross_entropy", "symmetric", "generalised", "lopsided"] = "cross_entropy"
    """Loss of accepted slices: the paper's cross-entropy, or one that wrong targets (missed foreground) mislead
    less: symmetric (Wang et al., 2019), generalised cross-entropy (Zhang and Sabuncu, 2018), or a lopsided one that
    trusts foreground and doubts background (after Yi et al., 2020). Others keep equation 1."""
    background_trust: float = Field(default=0.1, gt=0, le=1)
    """With `accepted_loss: lopsided`: weight of a background target against what f itself says there; 1: cross-entropy.
    At 0.22 and above f is never taken at its word."""
    rejects: Literal["ignore", "not_confident"] = "ignore"
    """Rejected slices: not trained on, or their rejected region is pushed below `confident_foreground` and nothing
    else of them is trained on."""
    replay_share: float = Field(default=0.0, ge=0, le=0.9)
    """With a pretrained start: share of the slices of every epoch, round 0's included, that are synthetic. Every epoch
    has new ones, until 2,000 are painted."""
    confident_foreground: float = Field(default=0.7, ge=0, le=1)
    """Foreground probability above which a pixel is confident foreground."""
    confident_background: float = Field(default=0.3, ge=0, le=1)
    """Foreground probability below which a pixel is confident background."""
    clean_share: float = Field(default=0.25, ge=0)
    """With `use_image_labels`, slices labelled clean join as exact background, up to this share of all other training
    slices."""
    clean_slices: Literal["sampled", "unmarked", "false_positives"] = "sampled"
    """Which slices labelled clean join: a sample (`clean_share`), or, with or without `use_image_labels`, all on which
    f marked nothing: an expert who looks for false positives selects those (the paper). With `false_positives` the
    sample's place is taken by those of a four times larger sample on which f, asked without their labels, marks most:
    mined negatives."""
    painted_share: float = Field(default=0.0, ge=0)
    """With `use_image_labels`, slices labelled clean join with synthetic bleeds painted in, up to this share of the
    slices with masks; in round 0 too. 0: none."""
    pasted_share: float = Field(default=0.0, ge=0)
    """The same with bleeds of the training set's own masks pasted in, each where its type lies."""
    slice_label_weight: float = Field(default=0.0, ge=0)
    """With `use_image_labels`, slices that have labels but no mask, undecided or rejected, join with a loss that asks f
    for what their labels name and nothing else, wherever in the region it may be (log-sum-exp pooling). Its weight;
    0: none join."""
    slice_label_share: float = Field(default=0.5, ge=0)
    """They join up to this share of the slices with masks."""
