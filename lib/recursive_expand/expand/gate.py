"""The gate: a new model replaces the old one only if it holds on what is locked: expert masks and accepted slices."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

from torch import nn

from recursive_expand.expand.recursion import Recursion, choose_device
from recursive_expand.expand.training_set import TrainingSet
from recursive_expand.expand.validation import validate, validate_accepted
from recursive_expand.segment.predict import Predictor
from recursive_expand.segment.weights import mean_weights, save_weights
from recursive_expand.settings import Method

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Measured:
    """How good a model is on what it did not learn from.

    Attributes:
        masks: what `validate` returned, of cases with expert masks; None where there are none.
        accepted: what `validate_accepted` returned, of accepted slices that are held out; None where there are none.
    """

    masks: dict[str, Any] | None
    accepted: dict[str, Any] | None

    def report(self, *, prefix: str = "") -> dict[str, Any]:
        """As the round's report says it."""
        parts = {f"{prefix}validation": self.masks, f"{prefix}accepted_validation": self.accepted}
        return {name: part for name, part in parts.items() if part is not None}


def choose_model(
    recursion: Recursion,
    round_index: int,
    training_set: TrainingSet,
    network: nn.Module,
    trained: str,
    base: str | None,
) -> tuple[str, dict[str, Any]]:
    """Choose the model that a round publishes, and validate it.

    A trained model that does not hold is averaged with the old one, which keeps more of what the old one knew and
    much of what is new (Wortsman et al., "Robust fine-tuning of zero-shot models", 2022); the old model stays where
    that does not hold either.

    Args:
        recursion: under the round's settings.
        round_index: the round.
        training_set: its training set.
        network: the trained network; may be changed.
        trained: the SHA-256 of its weights.
        base: the SHA-256 of the old model's, in round 0 the pretrained start's; None where f began with fresh weights.

    Returns:
        The model's SHA-256, and what the report says: `validation` and `accepted_validation` (of the published model,
        or of the refused one), the same with `previous_` before it (with a gate), and `averaged` (whether the mean of
        both is published); nothing where there is nothing to measure on.
    """
    method, device = recursion.settings.method, choose_device()
    held_out = bool(training_set.validation)
    cases = training_set.validation if held_out else tuple(case_id for case_id, _, _ in training_set.pixel)
    if not cases and not training_set.held_out:  # nothing says which model is better: the new one knows more
        return trained, {}

    def measured(model: nn.Module) -> Measured:
        predictor, accepted = Predictor(recursion.settings, model, device), training_set.held_out
        return Measured(
            validate(recursion, predictor, cases) | {"held_out": held_out} if cases else None,
            validate_accepted(recursion, predictor, accepted) if accepted else None,
        )

    new = measured(network)
    if base is None or not method.gate:
        return trained, new.report()
    before = recursion.network(base)
    old = measured(before)
    if holds(method, new, old):
        return trained, new.report() | old.report(prefix="previous_")
    network.load_state_dict(mean_weights([before.state_dict(), network.cpu().state_dict()]))
    mean = measured(network)
    if holds(method, mean, old):
        logger.info("Round %d: the gate takes the mean of the new model and the old one", round_index)
        model = save_weights(network, recursion.workspace.models)
        return model, mean.report() | old.report(prefix="previous_") | {"averaged": True}
    logger.warning("Round %d: the gate keeps the old model (new %s, old %s)", round_index, new, old)
    return base, new.report() | old.report(prefix="previous_")


def holds(method: Method, new: Measured, old: Measured) -> bool:
    """Whether a new model holds, on expert masks and on what experts accepted.

    Both times by Dice and recall of all voxels together: of the few cases that are locked, one without foreground moves
    a mean by 1 / cases for a single wrong voxel, which would close the gate on a better model. Where none of them holds
    any, nothing can be said, and the new model holds.

    - On expert masks they may be lower than the old model's by the tolerance.
    - Accepted masks are the old model's own, or its ancestors': it would always win. And up to `Method.tau` of what
      they mark may be wrong. So there the new model has to reach 1 - tau, or the old model's values if those are lower,
      again with the tolerance: it may draw the blood otherwise, but has to find what was accepted, and little else.

    Args:
        method: `gate_tolerance` and `tau`.
        new, old: both models, measured on the same.
    """
    return _reaches(new.masks, old.masks, 1.0, method.gate_tolerance) and _reaches(
        new.accepted, old.accepted, 1.0 - method.tau, method.gate_tolerance
    )


def _reaches(new: dict[str, Any] | None, old: dict[str, Any] | None, most: float, tolerance: float) -> bool:
    if new is None or old is None:
        return True
    new, old = new["pooled"], old["pooled"]
    if not new["foreground_voxels"]:
        return True
    return all(new[metric] >= min(old[metric], most) - tolerance for metric in ("dice", "recall"))
