"""Predicted targets of accepted slices: by the previous recursion's model, or by the mean of all models so far."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from recursive_expand.cases import Volume
from recursive_expand.expand.constraints import allowed_classes
from recursive_expand.expand.recursion import Recursion, choose_device
from recursive_expand.expand.training_set import AcceptedSlices
from recursive_expand.ledger import RoundRecord
from recursive_expand.segment.constrain import AllowedClasses
from recursive_expand.segment.losses import IGNORE
from recursive_expand.segment.predict import Predictor
from recursive_expand.segment.weights import mean_weights
from recursive_expand.settings import F_ALONE, Training

PredictSlices = Callable[[str, Volume, tuple[int, ...]], NDArray[np.uint8]]
"""(case id, volume, slice numbers) -> masks (slices, rows, columns), with IGNORE where they should teach nothing."""


def target_predictor(recursion: Recursion, round_: RoundRecord) -> PredictSlices | None:
    """What the targets of accepted slices are predicted by.

    Args:
        recursion: under the round's settings.
        round_: the round that is about to train.

    Returns:
        For `targets: previous` f alone, without g, with the weights of the recursion before (the paper's final stage);
        for `targets: teacher` f and g with the mean of all weights published so far. None where targets are frozen, and
        in round 0.
    """
    if recursion.settings.method.training.targets == "previous":
        return _previous(recursion, round_)
    if recursion.settings.method.training.targets == "teacher":
        return _teacher(recursion, round_)
    return None


def taught_as_accepted(training: Training, accepted: AcceptedSlices) -> bool:
    """Whether the target of accepted slices is their proposal's mask, and not a prediction.

    The previous recursion's mask of a slice that it brought in is the one that was accepted.
    """
    return training.targets == "frozen" or (training.targets == "previous" and accepted.new)


def _previous(recursion: Recursion, round_: RoundRecord) -> PredictSlices | None:
    if round_.base_model is None:
        return None
    return _predict_by(
        recursion,
        Predictor(recursion.settings.changed(**F_ALONE), recursion.network(round_.base_model), choose_device()),
    )


def _teacher(recursion: Recursion, round_: RoundRecord) -> PredictSlices | None:
    published = [earlier.model for earlier in recursion.ledger.rounds.all() if earlier.round < round_.round]
    models = list(dict.fromkeys(model for model in published if model is not None))  # a gate may have kept one
    if not models:
        return None
    network = recursion.network(models[-1])
    network.load_state_dict(mean_weights([recursion.network(model).state_dict() for model in models]))
    with_g = recursion.settings.changed(refine="before_review")
    return _predict_by(recursion, Predictor(with_g, network, choose_device()))


def _predict_by(recursion: Recursion, predictor: Predictor) -> PredictSlices:
    """A predictor's masks of some slices; where wanted, with image-level labels obeyed and the ignore band left out."""
    method = recursion.settings.method

    def predict(case_id: str, volume: Volume, slices: tuple[int, ...]) -> NDArray[np.uint8]:
        known: AllowedClasses = [None] * len(volume.hu)
        if method.use_image_labels:
            case = recursion.ledger.cases.get(case_id)
            known = allowed_classes(case.image_labels, case.slices)
        # The whole volume, for a slice may be seen with its neighbours; where nothing is allowed, nothing is predicted.
        wanted = [known[number] if number in slices else frozenset[str]() for number in range(len(volume.hu))]
        prediction = predictor.predict(volume, wanted)
        if method.training.ignore_band:
            prediction.mask[prediction.ignore] = IGNORE
        return prediction.mask[list(slices)]

    return predict
