"""The gate: a new model replaces the old one only if the locked validation share holds."""

from __future__ import annotations

import logging
from typing import Any

from torch import nn

from recursive_expand.expand.recursion import Recursion, choose_device
from recursive_expand.expand.training_set import TrainingSet
from recursive_expand.expand.validation import validate
from recursive_expand.ledger import RoundRecord
from recursive_expand.segment.predict import Predictor
from recursive_expand.segment.weights import mean_weights, save_weights
from recursive_expand.settings import Method

logger = logging.getLogger(__name__)


def choose_model(
    recursion: Recursion, round_: RoundRecord, training_set: TrainingSet, network: nn.Module, trained: str
) -> tuple[str, dict[str, Any]]:
    """Choose the model that a round publishes, and validate it.

    A trained model that does not hold is averaged with the old one, which keeps more of what the old one knew and
    much of what is new (Wortsman et al., "Robust fine-tuning of zero-shot models", 2022); the old model stays where
    that does not hold either.

    Args:
        recursion: under the round's settings.
        round_: the round.
        training_set: its training set.
        network: the trained network; may be changed.
        trained: the SHA-256 of its weights.

    Returns:
        The model's SHA-256, and what the report says: `validation` (of the published model, or of the refused one),
        `previous_validation` (with a gate) and `averaged` (whether the mean of both is published); nothing without a
        single expert mask.
    """
    method, device = recursion.settings.method, choose_device()
    held_out = bool(training_set.validation)
    cases = training_set.validation if held_out else tuple(case_id for case_id, _, _ in training_set.pixel)

    if not cases:  # nothing says which model is better: the new one knows more
        return trained, {}

    def validated() -> dict[str, Any]:
        return validate(recursion, Predictor(recursion.settings, network, device), cases) | {"held_out": held_out}

    new = validated()
    if round_.base_model is None or not method.gate:
        return trained, {"validation": new}
    base = recursion.network(round_.base_model)
    old = validate(recursion, Predictor(recursion.settings, base, device), cases)
    if holds(method, new, old):
        return trained, {"validation": new, "previous_validation": old}
    network.load_state_dict(mean_weights([base.state_dict(), network.cpu().state_dict()]))
    mean = validated()
    if holds(method, mean, old):
        logger.info("Round %d: the gate takes the mean of the new model and the old one", round_.round)
        model = save_weights(network, recursion.workspace.models)
        return model, {"validation": mean, "previous_validation": old, "averaged": True}
    logger.warning("Round %d: the gate keeps the old model (new %s, old %s)", round_.round, new, old)
    return round_.base_model, {"validation": new, "previous_validation": old}


def holds(method: Method, new: dict[str, Any], old: dict[str, Any]) -> bool:
    """Whether Dice and recall of a new model are within the tolerance of the old one's.

    They are those of all voxels together. Of the few cases that are locked, one without foreground moves a mean by
    1 / cases for a single wrong voxel, which would close the gate on a better model. Where none of them holds any,
    nothing can be said, and the new model holds.

    Args:
        method: `gate_tolerance`.
        new, old: what `validate` returned.
    """
    if not new["pooled"]["foreground_voxels"]:
        return True
    return all(new["pooled"][metric] >= old["pooled"][metric] - method.gate_tolerance for metric in ("dice", "recall"))
