"""g on what experts accepted, before it joins the training set: the paper's second stage."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recursive_expand.archives.images import read_label, write_label
from recursive_expand.cases import LabelMap
from recursive_expand.errors import InputError
from recursive_expand.expand.frozen import frozen_label
from recursive_expand.expand.recursion import Recursion
from recursive_expand.expand.targets import taught_as_accepted
from recursive_expand.expand.training_set import AcceptedSlices, TrainingSet
from recursive_expand.segment.refine import refine
from recursive_expand.segment.specks import drop_specks


def refine_accepted(recursion: Recursion, training_set: TrainingSet) -> TrainingSet:
    """Refine accepted slices, with `refine: after_review`; what g makes of them is kept, and named by its hash.

    Args:
        recursion: under the settings of the round that begins.
        training_set: what it trains on.

    Returns:
        The training set, with the hash of the refined mask of each proposal whose slices are learned as accepted, if
        only by propagation. What joined without an expert, and predicted targets, are f's own.

    Raises:
        InputError: a frozen mask or an image cannot be read.
    """
    method = recursion.settings.method
    if method.refinement.refine == "before_review" or method.refinement.mode == "off":
        return training_set
    accepted, propagated = (
        tuple(
            replace(one, refined_sha256=_refine(recursion, one)) if taught_as_accepted(method.training, one) else one
            for one in group
        )
        for group in (training_set.accepted, training_set.propagated)
    )
    return replace(training_set, accepted=accepted, propagated=propagated)


def refined_slices(recursion: Recursion, accepted: AcceptedSlices) -> NDArray[np.uint8]:
    """(slices, rows, columns): what g made of accepted slices, as the round recorded it; other slices are empty.

    Raises:
        InputError: the file is missing or is not what was recorded.
    """
    assert accepted.refined_sha256 is not None
    path = _file(recursion, accepted, accepted.refined_sha256)
    label = read_label(path, recursion.settings.task.classes)
    if label.sha256 != accepted.refined_sha256:
        raise InputError(path.name, "is not the mask that the round recorded; restore it from a backup")
    return label.slices


def _refine(recursion: Recursion, accepted: AcceptedSlices) -> str:
    """Refine the accepted slices of one proposal; returns the refined mask's SHA-256, its file being durable."""
    task, refinement = recursion.settings.task, recursion.settings.method.refinement
    proposal = accepted.proposal(recursion.ledger)
    frozen = frozen_label(recursion.workspace, proposal, task.classes)
    volume = recursion.volume(accepted.case_id)
    smallest = refinement.min_area / math.prod(volume.geometry.spacing[1:])
    slices = np.zeros_like(frozen.slices)
    for number in accepted.slices:
        mask = refine(frozen.slices[number], np.asarray(volume.hu[number]), refinement, task.windows[0])
        slices[number] = drop_specks(mask, min_pixels=smallest)
    label = LabelMap.from_slices(slices, frozen.geometry, task.classes)
    path = _file(recursion, accepted, label.sha256)
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_label(path, label)
    return label.sha256


def _file(recursion: Recursion, accepted: AcceptedSlices, sha256: str) -> Path:
    return recursion.workspace.refined / f"{accepted.case_id}.{accepted.round}.{sha256}.nii.gz"
