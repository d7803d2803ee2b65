"""Measure models on test sets: one row per patient, slice, region and model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from recursive_expand.archives.images import read_label, read_volume, write_label
from recursive_expand.cases import Geometry, LabelMap, Volume
from recursive_expand.errors import InputError
from recursive_expand.expand.recursion import choose_device
from recursive_expand.experiment.layout import Rows
from recursive_expand.experiment.ledger_reading import RunRound
from recursive_expand.experiment.metrics import Scores, pool, score_mask, score_slices
from recursive_expand.experiment.test_sets import TestCase
from recursive_expand.segment.network import build_network
from recursive_expand.segment.predict import Prediction, Predictor
from recursive_expand.segment.weights import load_weights
from recursive_expand.settings import F_ALONE, Settings

VARIANTS = ("f+g", "f")
"""What is measured: f, then g; and the network alone, with nothing dropped or added."""


@dataclass
class Measured:
    """Rows of one model.

    Attributes:
        patients: one row per patient and region.
        slices: one row per case, slice and region.
    """

    patients: Rows = field(default_factory=list)
    slices: Rows = field(default_factory=list)


def lead(settings: Settings) -> str:
    """The variant that leads tables and figures: what proposes. With `refine: after_review` that is f alone, as in the
    paper."""
    return "f+g" if settings.method.refinement.refine == "before_review" else "f"


def predictor_of(settings: Settings, round_: RunRound, variant: str) -> Predictor:
    """The model of a round, with the round's own settings.

    Args:
        settings: the run's.
        round_: one of its rounds.
        variant: one of `VARIANTS`.

    Raises:
        InputError: the weights' file is missing or differs from the ledger's record.
    """
    settings = settings.under(round_.record.config, round_.record.proposes_at)
    settings = settings.changed(**(F_ALONE if variant == "f" else {"refine": "before_review"}))
    network = build_network(settings)
    load_weights(network, round_.weights, round_.model)
    return Predictor(settings, network, choose_device())


class Proposes(Protocol):
    """What gives a mask for each volume: a `Predictor`, or masks that were made elsewhere."""

    def propose_volumes(self, volumes: Iterable[tuple[str, Volume]], /) -> Iterator[tuple[str, Prediction]]:
        """The volumes' predictions, in their order."""


def measure(
    predictor: Proposes,
    cases: Sequence[TestCase],
    classes: Sequence[str],
    *,
    tolerance: float,
    predictions: Path | None = None,
    on_case: Callable[[], None] = lambda: None,
) -> Measured:
    """Measure a model on a test set, about one case in memory at a time; image-level labels are not used.

    Args:
        predictor: f, or f and g, or a peer's masks.
        cases: the test set.
        classes: class names.
        tolerance: of the normalised surface distance, in mm.
        predictions: folder for the predicted masks; None: they are not kept.
        on_case: called after each case.

    Raises:
        InputError: an image or mask cannot be used.
    """
    by_id = {case.case_id: case for case in cases}
    geometries: dict[str, Geometry] = {}

    def volumes() -> Iterator[tuple[str, Volume]]:
        for case in cases:
            volume = read_volume(case.image)
            geometries[case.case_id] = volume.geometry
            yield case.case_id, volume

    by_patient: dict[str, list[dict[str, Scores]]] = {}
    measured = Measured()
    for case_id, prediction in predictor.propose_volumes(volumes()):
        case, geometry = by_id[case_id], geometries.pop(case_id)
        truth = reference(case, geometry, len(classes))
        scores = score_mask(prediction.mask, truth, geometry, classes, tolerance=tolerance)
        by_patient.setdefault(case.patient, []).append(scores)
        for number, of_slice in enumerate(score_slices(prediction.mask, truth, geometry, classes, tolerance=tolerance)):
            keys = {"patient": case.patient, "case_id": case_id, "slice": number}
            measured.slices += [{**keys, "region": name, **found.row()} for name, found in of_slice.items()]
        if predictions is not None:
            predictions.mkdir(parents=True, exist_ok=True)
            label = LabelMap.from_slices(prediction.mask, geometry)
            write_label(predictions / f"{case_id}.nii.gz", label, fsync=False)
        on_case()
    for patient, parts in by_patient.items():
        measured.patients += [
            {"patient": patient, "cases": len(parts), "region": name, **found.row()}
            for name, found in pool(parts).items()
        ]
    return measured


def reference(case: TestCase, geometry: Geometry, classes: int) -> NDArray[np.uint8]:
    """The reference mask of a test case as (slices, rows, columns).

    Raises:
        InputError: its shape differs from its image's, or it holds a value without a class.
    """
    native = read_label(case.mask).native
    if native.shape != geometry.native_shape:
        raise InputError(case.mask.name, f"has {native.shape} voxels, its image {geometry.native_shape}")
    highest = int(native.max(initial=0))
    if highest > classes:
        raise InputError(case.mask.name, f"holds the value {highest}, but the classes are 1 to {classes}")
    return geometry.orientation.to_slices(native)
